package gitserver

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// told is an error that the client has been told in its protocol.
type told struct{ error }

func (t told) Unwrap() error { return t.error }

// talk is a conversation with a client. One that neither sends nor takes any
// byte for Idle is cut off.
type talk struct {
	in, out *beat
	idle    *time.Timer
	limit   time.Duration
}

func (s *session) talk() *talk {
	t := &talk{limit: s.hall.Idle}
	t.idle = time.AfterFunc(t.limit, s.cancel)
	alive := func(int) { t.idle.Reset(t.limit) }
	t.in = &beat{rw: s.channel, alive: alive, heard: &witness{flow: s.flow}}
	t.out = &beat{rw: s.channel, alive: func(n int) { alive(n); s.flow.Sent(int64(n)) }, gone: s.cancel}
	return t
}

// coming serves protocol v2 for a mirror whose first clone still runs. The refs
// are known as soon as the upstream has listed them, and only the request for
// objects says whether anybody wants to see progress.
func (s *session) coming(ctx context.Context, id auth.Identity, repo mirror.Repo, t *talk) error {
	h := s.hall
	leave, err := h.Gate.wait(principal(id, s.c.peer))
	if err != nil {
		return err
	}
	defer leave()
	return h.Front.requests(t.in, t.out, func(request *body) error {
		if !repo.State.Served() && plainClone(request) {
			repo, err = s.cloneComing(ctx, id, repo, request, t, leave)
			return err
		}
		if !repo.State.Served() {
			cloned, done, err := s.answerComing(ctx, repo, request, t)
			if repo = cloned; done || err != nil {
				return err
			}
			if err := h.Policy.Reads(ctx, id, repo.Path, repo.Private); err != nil {
				return err
			}
			leave()
		}
		_, err := h.Front.answer(ctx, party{principal(id, s.c.peer), s.flow}, repo, s.asked.protocol, request, t.out)
		return err
	})
}

// answerComing answers a listing of refs from what the upstream has listed. For
// anything else it waits until the mirror is cloned; done is false then.
func (s *session) answerComing(ctx context.Context, repo mirror.Repo, request *body, t *talk) (_ mirror.Repo, done bool, err error) {
	t.idle.Stop()
	defer t.idle.Reset(t.limit)
	texts, _ := pktTexts(request.start)
	say := s.teller(repo)
	say.quiet = !slices.Contains(texts, "command=fetch") || slices.Contains(texts, "no-progress")
	if slices.Contains(texts, "command=ls-refs") {
		cloned, listing, err := waitTelling(ctx, s.hall.Catalog, repo, say, true)
		if err != nil || cloned.State.Served() {
			return cloned, false, err
		}
		if done, err := s.hall.Front.listComing(listing, request, t.out); done || err != nil {
			return repo, done, err
		}
	}
	cloned, _, err := waitTelling(ctx, s.hall.Catalog, repo, say, false)
	return cloned, false, err
}

// cloneComing answers a clone of everything: how the first clone goes, on the
// side-band for that, then the pack.
func (s *session) cloneComing(ctx context.Context, id auth.Identity, repo mirror.Repo, request *body, t *talk, leave func()) (mirror.Repo, error) {
	h := s.hall
	if _, err := io.WriteString(t.out, packfile); err != nil {
		return repo, context.Canceled
	}
	texts, _ := pktTexts(request.start)
	say := s.teller(repo)
	say.quiet = slices.Contains(texts, "no-progress")
	say.send = func(text string) error { return sideband(t.out, 2, text) }
	cloned, _, err := waitTelling(ctx, h.Catalog, repo, say, false)
	if err == nil {
		err = h.Policy.Reads(ctx, id, cloned.Path, cloned.Private)
	}
	leave()
	out := &behindPackfile{w: t.out}
	if err == nil {
		_, err = h.Front.answer(ctx, party{principal(id, s.c.peer), s.flow}, cloned, s.asked.protocol, request, out)
	}
	switch {
	case err != nil && !out.open:
		return repo, s.refuseInBand(ctx, repo, t, err)
	case err != nil:
		return repo, err
	}
	if err := out.close(); err != nil {
		return repo, told{err}
	}
	return cloned, nil
}

// refuseInBand ends an answer that has begun, with the reason.
func (s *session) refuseInBand(ctx context.Context, repo mirror.Repo, t *talk, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p := mirror.AsProblem(err)
	if p.Kind == "" {
		s.hall.Log.Error("ssh command failed", "repo", repo.Path, "addr", s.c.peer, "err", err)
	}
	if sideband(t.out, 3, sentence(p)) == nil {
		_, _ = io.WriteString(t.out, "0000")
	}
	return told{err}
}

// teller tells on stderr how a first clone goes.
func (s *session) teller(repo mirror.Repo) *teller {
	return &teller{name: string(repo.Path), send: func(text string) error {
		if text == "" { // clients ignore it, and what stands on the way sees that the connection is used
			_, err := s.channel.SendRequest("keepalive@openssh.com", false, nil)
			return err
		}
		_, err := io.WriteString(s.channel.Stderr(), text)
		return err
	}}
}
