package modproxy

import (
	"context"
	"net/http"
	"strconv"

	"golang.org/x/mod/module"
	"golang.org/x/sync/errgroup"

	"github.com/gitmirror/gitmirror/mirror"
)

// warmAtOnce bounds the module versions that one Warm works at.
const warmAtOnce = 8

// Warm fetches or makes files of modules, as if a client had asked for them: who
// the context says asks, and the rules count. What is here already is left as it
// is. The answers are in the order of the wishes.
func (h *Handler) Warm(ctx context.Context, wishes []mirror.ModuleWish) []mirror.ModuleWarmed {
	answers := make([]mirror.ModuleWarmed, len(wishes))
	var all errgroup.Group
	all.SetLimit(warmAtOnce)
	for i, wish := range wishes {
		all.Go(func() error {
			answers[i] = h.warm(ctx, wish)
			return nil
		})
	}
	_ = all.Wait() // failures are in the answers
	return answers
}

func (h *Handler) warm(ctx context.Context, wish mirror.ModuleWish) mirror.ModuleWarmed {
	done := mirror.ModuleWarmed{ModuleWish: wish, Result: mirror.WarmKept}
	kinds := []string{"info", "mod", "zip"}
	if wish.GoMod {
		kinds = kinds[1:2]
	}
	for _, kind := range kinds {
		if err := h.warmFile(ctx, wish, kind, &done); err != nil {
			done.Result, done.Problem = mirror.WarmFailed, mirror.AsProblem(err)
			return done
		}
	}
	h.Usage.Need(wish.Path, wish.Version, "warm")
	return done
}

func (h *Handler) warmFile(ctx context.Context, wish mirror.ModuleWish, kind string, done *mirror.ModuleWarmed) (err error) {
	if h.Repos == nil {
		return notMirrored(wish.Path)
	}
	defer func() { // a transfer that breaks off midway ends its connection; here there is none
		if p := recover(); p == http.ErrAbortHandler {
			err = &mirror.Problem{Code: mirror.CodeCutOff, Kind: mirror.ErrUpstream, What: "the transfer broke off", Do: "run it again"}
		} else if p != nil {
			panic(p)
		}
	}()
	escaped, err := module.EscapePath(wish.Path)
	if err != nil {
		return &mirror.Problem{Code: mirror.CodeBadPath, Kind: mirror.ErrInvalid, What: show(wish.Path) + " is not a module path"}
	}
	version, err := module.EscapeVersion(wish.Version)
	if err != nil || module.CanonicalVersion(wish.Version) != wish.Version {
		return &mirror.Problem{Code: mirror.CodeBadPath, Kind: mirror.ErrInvalid, What: strconv.Quote(show(wish.Version)) + " is not a canonical version"}
	}
	q, err := parseQuestion(escaped + "/@v/" + version + "." + kind)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(context.WithValue(ctx, askerKey{}, asker(ctx, "")), http.MethodGet, Root, nil)
	if err != nil {
		return err
	}
	w := &sink{header: http.Header{}}
	if err := h.answer(r.Context(), w, r, q); err != nil {
		return err
	}
	if by := how(w.header.Get("X-Cache")); by == byMiss || by == byGit && kind == "zip" {
		done.Result = mirror.WarmFetched
		if by == byGit {
			done.Result = mirror.WarmMade
		}
		done.Bytes += w.n
	}
	return nil
}

// quiet tells whether nobody gets an answer: it is not counted as one, nor given
// again to somebody.
func quiet(w http.ResponseWriter) bool {
	_, is := w.(*sink)
	return is
}

// sink is who asks when nobody wants the answer.
type sink struct {
	header http.Header
	n      int64
}

// Header implements http.ResponseWriter.
func (s *sink) Header() http.Header { return s.header }

// Write implements http.ResponseWriter.
func (s *sink) Write(p []byte) (int, error) {
	s.n += int64(len(p))
	return len(p), nil
}

// WriteHeader implements http.ResponseWriter.
func (s *sink) WriteHeader(int) {}
