package modproxy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/dirhash"

	"github.com/gitmirror/gitmirror/mirror"
)

// SeenStore remembers hashes of files as they were first seen; *store.DB does.
type SeenStore interface {
	FirstModuleSum(ctx context.Context, s mirror.SeenSum) (mirror.SeenSum, error)
	SettleModuleSum(ctx context.Context, s mirror.SeenSum, was string) error
	ForgetModuleSums(ctx context.Context, module, version string) error
}

// asFirst compares a file with what it was when it was first seen, whatever proxy
// sent it and however long ago it was dropped: a version never changes. It is for
// those that the checksum database says nothing about. A zip, in the file name,
// is known by its bytes until there was time to hash what is in it (see unhashed):
// proxies need not pack a module in the same way.
func (o *proxied) asFirst(ctx context.Context, k Kept, name string) error {
	if o.h.Seen == nil {
		return nil
	}
	sum := k.H1
	if sum == "" {
		sum = bytesSum(k)
	}
	first, err := o.h.Seen.FirstModuleSum(ctx, mirror.SeenSum{Module: o.path, Version: k.Version, Kind: k.Kind, Sum: sum, From: k.From, At: k.At})
	if err != nil {
		return fmt.Errorf("hash first seen of %s@%s: %w", o.path, k.Version, err)
	}
	is := func(sum string) bool { return slices.Contains(strings.Fields(first.Sum), sum) }
	if is(sum) || is(bytesSum(k)) {
		return nil
	}
	if k.H1 == "" && strings.HasPrefix(first.Sum, "h1:") {
		if k.H1, err = dirhash.HashZip(name, dirhash.Hash1); err != nil {
			return oddZip(k.From, show(err.Error()))
		}
		if is(k.H1) {
			return nil
		}
		sum = k.H1
	}
	what := show(o.path + "@" + k.Version)
	return o.forged(ctx, k, &mirror.Problem{Code: mirror.CodeModuleSum, Kind: mirror.ErrIntegrity, What: what + " is not what it was when it was first seen",
		Why: fmt.Sprintf("the %s of %s has %s; that of %s had %s on %s", k.Kind, k.From, sum, first.From, first.Sum, first.At.UTC().Format("2006-01-02")),
		Do:  "it is not passed on. If the new one is right: gitmirror module accept " + what})
}

// bytesSum is the hash of a file's own bytes, in the place of an h1.
func bytesSum(k Kept) string { return "sha256:" + k.Sum }

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
