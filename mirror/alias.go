package mirror

import "time"

// Alias says that import paths under Prefix live in the repository mirrored at
// Repo: golang.org/x/mod → github.com/golang/mod. Dir is the directory of the
// repository that Prefix stands for, almost always "" (the fourth field of a
// go-import tag, Go ≥ 1.25).
type Alias struct {
	Prefix string
	Repo   Path
	Dir    string
	// Found tells where it is from: "admin", "go-import" (discovered),
	// "built-in" (WellKnown), "moved" (a Hold that was accepted) or "renamed" (the
	// path that the mirror had before).
	Found string
}

// names tells whether the prefix is another path of the mirror itself, in any
// letter case as paths are; the other kinds are import paths.
func (a Alias) names() bool { return a.Found == foundMoved || a.Found == FoundRenamed }

// Rule admits repositories nobody has added one by one: a request for a path
// that matches Pattern adds the mirror and waits for its first clone.
type Rule struct {
	// Pattern is a path whose last elements may be "*": "github.com/acme/*".
	Pattern    string
	Credential string
	Private    bool
	// Discovery adds what the owner has without anybody asking for it, as the
	// host's API lists it; nil = only what somebody asks for.
	Discovery *RuleDiscovery
	// Listing is how the last look at the owner went; zero = there was none.
	Listing RuleListing
}

// RuleDiscovery says which of an owner's repositories are added.
type RuleDiscovery struct {
	Archived bool     `json:"archived,omitempty"` // those that are archived as well
	Forks    bool     `json:"forks,omitempty"`    // those that are forks as well
	Exclude  []string `json:"exclude,omitempty"`  // names, with "*" and "?", in any letter case
}

// RuleListing is how a look at what an owner has went.
type RuleListing struct {
	At      time.Time `json:"at,omitzero"`
	ETag    string    `json:"etag,omitempty"`
	Found   int       `json:"found"`            // repositories the owner has
	Skipped int       `json:"skipped"`          // of them, those the rule is not for
	Added   int       `json:"added"`            // when they were last new
	Failed  int       `json:"failed,omitempty"` // that could not be added
	Cut     bool      `json:"cut,omitempty"`    // the owner has more than are listed
	Problem *Problem  `json:"problem,omitempty"`
}
