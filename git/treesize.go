package git

import (
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
)

// Bounds of what git archive is started for: it reads all paths of a commit into
// memory before it writes the first, and a dozen objects can name more of them than
// there is memory for.
const (
	maxPaths     = 1 << 20
	maxPathBytes = 256 << 20
	maxTreeDepth = 1024
)

// paths is what a tree holds: how many files, and the bytes of their paths.
type paths struct{ files, bytes int64 }

func (p paths) tooMany() bool { return p.files > maxPaths || p.bytes > maxPathBytes }

// paths counts what the commit holds, reading each tree once. It stops counting
// where it is too much.
func (t *tree) paths() (paths, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pathsOf(t.root, map[plumbing.Hash]paths{}, 0)
}

func (t *tree) pathsOf(h plumbing.Hash, known map[plumbing.Hash]paths, depth int) (sum paths, err error) {
	if p, ok := known[h]; ok {
		return p, nil
	}
	if depth > maxTreeDepth {
		return paths{files: maxPaths + 1}, nil
	}
	d, err := t.dir(h)
	if err != nil {
		return sum, err
	}
	for _, e := range d.Entries {
		below := paths{files: 1}
		if e.Mode == filemode.Dir {
			if below, err = t.pathsOf(e.Hash, known, depth+1); err != nil {
				return sum, err
			}
		}
		sum.files += below.files
		sum.bytes += below.bytes + below.files*int64(len(e.Name)+1)
		if sum.tooMany() {
			break
		}
	}
	known[h] = sum
	return sum, nil
}
