package cli

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
)

// newSumDB passes the checksum database on; nil when that is off.
func (p *program) newSumDB(c Config, disk *git.Disk, data *dataDir, log *slog.Logger) (*modproxy.SumDB, error) {
	db, err := mirror.ParseSumDB(or(c.text("modules.sumdb"), p.ownGo("GOSUMDB")))
	if err != nil {
		return nil, configProblem("the checksum database to pass on cannot be used", mirror.AsProblem(err).Why, "set modules.sumdb, or off")
	}
	if db.Name == "" {
		return nil, nil
	}
	return &modproxy.SumDB{
		DB: db, Proxies: or(c.text("modules.proxies"), p.ownGo("GOPROXY")), Client: disk.HTTPClient(),
		Dir: filepath.Join(data.Path, "sumdb"), Log: log,
	}, nil
}

// ownGo is a setting of the go command on this machine: of the environment, else
// of the file "go env -w" writes, else of the go command that is in PATH.
func (p *program) ownGo(key string) string {
	if value := p.lookup(key); value != "" {
		return value
	}
	var files []string
	if name, err := p.goEnvFile(); err == nil {
		files = append(files, name)
	}
	if root := p.lookup("GOROOT"); root != "" {
		files = append(files, filepath.Join(root, "go.env"))
	}
	for _, dir := range filepath.SplitList(p.lookup("PATH")) {
		if program, err := filepath.EvalSymlinks(filepath.Join(dir, "go")); err == nil && filepath.IsAbs(program) {
			files = append(files, filepath.Join(filepath.Dir(filepath.Dir(program)), "go.env"))
			break
		}
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), key+"="); ok && value != "" {
				return value
			}
		}
	}
	return ""
}
