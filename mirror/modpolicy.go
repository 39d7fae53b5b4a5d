package mirror

import "time"

// ModuleRule is a rule of the administrators about modules.
type ModuleRule struct {
	ID   int64 // in the database; zero = it is of the file
	Line int   // in the file; zero = it is of the database
	// Action is "deny", "allow", "age", "mode" or "pin".
	Action ModuleAction
	// Pattern is one of GOPRIVATE's: a prefix of module paths.
	Pattern string
	// Versions are comparisons with commas between, ">=v1.0.0,<v1.4.0", or one
	// version; empty = all. Only of deny and allow.
	Versions string
	Age      time.Duration // of ActionAge: how old a version must be
	Mode     ModuleMode    // of ActionMode
	Reason   string        // which developers are shown
	By       string        // who added it
	At       time.Time
}

// ModuleAction is what a ModuleRule does.
type ModuleAction string

// The actions.
const (
	ActionDeny  ModuleAction = "deny"
	ActionAllow ModuleAction = "allow"
	ActionAge   ModuleAction = "age"
	ActionMode  ModuleAction = "mode"
	ActionPin   ModuleAction = "pin"
)

// ModuleActions are all of them.
func ModuleActions() []ModuleAction {
	return []ModuleAction{ActionDeny, ActionAllow, ActionAge, ActionMode, ActionPin}
}

// ModulePin keeps files of a module from being dropped to make room.
type ModulePin struct {
	Module  string
	Version string    // empty = every one
	Until   time.Time // zero = for good
	By      string    // empty = a client needed it: Reason says for what
	Reason  string
	At      time.Time
}

// PinQuery selects pins that hold at a time. Only its Limit bounds them; zero = all.
type PinQuery struct {
	Now    time.Time
	Module string // empty = of all
	// After is the last pin of the page before.
	After *ModulePin
	Limit int
}

// ModuleRefusal is something that was refused to somebody, once or more often on
// one day.
type ModuleRefusal struct {
	ID int64
	ModuleEvent
	First  time.Time // At is the last time
	Times  int
	SeenBy string // who said to have seen it; only of ModuleForged
	Seen   time.Time
}

// RefusalQuery selects refusals. The zero value selects the newest 100.
type RefusalQuery struct {
	Kind   ModuleEventKind // empty = all
	Module string          // empty = all
	// Unseen leaves only those of ModuleForged that nobody has seen.
	Unseen bool
	// After is the last one of the page before: its At and ID count.
	After *ModuleRefusal
	Limit int // zero = 100; at most 1,000
}

// ModuleVerdict is what would happen to a module version.
type ModuleVerdict struct {
	Module   string
	Version  string // as it was asked for
	Resolved string // the version behind it; empty = none was found
	Outcome  ModuleOutcome
	// Problem is what the client would be told; nil when it is served.
	Problem *Problem
	Source  string // as ServedVersion has it, of what would be served
	Kept    bool   // it is here already
	Steps   []VerdictStep
}

// ModuleOutcome is how a question about a module ends.
type ModuleOutcome string

// The outcomes.
const (
	ModuleServed  ModuleOutcome = "served"
	ModuleRefused ModuleOutcome = "refused" // by a rule, or the checksum database
	ModuleMissing ModuleOutcome = "missing" // nobody has it
	ModuleFailed  ModuleOutcome = "failed"  // trouble on the way
)

// VerdictStep is one step of a decision, in their order.
type VerdictStep struct {
	// About is "rule", "vulnerabilities", "age", "mode", "mirror", "proxies",
	// "kept" or "verification".
	About string
	// Result is "pass", "stop", or "note" when it decides nothing.
	Result string
	Text   string
	Rule   *ModuleRule // the one that decided; nil = none did
}
