package mirror

// Alias says that import paths under Prefix live in the repository mirrored at
// Repo: golang.org/x/mod → github.com/golang/mod. Dir is the directory of the
// repository that Prefix stands for, almost always "" (the fourth field of a
// go-import tag, Go ≥ 1.25).
type Alias struct {
	Prefix string
	Repo   Path
	Dir    string
	// Found tells where it is from: "admin", "go-import" (discovered) or
	// "built-in" (WellKnown).
	Found string
}

// Rule admits repositories nobody has added one by one: a request for a path
// that matches Pattern adds the mirror and waits for its first clone.
type Rule struct {
	// Pattern is a path whose last elements may be "*": "github.com/acme/*".
	Pattern    string
	Credential string
	Private    bool
}
