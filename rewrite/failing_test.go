package rewrite_test

import (
	"context"

	"github.com/gitmirror/gitmirror/mirror"
)

// failing is a mirror that cannot be reached.
type failing struct{ err error }

func (f failing) Resolve(context.Context, []mirror.ModuleQuery) ([]mirror.ModuleAnswer, error) {
	return nil, f.err
}
