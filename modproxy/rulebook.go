package modproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// RuleBook holds the rules in force, and reads them again when their files
// change. A nil RuleBook has none. Use OpenRules.
type RuleBook struct {
	// File is of the form ParseRules reads; empty = none.
	File string
	// Mode and MinAge are those of Rules.
	Mode   mirror.ModuleMode
	MinAge time.Duration
	// OSV is a file or directory as LoadVulns reads it, or a URL of one; versions
	// it names are refused. Empty = none.
	OSV string
	// Client gets OSV when that is a URL; it is then kept in Dir.
	Client *http.Client
	Dir    string
	Log    *slog.Logger // nil = nobody

	rules  atomic.Pointer[Rules]
	known  atomic.Pointer[Vulns]
	seen   stamp // of File
	vulned stamp // of OSV
	asked  time.Time
	etag   string
}

// stamp tells whether a file is another one than before.
type stamp struct {
	at   time.Time
	size int64
}

// Files are looked at every rulesEvery, a URL is asked every osvEvery.
const (
	rulesEvery = 5 * time.Second
	osvEvery   = 6 * time.Hour
	osvWait    = 10 * time.Minute
	maxOSVFile = 512 << 20
)

// OpenRules reads the files for the first time; a URL is asked later, by Run.
// The error is a Problem of kind ErrInvalid.
func OpenRules(b *RuleBook) (*RuleBook, error) {
	if err := b.readRules(); err != nil {
		return nil, err
	}
	name := b.osvFile()
	if _, err := os.Stat(name); b.isURL() && errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	return b, b.readVulns(name)
}

// Now are the rules in force; what it points at never changes.
func (b *RuleBook) Now() *Rules {
	if b == nil {
		return &Rules{}
	}
	return b.rules.Load()
}

// inForce are the rules in force, nil when there is no book: another pointer
// whenever they are others.
func (b *RuleBook) inForce() *Rules {
	if b == nil {
		return nil
	}
	return b.rules.Load()
}

// Pinned tells whether the files of a module are never dropped.
func (b *RuleBook) Pinned(modPath string) bool { return b != nil && b.Now().pinned(modPath) }

func (b *RuleBook) vulns() *Vulns {
	if b == nil {
		return nil
	}
	return b.known.Load()
}

func (b *RuleBook) isURL() bool {
	return strings.HasPrefix(b.OSV, "https://") || strings.HasPrefix(b.OSV, "http://")
}

func (b *RuleBook) osvFile() string {
	if b.isURL() {
		return filepath.Join(b.Dir, "osv")
	}
	return b.OSV
}

// Run watches the files, and asks the URL, until ctx ends. A file that cannot be
// read is reported, and what was read before stays in force.
func (b *RuleBook) Run(ctx context.Context) error {
	tick := time.NewTicker(rulesEvery)
	defer tick.Stop()
	for {
		if b.isURL() && time.Since(b.asked) > osvEvery {
			b.asked = time.Now()
			b.report("fetch the database of vulnerabilities", b.fetchOSV(ctx))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		b.report("read the rules for modules", b.readRules())
		b.report("read the database of vulnerabilities", b.readVulns(b.osvFile()))
	}
}

func (b *RuleBook) report(doing string, err error) {
	if err != nil && b.Log != nil && !canceled(err) {
		b.Log.Error(doing, "err", err)
	}
}

// changed tells whether a file is another one than the stamp says, which it
// brings up to date: a broken file is complained of once.
func changed(name string, s *stamp) (bool, error) {
	info, err := os.Stat(name)
	if err != nil {
		now := stamp{size: -1}
		if *s == now {
			return false, nil
		}
		*s = now
		return true, err
	}
	now := stamp{info.ModTime(), info.Size()}
	same := now == *s
	*s = now
	return !same, nil
}

func (b *RuleBook) readRules() error {
	r := &Rules{}
	if b.File != "" {
		other, err := changed(b.File, &b.seen)
		if err == nil && !other {
			return nil
		}
		var text []byte
		if err == nil {
			text, err = os.ReadFile(b.File)
		}
		if err != nil {
			return &mirror.Problem{Kind: mirror.ErrInvalid, What: "the rules for modules cannot be read", Why: err.Error(), Do: "set modules.rules to a file this user may read"}
		}
		if r, err = ParseRules(text); err != nil {
			return err
		}
	} else if b.rules.Load() != nil {
		return nil
	}
	r.Mode, r.MinAge = b.Mode, b.MinAge
	b.rules.Store(r)
	return nil
}

func (b *RuleBook) readVulns(name string) error {
	if name == "" {
		return nil
	}
	other, err := changed(name, &b.vulned)
	if err != nil && b.isURL() {
		return nil // not fetched yet
	}
	if err == nil && !other {
		return nil
	}
	v, err := LoadVulns(name)
	if err != nil {
		return err
	}
	b.known.Store(v)
	if b.Log != nil {
		b.Log.Info("vulnerabilities of modules read", "entries", v.Len())
	}
	return nil
}

// fetchOSV gets the database when it has changed.
func (b *RuleBook) fetchOSV(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, osvWait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.OSV, nil)
	if err != nil {
		return err
	}
	if b.etag != "" {
		req.Header.Set("If-None-Match", b.etag)
	}
	res, err := b.Client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotModified:
		return nil
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("%s answers %s", req.URL.Host, res.Status)
	}
	if err := os.MkdirAll(b.Dir, 0o755); err != nil {
		return err
	}
	draft, err := os.CreateTemp(b.Dir, "osv-*")
	if err != nil {
		return err
	}
	defer os.Remove(draft.Name())
	n, err := io.Copy(draft, io.LimitReader(res.Body, maxOSVFile+1))
	if err = errors.Join(err, draft.Sync(), draft.Close()); err != nil {
		return err
	}
	if n > maxOSVFile {
		return fmt.Errorf("%s sends more than %d MiB", req.URL.Host, maxOSVFile>>20)
	}
	if _, err := LoadVulns(draft.Name()); err != nil {
		return err
	}
	b.etag = res.Header.Get("ETag")
	return os.Rename(draft.Name(), b.osvFile())
}
