package modproxy

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

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
	// Stored are rules that come behind those of File; nil = there are none.
	Stored RuleStore

	rules  atomic.Pointer[Rules]
	read   sync.Mutex // while rules are read
	ofFile []mirror.ModuleRule
	mark   string // of Stored
	known  atomic.Pointer[Vulns]
	seen   stamp // of File
	vulned stamp // of OSV
	asked  time.Time
	etag   string
}

// RuleStore is where administrators keep rules; *store.DB is one.
type RuleStore interface {
	ModuleRules(ctx context.Context) ([]mirror.ModuleRule, error)
	ModuleRulesMark(ctx context.Context) (string, error)
	AddModuleRule(ctx context.Context, r mirror.ModuleRule, before int64) (int64, error)
	RemoveModuleRule(ctx context.Context, id int64) error
}

// stamp tells whether a file is another one than before.
type stamp struct {
	at   time.Time
	size int64
}

// Files are looked at every rulesEvery, stored rules every storedEvery, a URL is
// asked every osvEvery.
const (
	storedEvery = time.Second
	rulesEvery  = 5 * time.Second
	osvEvery    = 6 * time.Hour
	osvWait     = 10 * time.Minute
	maxOSVFile  = 512 << 20
)

// OpenRules reads the files for the first time; a URL is asked later, by Run.
// The error is a Problem of kind ErrInvalid.
func OpenRules(ctx context.Context, b *RuleBook) (*RuleBook, error) {
	if err := b.readRules(ctx); err != nil {
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

// Run watches the files, and asks the URL, until ctx ends. A file that cannot be
// read is reported, and what was read before stays in force.
func (b *RuleBook) Run(ctx context.Context) error {
	run, ctx := errgroup.WithContext(ctx)
	run.Go(func() error {
		return b.every(ctx, storedEvery, func() { b.report("read the rules for modules", b.readRules(ctx)) })
	})
	run.Go(func() error {
		return b.every(ctx, rulesEvery, func() {
			if b.isURL() && time.Since(b.asked) > osvEvery {
				b.asked = time.Now()
				b.report("fetch the database of vulnerabilities", b.fetchOSV(ctx))
			}
			b.report("read the database of vulnerabilities", b.readVulns(b.osvFile()))
		})
	})
	return run.Wait()
}

// every does something, at once and then every so often, until ctx ends.
func (b *RuleBook) every(ctx context.Context, step time.Duration, do func()) error {
	tick := time.NewTicker(step)
	defer tick.Stop()
	for ctx.Err() == nil {
		do()
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return nil
}

// All are the rules in force, in their order: those of the file, then those that
// are stored.
func (b *RuleBook) All() []mirror.ModuleRule { return b.Now().All() }

// Add stores a rule, which is in force when Add returns. before is that of
// mirror.ModuleStore.AddModuleRule.
func (b *RuleBook) Add(ctx context.Context, rule mirror.ModuleRule, before int64) (mirror.ModuleRule, error) {
	if b == nil || b.Stored == nil {
		return rule, noStoredRules()
	}
	rule.ID, rule.Line, rule.At = 0, 0, time.Now().UTC().Truncate(time.Microsecond)
	if err := CheckRule(rule); err != nil {
		return rule, err
	}
	var err error
	if rule.ID, err = b.Stored.AddModuleRule(ctx, rule, before); err != nil {
		return rule, err
	}
	return rule, b.readRules(ctx)
}

// Remove removes a stored rule; it is not in force any more when Remove returns.
func (b *RuleBook) Remove(ctx context.Context, id int64) error {
	if b == nil || b.Stored == nil {
		return noStoredRules()
	}
	if err := b.Stored.RemoveModuleRule(ctx, id); err != nil {
		return err
	}
	return b.readRules(ctx)
}

func noStoredRules() error {
	return &mirror.Problem{Kind: mirror.ErrInvalid, What: "rules for modules cannot be stored here", Do: "write them into the file of modules.rules"}
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

// readRules reads what has changed: the file, and what is stored.
func (b *RuleBook) readRules(ctx context.Context) error {
	b.read.Lock()
	defer b.read.Unlock()
	file, fresh, err := b.readFile()
	if err != nil {
		return err
	}
	mark := ""
	if b.Stored != nil {
		if mark, err = b.Stored.ModuleRulesMark(ctx); err != nil {
			return err
		}
	}
	if !fresh && mark == b.mark && b.rules.Load() != nil {
		return nil
	}
	var stored []mirror.ModuleRule
	if b.Stored != nil {
		if stored, err = b.Stored.ModuleRules(ctx); err != nil {
			return err
		}
	}
	r := &Rules{Mode: b.Mode, MinAge: b.MinAge}
	for _, rule := range append(slices.Clip(file), stored...) {
		if why := r.add(rule); why != "" && b.Log != nil { // of another release of this program, perhaps
			b.Log.Warn("stored rule for modules left out", "pattern", rule.Pattern, "reason", why)
		}
	}
	b.ofFile, b.mark = file, mark
	b.rules.Store(r)
	return nil
}

// readFile are the rules of the file, and whether they are others than before.
func (b *RuleBook) readFile() (rules []mirror.ModuleRule, fresh bool, err error) {
	if b.File == "" {
		return nil, false, nil
	}
	other, err := changed(b.File, &b.seen)
	if err == nil && !other {
		return b.ofFile, false, nil
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(b.File)
	}
	if err != nil {
		return nil, false, &mirror.Problem{Kind: mirror.ErrInvalid, What: "the rules for modules cannot be read", Why: err.Error(), Do: "set modules.rules to a file this user may read"}
	}
	r, err := ParseRules(text)
	if err != nil {
		return nil, false, err
	}
	return r.All(), true, nil
}
