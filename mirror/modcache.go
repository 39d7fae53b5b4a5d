package mirror

import "time"

// ModuleMode says where a module may come from.
type ModuleMode string

// The modes.
const (
	// MirrorOnly: from mirrored repositories and nowhere else.
	MirrorOnly ModuleMode = "mirror-only"
	// PreferMirror: from a mirrored repository, and from module proxies what none has.
	PreferMirror ModuleMode = "prefer-mirror"
	// ProxyOnly: from module proxies, and from mirrors only where these say "direct".
	ProxyOnly ModuleMode = "proxy-only"
	// Offline: from what is here already; nobody is asked.
	Offline ModuleMode = "offline"
)

// ModuleModes are all of them, the default first.
func ModuleModes() []ModuleMode { return []ModuleMode{PreferMirror, MirrorOnly, ProxyOnly, Offline} }

// ModuleCacheState is what is kept of modules, and how that does since the
// server started.
type ModuleCacheState struct {
	Files    int   // names of files that are kept
	Bytes    int64 // of them; equal contents count once
	MaxBytes int64 // trimming begins at 80 % of it; zero = there is no bound
	Made     int64 // bytes made of mirrors, which can be made again
	Pinned   int   // files that are not trimmed
	// PinnedBytes is their size; what has the same content counts each time.
	PinnedBytes int64
	// Unpinned is how many files were dropped although they are pinned, because more
	// is pinned than is kept, and UnpinnedAt when the last one was.
	Unpinned   int64
	UnpinnedAt time.Time
	Hits       int64
	Misses     int64
	Stale      int64 // answers that were too old, because nobody could be asked
	Trimmed    int64 // files that were dropped to make room
	Refused    int64 // questions that a rule refused
	Forged     int64 // files that the checksum database contradicted
	Proxies    []ModuleProxyState
}

// ModuleProxyState is how a module proxy does.
type ModuleProxyState struct {
	Name      string // its address, without a password
	Condition RoadCondition
	Active    bool          // the first that is asked, of those with "|" between
	Usual     time.Duration // latency; zero = not known
	LastAt    time.Time     // when it was last asked
	Problem   *Problem      // why the last question failed; nil = it did not
	Asked     int64
	Failed    int64
	Bytes     int64 // received
}

// ModuleEvent is a refusal, for those who answer for what is used.
type ModuleEvent struct {
	At      time.Time
	Kind    ModuleEventKind
	Module  string
	Version string // empty = all
	User    string // who asked; empty = somebody anonymous
	Address string // of who asked, without the port
	From    string // the module proxy that sent it, when it was sent
	Text    string
}

// ModuleEventKind is why something was refused.
type ModuleEventKind string

// The kinds.
const (
	ModuleDenied     ModuleEventKind = "denied"     // a rule
	ModuleTooYoung   ModuleEventKind = "too-young"  // the least age
	ModuleVulnerable ModuleEventKind = "vulnerable" // a known vulnerability
	ModuleForged     ModuleEventKind = "forged"     // not what the checksum database says
)

// ModuleWish is a module version whose files shall be here.
type ModuleWish struct {
	Path    string `json:"path"`
	Version string `json:"version" doc:"Canonical, as in go.sum"`
	GoMod   bool   `json:"go_mod,omitempty" doc:"Only its go.mod"`
}

// ModuleWarmed is what became of a ModuleWish.
type ModuleWarmed struct {
	ModuleWish
	Result  WarmResult `json:"result" enum:"kept,fetched,made,failed"`
	Bytes   int64      `json:"bytes" doc:"Fetched or made for it"`
	Problem *Problem   `json:"error,omitempty"`
}

// WarmResult is how a ModuleWish came out.
type WarmResult string

// The results.
const (
	WarmKept    WarmResult = "kept"    // it was here
	WarmFetched WarmResult = "fetched" // of a module proxy
	WarmMade    WarmResult = "made"    // of a mirror
	WarmFailed  WarmResult = "failed"
)

// ModuleWarming is a job of the server's: wishes that are seen to one after another,
// whether or not anybody waits for it.
type ModuleWarming struct {
	ID      string
	By      string // who began it
	Started time.Time
	Ended   time.Time // zero = it goes on
	State   WarmingState
	Total   int // wishes
	Kept    int
	Fetched int
	Made    int
	Failed  int
	Bytes   int64 // fetched or made for it
	// Failures are the first hundred of them.
	Failures []ModuleWarmed
}

// Done is how many wishes were seen to.
func (w ModuleWarming) Done() int { return w.Kept + w.Fetched + w.Made + w.Failed }

// WarmingState is how far a ModuleWarming is.
type WarmingState string

// The states.
const (
	WarmingRuns     WarmingState = "running"
	WarmingDone     WarmingState = "done"
	WarmingCanceled WarmingState = "canceled" // by a person, or because the server ended
)
