package cli

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/rewrite"
)

// shellSettings are the variables of the environment that bear on where the go
// command and git look. Empty ones count as not set, as they do for both.
func (p *program) shellSettings() map[string]string {
	now := map[string]string{}
	for _, pair := range p.environ {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || value == "" {
			continue
		}
		switch {
		case strings.HasPrefix(key, "GO"), strings.HasPrefix(key, "GIT_CONFIG_"),
			key == "SSL_CERT_FILE", key == "GIT_SSL_CAINFO", key == "NETRC":
			now[key] = value
		}
	}
	return now
}

// goSettings are those of the settings file of the go command, and over them
// the environment.
func (p *program) goSettings() map[string]string {
	now := map[string]string{}
	if name, err := p.userFiles().GoEnv(); err == nil {
		now = readSettings(name)
	}
	maps.Copy(now, p.shellSettings())
	return now
}

// readSettings reads KEY=VALUE lines as the go command does: one that does not
// begin with a capital letter is none. A file that cannot be read has none.
func readSettings(name string) map[string]string {
	text, err := readRegular(name)
	if err != nil {
		return map[string]string{}
	}
	return parseSettings(text)
}

func parseSettings(text []byte) map[string]string {
	now := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "=")
		if ok && key != "" && 'A' <= key[0] && key[0] <= 'Z' {
			now[key] = value
		}
	}
	return now
}

// userFiles finds the settings files of whoever runs this.
func (p *program) userFiles() rewrite.Files { return rewrite.Files{Lookup: p.lookup} }

// goRoot is the directory of the Go toolchain the go command in PATH belongs
// to; "" when there is none. Nothing is run to find it.
func (p *program) goRoot() string {
	if root := p.lookup("GOROOT"); root != "" {
		return root
	}
	for _, dir := range filepath.SplitList(p.lookup("PATH")) {
		if target, err := filepath.EvalSymlinks(filepath.Join(dir, "go")); err == nil && filepath.IsAbs(dir) {
			return filepath.Dir(filepath.Dir(target))
		}
	}
	return ""
}

// goDefaults are the settings the Go toolchain comes with.
func (p *program) goDefaults() map[string]string {
	root := p.goRoot()
	if root == "" {
		return map[string]string{}
	}
	return readSettings(filepath.Join(root, "go.env"))
}

// userGit is the git of whoever runs this, in an empty directory; done removes it.
func (p *program) userGit() (c git.Client, done func(), err error) {
	dir, err := os.MkdirTemp("", "gitmirror-")
	if err != nil {
		return git.Client{}, nil, err
	}
	return git.Client{Environ: p.environ, Dir: dir}, func() { os.RemoveAll(dir) }, nil
}

// ownSettings are goSettings without what "env --write" put into the file.
func (p *program) ownSettings() map[string]string {
	now := map[string]string{}
	if name, err := p.userFiles().GoEnv(); err == nil {
		if text, err := readRegular(name); err == nil {
			text, _ = rewrite.UnsetGoEnv(text)
			now = parseSettings(text)
		}
	}
	maps.Copy(now, p.shellSettings())
	return now
}

// ownGitSettings are gitSettings without what "env --write" put into the file.
func (p *program) ownGitSettings(ctx context.Context) []rewrite.GitSetting {
	all := p.gitSettings(ctx)
	name, err := p.userFiles().GitConfig()
	if err != nil {
		return all
	}
	text, err := readRegular(name)
	if err != nil {
		return all
	}
	for _, ours := range rewrite.OwnGitSettings(text) {
		i := slices.IndexFunc(all, func(g rewrite.GitSetting) bool {
			return g.Key == ours.Key && g.Value == ours.Value && g.Origin == "file:"+name
		})
		if i >= 0 {
			all = slices.Delete(all, i, i+1)
		}
	}
	return all
}

// gitSettings are the git settings in force, as far as git can be asked.
func (p *program) gitSettings(ctx context.Context) (all []rewrite.GitSetting) {
	c, done, err := p.userGit()
	if err != nil {
		return nil
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	values, err := c.Config(ctx)
	if err != nil {
		return nil // there is no git, or its settings are broken: doctor says so
	}
	for _, v := range values {
		all = append(all, rewrite.GitSetting{Key: v.Key, Value: v.Value, Origin: v.Origin})
	}
	return all
}
