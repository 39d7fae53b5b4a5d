package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

// damagedDir is where packs that cannot be read are kept until the repository
// was repaired: something may still be got out of them.
const damagedDir = "damaged"

// mender puts one repository right, as far as that needs no upstream. Nobody
// else writes there meanwhile.
type mender struct {
	*Disk
	id   mirror.ID
	repo string
	out  mirror.Mended
}

// did notes what was wrong and what was done about it.
func (m *mender) did(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	m.Log.Warn("mend repository", "repo", m.id, "did", text)
	m.out.Did = append(m.out.Did, text)
}

// Mend puts right what needs no upstream. See mirror.Keeper. ErrBusy while a
// fetch is open.
func (d *Disk) Mend(ctx context.Context, id mirror.ID) (mirror.Mended, error) {
	repo, err := d.existing(id)
	if err != nil {
		return mirror.Mended{}, err
	}
	m := &mender{Disk: d, id: id, repo: repo}
	err = d.alone(ctx, id, false, func(ctx context.Context) error {
		if gone, err := m.noDirectory(); gone || err != nil {
			return err
		}
		if err := errors.Join(m.layout(), m.refs(), d.leftovers(repo, false)); err != nil {
			return d.local("mend the repository", err)
		}
		return m.packs(ctx)
	})
	if err == nil && m.out.Any() {
		d.forgetRefs(id)
		d.state.objects.forget(id)
		_, err = d.existing(id)
	}
	return m.out, err
}

// Mended drains the list of repositories that were mended unasked.
func (d *Disk) Mended() []mirror.ID {
	d.state.mu.Lock()
	defer d.state.mu.Unlock()
	var ids []mirror.ID
	for id := range d.state.mended {
		ids = append(ids, id)
	}
	clear(d.state.mended)
	return ids
}

// glance is the part of Mend that needs no process and reads next to nothing:
// what Open does for every repository. It remembers those that need more.
func (d *Disk) glance(id mirror.ID, repo string) error {
	m := &mender{Disk: d, id: id, repo: repo}
	gone, err := m.noDirectory()
	if err == nil && !gone {
		err = errors.Join(m.layout(), m.looseRefs(), m.headers())
	}
	if m.out.Any() || m.suspicious() {
		d.state.mu.Lock()
		d.state.mended[id] = true
		d.state.mu.Unlock()
	}
	return err
}

// noDirectory clears away something that is no directory.
func (m *mender) noDirectory() (gone bool, err error) {
	info, err := os.Lstat(m.repo)
	if err != nil || info.IsDir() {
		return false, err
	}
	m.did("what stood in the place of the repository was no directory")
	m.out.Refs = true
	return true, m.discard(m.repo)
}

// layout makes what every repository has (gitrepository-layout), and takes away
// what ours never have: a file there would hide objects or fetch strange ones.
func (m *mender) layout() error {
	for _, dir := range []string{"objects", "objects/pack", "objects/info", "refs", "refs/heads", "refs/tags", "info"} {
		name := filepath.Join(m.repo, filepath.FromSlash(dir))
		info, err := os.Lstat(name)
		if err == nil && info.IsDir() {
			continue
		}
		if err == nil {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
		if err := os.Mkdir(name, 0o755); err != nil {
			return err
		}
		m.did("made the directory %s", dir)
		m.out.Objects = m.out.Objects || strings.HasPrefix(dir, "objects")
		m.out.Refs = m.out.Refs || strings.HasPrefix(dir, "refs")
	}
	for _, file := range []string{"shallow", "objects/info/alternates", "objects/info/http-alternates", "info/grafts"} {
		name := filepath.Join(m.repo, filepath.FromSlash(file))
		if err := os.Remove(name); err == nil {
			m.did("removed %s", file)
			m.out.Objects = true
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if text, err := os.ReadFile(filepath.Join(m.repo, "config")); err != nil || string(text) != bareConfig {
		if err := replaceFile(filepath.Join(m.repo, "config"), "config.new", bareConfig); err != nil {
			return err
		}
		m.did("wrote config anew")
	}
	return nil
}

// suspicious tells whether the packs need the closer look that Mend takes.
func (m *mender) suspicious() bool {
	entries, err := os.ReadDir(filepath.Join(m.repo, "objects", "pack"))
	if err != nil {
		return true
	}
	sizes := map[string]int64{}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			sizes[e.Name()] = info.Size()
		}
	}
	for name, size := range sizes {
		base, ext := strings.TrimSuffix(name, filepath.Ext(name)), filepath.Ext(name)
		_, hasIndex := sizes[base+".idx"]
		_, hasPack := sizes[base+".pack"]
		if size == 0 || ext == ".pack" && !hasIndex || ext == ".idx" && !hasPack {
			return true
		}
	}
	_, err = os.Stat(filepath.Join(m.repo, damagedDir))
	return err == nil
}
