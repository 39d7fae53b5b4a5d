package git

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// packs compares the ends of files: a pack ends with its checksum, which its
// index repeats, so that a file that was cut off, or is of another pack, is found
// without reading it. What lies between is for Check.
func (m *mender) packs(ctx context.Context) error {
	dir := filepath.Join(m.repo, "objects", "pack")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return m.local("look at the packs", err)
	}
	changed := false // a pack came, went or has another index
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		base := strings.TrimSuffix(name, filepath.Ext(name))
		if _, err := os.Lstat(name); err != nil {
			continue // gone with its pack
		}
		switch filepath.Ext(name) {
		case ".pack":
			fixed, err := m.pack(ctx, base)
			if err != nil {
				return err
			}
			changed = changed || fixed
		case ".idx", ".rev", ".mtimes":
			if _, err := os.Stat(base + ".pack"); errors.Is(err, fs.ErrNotExist) {
				m.did("removed %s, whose pack is gone", e.Name())
				m.out.Objects, changed = true, true
				if err := remove(name); err != nil {
					return m.local("remove the index of a lost pack", err)
				}
			}
		}
	}
	if err := errors.Join(m.looseObjects(), m.packIndexes(dir, changed), m.graph()); err != nil {
		return m.local("mend indexes", err)
	}
	return nil
}

// pack makes sure that a pack and its index belong together.
func (m *mender) pack(ctx context.Context, base string) (fixed bool, err error) {
	name := filepath.Base(base) + ".pack"
	sum, okPack := packSum(base + ".pack")
	indexed, okIndex := indexSum(base + ".idx")
	if okPack && okIndex && sum == indexed {
		return false, m.besidePack(base, sum)
	}
	m.out.Objects = true
	if okPack {
		// index-pack reads all of it: if the pack is damaged it says so.
		err := m.run(ctx, command{args: []string{"index-pack", "-o", base + ".idx.new", "--no-rev-index", base + ".pack"}, repo: m.repo, background: true,
			env: []string{"GIT_OBJECT_DIRECTORY=" + filepath.Join(m.repo, "none")}}) // it would compare with what may be damaged
		if err == nil {
			if err = errors.Join(remove(base+".rev"), os.Rename(base+".idx.new", base+".idx")); err == nil {
				m.did("made the index of %s anew", name)
				return true, nil
			}
			return false, m.local("index a pack", err)
		}
		_ = remove(base + ".idx.new")
		if ctx.Err() != nil {
			return false, interrupted(ctx)
		}
		if f := (*failure)(nil); !errors.As(err, &f) || f.full || f.code < 0 {
			return false, m.localGit(ctx, "index a pack", err)
		}
	}
	m.did("set aside %s, which is damaged", name)
	return true, m.setAside(base)
}

// setAside takes a pack out of git's sight.
func (m *mender) setAside(base string) error {
	dir := filepath.Join(m.repo, damagedDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return m.local("set a pack aside", err)
	}
	err := os.Rename(base+".pack", filepath.Join(dir, filepath.Base(base)+".pack"))
	for _, ext := range []string{".idx", ".rev", ".bitmap", ".mtimes", ".keep"} {
		err = errors.Join(err, remove(base+ext))
	}
	if err != nil {
		return m.local("set a pack aside", err)
	}
	return nil
}

// besidePack removes helper files that are not of this pack; git makes them anew
// or does without.
func (m *mender) besidePack(base, sum string) error {
	for ext, magic := range map[string]string{".rev": "RIDX", ".mtimes": "MTME", ".bitmap": "BITM"} {
		head, tail, err := ends(base+ext, 32, 40)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		of := hex.EncodeToString(tail[:min(20, len(tail))])
		if ext == ".bitmap" && len(head) == 32 {
			of = hex.EncodeToString(head[12:])
		}
		if err == nil && bytes.HasPrefix(head, []byte(magic)) && of == sum {
			continue
		}
		m.did("removed %s, which is damaged", filepath.Base(base)+ext)
		if err := remove(base + ext); err != nil {
			return m.local("remove a damaged index", err)
		}
	}
	return nil
}

// packIndexes looks at the index over all packs and its bitmap.
func (m *mender) packIndexes(dir string, changed bool) error {
	midx := filepath.Join(dir, "multi-pack-index")
	others, _ := filepath.Glob(midx + "-*")
	sum, names, err := readMultiIndex(midx)
	if errors.Is(err, fs.ErrNotExist) && len(others) == 0 {
		return nil
	}
	bad := changed || err != nil
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(dir, strings.TrimSuffix(name, ".idx")+".pack")); err != nil {
			bad = true
		}
	}
	for _, name := range others {
		if bad {
			continue
		}
		head, _, err := ends(name, 32, 20)
		mine := strings.HasPrefix(filepath.Base(name), "multi-pack-index-"+sum+".")
		if err != nil || !mine || strings.HasSuffix(name, ".bitmap") && (!bytes.HasPrefix(head, []byte("BITM")) || hex.EncodeToString(head[12:]) != sum) {
			m.did("removed %s, which is damaged", filepath.Base(name))
			if err := remove(name); err != nil {
				return err
			}
		}
	}
	if !bad {
		return nil
	}
	m.did("removed the index over all packs, which is to be made anew")
	err = remove(midx)
	for _, name := range others {
		err = errors.Join(err, remove(name))
	}
	return err
}

// graph looks at the commit graph, whose files are named by their checksums.
func (m *mender) graph() error {
	info := filepath.Join(m.repo, "objects", "info")
	dir := filepath.Join(info, "commit-graphs")
	chain, err := os.ReadFile(filepath.Join(dir, "commit-graph-chain"))
	bad := err != nil && !errors.Is(err, fs.ErrNotExist)
	for _, sum := range strings.Fields(string(chain)) {
		head, tail, err := ends(filepath.Join(dir, "graph-"+sum+".graph"), 4, 20)
		bad = bad || err != nil || string(head) != "CGPH" || hex.EncodeToString(tail) != sum
	}
	bad = bad || err == nil && len(bytes.TrimSpace(chain)) == 0
	if head, _, err := ends(filepath.Join(info, "commit-graph"), 4, 20); !errors.Is(err, fs.ErrNotExist) && (err != nil || string(head) != "CGPH") {
		bad = true
	}
	if !bad {
		return nil
	}
	m.did("removed the commit graph, which is damaged")
	return m.dropGraph(m.repo)
}

func (d *Disk) dropGraph(repo string) error {
	info := filepath.Join(repo, "objects", "info")
	return errors.Join(remove(filepath.Join(info, "commit-graph")), d.discard(filepath.Join(info, "commit-graphs")))
}

// looseObjects removes objects that were cut off before their first byte.
func (m *mender) looseObjects() error {
	dirs, _ := filepath.Glob(filepath.Join(m.repo, "objects", "[0-9a-f][0-9a-f]"))
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			name := filepath.Join(dir, e.Name())
			head, _, err := ends(name, 2, 2)
			// The header of zlib (RFC 1950, 2.2).
			if err == nil && head[0]&0xf == 8 && binary.BigEndian.Uint16(head)%31 == 0 {
				continue
			}
			m.did("removed the damaged object %s%s", filepath.Base(dir), e.Name())
			m.out.Objects = true
			if err := remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove is os.Remove, content with what is not there.
func remove(name string) error {
	err := os.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
