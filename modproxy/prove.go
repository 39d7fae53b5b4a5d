package modproxy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/mirror"
)

// Verify says what becomes of files of module proxies that the checksum database
// cannot vouch for. What it contradicts is never passed on, but with VerifyOff.
type Verify string

// The ways.
const (
	// VerifyKnown passes on what the database does not know, and everything while
	// it cannot be asked: clients check for themselves. It is the default.
	VerifyKnown Verify = "when-known"
	// VerifyAlways passes on nothing that was not proven.
	VerifyAlways Verify = "always"
	// VerifyOff asks nobody.
	VerifyOff Verify = "off"
)

// proof is a question to the checksum database that goes on.
type proof struct {
	done chan struct{}
	sums mirror.Sums
	err  error
}

// prove asks the checksum database about a version, beside the transfer; nil when
// it is not to be asked.
func (h *Handler) prove(ctx context.Context, modPath, version string) *proof {
	if h.SumDB == nil || h.Verify == VerifyOff || module.MatchPrefixPatterns(h.NoSum, modPath) {
		return nil
	}
	p := &proof{done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.sums, p.err = h.SumDB.Sums(ctx, module.Version{Path: modPath, Version: version})
	}()
	return p
}

// check compares a file with what the database says, or, when that says nothing,
// with what was first seen. An error means that the file must not be passed on.
// name is the file of a zip.
func (o *proxied) check(ctx context.Context, p *proof, k Kept, name string) (proven bool, err error) {
	if p == nil {
		return false, o.asFirst(ctx, k, name)
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	what := show(o.path + "@" + k.Version)
	switch {
	case p.err == nil:
	case errors.Is(p.err, mirror.ErrIntegrity):
		o.h.lied(o.path, k.Version, p.err)
		return false, p.err
	case o.h.Verify == VerifyAlways:
		return false, &mirror.Problem{Code: mirror.CodeSumAway, Kind: mirror.ErrUpstream, What: what + " cannot be verified now",
			Why: mirror.AsProblem(p.err).Error(), Do: "try again later; only what the checksum database vouches for is passed on here (modules.verify)"}
	default:
		return false, o.asFirst(ctx, k, name)
	}
	want := p.sums.Zip
	if k.Kind == "mod" {
		want = p.sums.Mod
	}
	if want == k.H1 {
		return true, nil
	}
	return false, o.forged(ctx, k, &mirror.Problem{Code: mirror.CodeModuleSum, Kind: mirror.ErrIntegrity, What: what + " is not what the checksum database says",
		Why: fmt.Sprintf("the %s of %s has %s, %s says %s", k.Kind, k.From, k.H1, o.h.SumDB.DB.Name, want),
		Do:  "it is not passed on; do not switch verification off: find out who changed it, " + k.From + " or somebody on the way"})
}

// forged tells everybody about a file that is not what it should be.
func (o *proxied) forged(ctx context.Context, k Kept, p *mirror.Problem) error {
	if o.h.Log != nil {
		o.h.Log.ErrorContext(ctx, "module proxy sent a forged file", "module", show(o.path+"@"+k.Version), "from", k.From, "err", p)
	}
	o.h.state().forged.Add(1)
	o.h.note(mirror.ModuleEvent{At: time.Now().UTC(), Kind: mirror.ModuleForged, Module: o.path, Version: k.Version, From: k.From, Text: p.Error()})
	return p
}

// Sums are those the database has of a module version. The errors are those of
// Answer.
func (s *SumDB) Sums(ctx context.Context, m module.Version) (mirror.Sums, error) {
	s.init()
	record, err := s.lookup(ctx, m)
	if err != nil {
		return mirror.Sums{}, err
	}
	var sums mirror.Sums
	for line := range strings.Lines(string(record)) {
		f := strings.Fields(line)
		switch {
		case len(f) != 3 || f[0] != m.Path:
		case f[1] == m.Version:
			sums.Zip = f[2]
		case f[1] == m.Version+"/go.mod":
			sums.Mod = f[2]
		}
	}
	if sums.Zip == "" || sums.Mod == "" {
		return sums, unknownSum(m.String())
	}
	return sums, nil
}
