package mirror

import "context"

// Router knows the roads to the upstream hosts. Its methods may be called by
// many goroutines.
type Router interface {
	// Route is the road to take to r's upstream now: the endpoint in use, its
	// address with r's place on it, and the credential it wants. Refs and
	// Bandwidth of the Remote are set, Known is not.
	Route(ctx context.Context, r Repo) (Route, error)
	// Report tells how an exchange on a road went. It never blocks.
	Report(s Sample)
}
