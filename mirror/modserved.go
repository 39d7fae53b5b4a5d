package mirror

import (
	"context"
	"time"
)

// ModuleOfMirror is the Source of what was made of a mirrored repository. Other
// sources are the addresses of module proxies; empty = not known.
const ModuleOfMirror = "mirror"

// ModuleUse is what was served of a module version since it was last told.
type ModuleUse struct {
	Module  string
	Version string // empty = lists, and questions without a version
	// Repo is the mirror it was made of, and Private whether that is; empty = it
	// was had of others.
	Repo    ID
	Private bool
	Source  string // empty = not known
	// Size is that of the zip, in bytes; Sums are as go.sum has them; Proven tells
	// whether the checksum database vouched for the zip. Zero = not known.
	Size   int64
	Sums   Sums
	Proven bool

	Requests  int64
	Hits      int64 // of the requests: answered with what was kept
	Downloads int64 // of the requests: the zip
	Bytes     int64 // sent
	At        time.Time
}

// ServedModule is what was served of a module, ever.
type ServedModule struct {
	Path string
	// Repo is the mirror it was last made of, RepoPath its path when it is still
	// there. Private tells whether that mirror is private, or was when it was there.
	Repo      ID
	RepoPath  Path
	Private   bool
	Source    string
	Versions  int
	Requests  int64
	Hits      int64
	Downloads int64
	Bytes     int64
	FirstUsed time.Time
	LastUsed  time.Time
}

// ServedVersion is what was served of a version of a module, ever.
type ServedVersion struct {
	Module, Version string
	Source          string
	Size            int64
	Sums            Sums
	Proven          bool
	Requests        int64
	Hits            int64
	Downloads       int64
	Bytes           int64
	FirstUsed       time.Time
	LastUsed        time.Time
}

// SeenSum is the hash of a file that a module proxy sent.
type SeenSum struct {
	Module, Version string
	Kind            string // "mod" or "zip"
	Sum             string // as go.sum has it; of a zip "sha256:" and its bytes', or first the one and then the other
	From            string // the module proxy
	At              time.Time
}

// ServedDay is what was served of a module on a day.
type ServedDay struct {
	Day       time.Time // its beginning, UTC
	Requests  int64
	Downloads int64
	Bytes     int64
}

// ServedTotal sums up modules: all that anybody may see, when Repo is empty, or
// those of one private mirror.
type ServedTotal struct {
	Repo      ID
	RepoPath  Path
	Private   bool
	Modules   int
	Versions  int
	Requests  int64
	Hits      int64
	Downloads int64
	Bytes     int64
}

// ModuleSort is the order of a list of modules.
type ModuleSort string

// The orders. All but the first have the greatest first.
const (
	ModulesByPath      ModuleSort = "path"
	ModulesByDownloads ModuleSort = "downloads"
	ModulesByBytes     ModuleSort = "bytes"
	ModulesByUse       ModuleSort = "used"
)

// ModuleSorts are all of them, the default first.
func ModuleSorts() []ModuleSort {
	return []ModuleSort{ModulesByPath, ModulesByDownloads, ModulesByBytes, ModulesByUse}
}

// ServedQuery selects modules. The zero value selects the first 100 by path.
type ServedQuery struct {
	Search string // part of the path, any case
	Public bool   // leave out those of private mirrors
	Sort   ModuleSort
	// After is the last module of the page before; its path, and the figure that
	// Sort is about, count.
	After *ServedModule
	Limit int // zero = 100; at most 1,000
}

// ModuleStore keeps what the module gateway knows across restarts.
type ModuleStore interface {
	// AddModuleUse adds what was served to what is known.
	AddModuleUse(ctx context.Context, list []ModuleUse) error
	ServedModules(ctx context.Context, q ServedQuery) ([]ServedModule, error)
	ServedModule(ctx context.Context, path string) (ServedModule, error)
	// ServedVersions lists those last used first.
	ServedVersions(ctx context.Context, module string, limit int) ([]ServedVersion, error)
	// ServedDays lists the days on which something was served, in the order of
	// time; module empty = of all modules.
	ServedDays(ctx context.Context, module string, since time.Time) ([]ServedDay, error)
	ServedTotals(ctx context.Context) ([]ServedTotal, error)
	// ThinModules forgets what was not used for very long, and what there is too
	// much of.
	ThinModules(ctx context.Context, now time.Time) error

	// AddModuleRefusals adds refusals; the same within a day is counted.
	AddModuleRefusals(ctx context.Context, list []ModuleRefusal) error
	// ModuleRefusals lists the newest first.
	ModuleRefusals(ctx context.Context, q RefusalQuery) ([]ModuleRefusal, error)
	ModuleRefusal(ctx context.Context, id int64) (ModuleRefusal, error)
	// CountForged is how many refusals of kind ModuleForged nobody has seen.
	CountForged(ctx context.Context) (int, error)
	// SeeModuleRefusal records that a person has seen one. The second time is none.
	SeeModuleRefusal(ctx context.Context, id int64, by string, now time.Time) error

	// PinModules stores pins. A person's takes the place of one that is there; a
	// client's only prolongs a client's.
	PinModules(ctx context.Context, pins []ModulePin) error
	UnpinModule(ctx context.Context, module, version string) error
	// ModulePins lists those that hold, by module and version.
	ModulePins(ctx context.Context, q PinQuery) ([]ModulePin, error)

	// FirstModuleSum is the hash that a file had when it was first seen: this one,
	// which is stored then, when it was never seen.
	FirstModuleSum(ctx context.Context, s SeenSum) (SeenSum, error)
	// SettleModuleSum puts another hash of the same file in the place of was, if
	// that is still what is stored.
	SettleModuleSum(ctx context.Context, s SeenSum, was string) error
	// ForgetModuleSums has the next files of a version be the first ones.
	ForgetModuleSums(ctx context.Context, module, version string) error

	// AddModuleRule stores a rule behind all others, or before the one with an ID;
	// -1 = before all. It returns its ID.
	AddModuleRule(ctx context.Context, r ModuleRule, before int64) (int64, error)
	RemoveModuleRule(ctx context.Context, id int64) error
	ModuleRules(ctx context.Context) ([]ModuleRule, error) // in their order
	// ModuleRulesMark is another text whenever the rules are other ones.
	ModuleRulesMark(ctx context.Context) (string, error)
}
