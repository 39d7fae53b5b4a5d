package mirror

// RefPolicy says which of upstream's refs are mirrored. The zero value mirrors
// all branches and tags.
type RefPolicy struct {
	// Include are globs of full ref names ("refs/heads/release-*"); empty = all
	// branches and tags. "*" matches within a path element, "**" across them.
	Include []string `json:"include,omitempty"`
	// Exclude are globs of what is left out of that.
	Exclude []string `json:"exclude,omitempty"`
	// Pulls mirrors refs/pull/*/head too. They are fetched and kept, and never
	// advertised: they would be most of the refs, and most of the bytes.
	Pulls bool `json:"pulls,omitempty"`
}
