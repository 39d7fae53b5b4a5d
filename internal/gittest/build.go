package gittest

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"
)

// Fixture is a module version that an Upstream has.
type Fixture struct {
	// Module as a test may require it. Version differs from the one asked for
	// when that was a real pseudo-version: it names the local commit.
	Module
	// Sums that must come out of a mirror of Repo.
	Sums Sums
	// Repo is the git location, "github.com/go-yaml/yaml".
	Repo string
	// Commit is the full hash of the local commit.
	Commit string
	// Dir is the directory of the module in the repository, "" = its root.
	Dir string
	// Tag is its tag, "arc/v2.0.7"; empty for a pseudo-version.
	Tag string
}

// branch is the default branch of every repository.
const branch = "refs/heads/main"

// builder adds module versions to one bare repository, one commit each.
type builder struct {
	dir string
	// latest is what each module directory holds now.
	latest map[string]map[string][]byte
	// tags are the versions tagged so far, by the prefix of their tag.
	tags map[string][]string
	// dressed has every commit hold what does not belong in the module, too.
	dressed bool
}

// add commits and tags one module version on top of main.
func (b *builder) add(d *downloaded) (Fixture, error) {
	loc, err := locate(Module{d.Path, d.Version})
	if err != nil {
		return Fixture{}, err
	}
	b.latest[loc.dir] = d.files
	tree, extra := b.tree(loc.dir), []string(nil)
	if b.dressed {
		extra = dress(tree, loc.dir)
	} else if loc.tag != "" {
		extra = tagIt(loc.tag)
	}
	commit, err := b.commit(tree, d.time, d.Path+" "+d.Version, extra...)
	if err != nil {
		return Fixture{}, fmt.Errorf("%s@%s: %w", d.Path, d.Version, err)
	}
	fix := Fixture{
		Module: Module{d.Path, d.Version}, Sums: Sums{d.Sum, d.GoModSum},
		Repo: loc.repo, Commit: commit, Dir: loc.dir, Tag: loc.tag,
	}
	if loc.tag != "" {
		b.tags[loc.prefix] = append(b.tags[loc.prefix], path.Base(loc.tag))
		if b.dressed {
			_, err = try(b.dir, Env("/dev/null"), nil, "git", "tag", "--annotate", "--force", "--message=Release", loc.tag, commit)
		}
		return fix, err
	}
	fix.Version = b.pseudo(d, loc, commit)
	fix.Sums, err = d.sumsAs(fix.Version)
	return fix, err
}

// pseudo is the pseudo-version of the commit: based on the highest tag of the
// same major version, all of which are its ancestors.
func (b *builder) pseudo(d *downloaded, loc location, commit string) string {
	_, pathMajor, _ := module.SplitPathVersion(d.Path)
	major := module.PathMajorPrefix(pathMajor)
	base := ""
	for _, v := range b.tags[loc.prefix] {
		if module.CheckPathMajor(v, pathMajor) == nil && (base == "" || compare(v, base) > 0) {
			base = v
		}
	}
	return module.PseudoVersion(major, base, d.time, commit[:12])
}

// tree is the repository's content when the module in dir has just changed.
// The other modules stay, as far as they do not change the hash of this one.
func (b *builder) tree(dir string) map[string][]byte {
	own := b.latest[dir]
	tree := map[string][]byte{}
	for other, files := range b.latest {
		if other == dir || holds(own, dir, other) {
			continue
		}
		for name, data := range files {
			full := path.Join(other, name)
			// The root's licence would be lent to a module that has none.
			lent := full == "LICENSE" && own["LICENSE"] == nil
			// Without a go.mod, this module would swallow the other.
			swallowed := within(full, dir) && files["go.mod"] == nil
			if !lent && !swallowed && (!within(full, dir) || within(other, dir)) {
				tree[full] = data
			}
		}
	}
	for name, data := range own {
		tree[path.Join(dir, name)] = data
	}
	return tree
}

// holds tells whether a module in dir has files of its own under other.
func holds(files map[string][]byte, dir, other string) bool {
	for name := range files {
		if within(path.Join(dir, name), other) && !within(dir, other) {
			return true
		}
	}
	return false
}

// within tells whether name is dir or below it.
func within(name, dir string) bool {
	return dir == "" || name == dir || strings.HasPrefix(name, dir+"/")
}

// commit makes a commit with exactly these files on top of main.
func (b *builder) commit(tree map[string][]byte, at time.Time, message string, extra ...string) (string, error) {
	return commitTree(b.dir, branch, tree, at, message, extra...)
}

// tagIt are the commands for commitTree that make or move tags to its commit.
func tagIt(tags ...string) (commands []string) {
	for _, tag := range tags {
		commands = append(commands, "reset refs/tags/"+tag+"\nfrom :1\n")
	}
	return commands
}

// commitTree makes a commit on top of ref with exactly these files, byte for
// byte: no attribute or line-end conversion takes place. extra are more commands
// of git fast-import, to which the commit is :1.
func commitTree(dir, ref string, tree map[string][]byte, at time.Time, message string, extra ...string) (string, error) {
	var in bytes.Buffer
	fmt.Fprintf(&in, "commit %s\nmark :1\nauthor A. Author <author@example.com> %d +0000\n", ref, at.Unix())
	fmt.Fprintf(&in, "committer C. Committer <committer@example.com> %d +0000\n", at.Unix())
	fmt.Fprintf(&in, "data %d\n%s\n", len(message), message)
	if hasRef(dir, ref) {
		fmt.Fprintf(&in, "from %s^0\n", ref)
	}
	in.WriteString("deleteall\n")
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		fmt.Fprintf(&in, "M 100644 inline %s\ndata %d\n%s\n", name, len(tree[name]), tree[name])
	}
	for _, command := range extra {
		fmt.Fprintln(&in, command)
	}
	in.WriteString("get-mark :1\n")
	return try(dir, Env("/dev/null"), &in, "git", "-c", "fastimport.unpackLimit=0", "fast-import", "--quiet", "--force")
}

// hasRef tells whether a bare repository has a ref, without a process: tests make
// many commits.
func hasRef(dir, ref string) bool {
	if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(ref))); err == nil {
		return true
	}
	packed, err := os.ReadFile(filepath.Join(dir, "packed-refs"))
	return err == nil && bytes.Contains(packed, []byte(" "+ref+"\n"))
}
