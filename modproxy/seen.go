package modproxy

import (
	"context"
	"fmt"

	"github.com/gitmirror/gitmirror/mirror"
)

// SeenStore remembers hashes of files as they were first seen; *store.DB does.
type SeenStore interface {
	FirstModuleSum(ctx context.Context, s mirror.SeenSum) (mirror.SeenSum, error)
	ForgetModuleSums(ctx context.Context, module, version string) error
}

// asFirst compares a file with what it was when it was first seen, whatever proxy
// sent it and however long ago it was dropped: a version never changes. It is for
// those that the checksum database says nothing about.
func (o *proxied) asFirst(ctx context.Context, k Kept) error {
	if o.h.Seen == nil {
		return nil
	}
	first, err := o.h.Seen.FirstModuleSum(ctx, mirror.SeenSum{Module: o.path, Version: k.Version, Kind: k.Kind, Sum: k.H1, From: k.From, At: k.At})
	if err != nil {
		return fmt.Errorf("hash first seen of %s@%s: %w", o.path, k.Version, err)
	}
	if first.Sum == k.H1 {
		return nil
	}
	what := show(o.path + "@" + k.Version)
	return o.forged(ctx, k, &mirror.Problem{Code: mirror.CodeModuleSum, Kind: mirror.ErrIntegrity, What: what + " is not what it was when it was first seen",
		Why: fmt.Sprintf("the %s of %s has %s; that of %s had %s on %s", k.Kind, k.From, k.H1, first.From, first.Sum, first.At.UTC().Format("2006-01-02")),
		Do:  "it is not passed on. If the new one is right: gitmirror module accept " + what})
}

// Accept has the next files of a version be taken for the right ones, though others
// were seen before; those that are kept of it are dropped.
func (h *Handler) Accept(ctx context.Context, modPath, version string) error {
	if h.Seen == nil {
		return &mirror.Problem{Kind: mirror.ErrNotFound, What: "no hashes are remembered here"}
	}
	if err := h.Seen.ForgetModuleSums(ctx, modPath, version); err != nil {
		return err
	}
	if h.Store == nil {
		return nil
	}
	o := &proxied{h: h, path: modPath}
	for _, kind := range []string{"info", "mod", "zip"} {
		if key := o.key(question{kind: kind, version: version}); key != "" {
			h.Store.Drop(key)
		}
	}
	return nil
}
