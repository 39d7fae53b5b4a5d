package gitserver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
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
	t.in = &beat{rw: s.channel, alive: alive}
	t.out = &beat{rw: s.channel, alive: func(n int) { alive(n); s.sent.Add(int64(n)) }, gone: s.cancel}
	return t
}

// coming serves protocol v2 for a mirror whose first clone still runs. The client
// speaks first: what the server can is the same for all repositories, the refs
// are known as soon as the upstream has listed them, and only the request for
// objects says whether anybody wants to see progress.
func (s *session) coming(ctx context.Context, id auth.Identity, repo mirror.Repo, t *talk) error {
	h := s.hall
	leave, err := h.Gate.wait(principal(id, s.c.peer))
	if err != nil {
		return err
	}
	defer leave()
	if err := h.Packs.Announce(ctx, t.out); err != nil {
		return err
	}
	for {
		request, err := readRequest(t.in)
		if err != nil || len(request) == 0 {
			return err
		}
		if !repo.State.Served() && plainClone(request) {
			if repo, err = s.cloneComing(ctx, id, repo, request, t, leave); err != nil {
				return err
			}
			continue
		}
		done := false
		if repo, done, err = s.answerComing(ctx, repo, request, t); err != nil {
			return err
		}
		if done {
			continue
		}
		if err := h.Policy.May(id, auth.Read, repo.Private); err != nil {
			return err
		}
		leave()
		return s.serve(ctx, id, repo, io.MultiReader(bytes.NewReader(request), t.in), &behindFlush{w: t.out})
	}
}

// answerComing answers a listing of refs from what the upstream has listed. For
// anything else it waits until the mirror is cloned; done is false then.
func (s *session) answerComing(ctx context.Context, repo mirror.Repo, request []byte, t *talk) (_ mirror.Repo, done bool, err error) {
	if repo.State.Served() {
		return repo, false, nil
	}
	t.idle.Stop()
	defer t.idle.Reset(t.limit)
	texts, _ := pktTexts(request)
	say := s.teller(repo)
	say.quiet = !slices.Contains(texts, "command=fetch") || slices.Contains(texts, "no-progress")
	if slices.Contains(texts, "command=ls-refs") {
		cloned, listing, err := waitTelling(ctx, s.hall.Catalog, repo, say, true)
		if err != nil || cloned.State.Served() {
			return cloned, false, err
		}
		if done, err := s.hall.Packs.ListRefs(listing, request, t.out); done || err != nil {
			return repo, done, err
		}
	}
	cloned, _, err := waitTelling(ctx, s.hall.Catalog, repo, say, false)
	return cloned, false, err
}

// cloneComing answers a clone of everything: how the first clone goes, on the
// side-band for that, then the pack.
func (s *session) cloneComing(ctx context.Context, id auth.Identity, repo mirror.Repo, request []byte, t *talk, leave func()) (mirror.Repo, error) {
	h := s.hall
	if _, err := io.WriteString(t.out, packfile); err != nil {
		return repo, context.Canceled
	}
	texts, _ := pktTexts(request)
	say := s.teller(repo)
	say.quiet = slices.Contains(texts, "no-progress")
	say.send = func(text string) error { return sideband(t.out, 2, text) }
	cloned, _, err := waitTelling(ctx, h.Catalog, repo, say, false)
	if err == nil {
		err = h.Policy.May(id, auth.Read, cloned.Private)
	}
	leave()
	var end func()
	if err == nil {
		end, err = h.Gate.enter(ctx, principal(id, s.c.peer))
	}
	if err != nil {
		return repo, s.refuseInBand(ctx, repo, t, err)
	}
	defer end()
	out := &behindPackfile{w: t.out}
	if err := h.Packs.UploadPack(ctx, cloned.ID, s.asked.protocol, true, false, bytes.NewReader(request), out, io.Discard); err != nil {
		h.Log.Debug("upload-pack ended with an error", "repo", repo.Path, "addr", s.c.peer, "err", err)
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

// readRequest reads a request of protocol v2, to its flush packet. It is empty
// when the client has enough.
func readRequest(r io.Reader) ([]byte, error) {
	var request []byte
	for {
		var head [4]byte
		_, err := io.ReadFull(r, head[:])
		if errors.Is(err, io.EOF) && len(request) == 0 {
			return nil, nil
		}
		if err != nil {
			return nil, errRequest("it ends in the middle")
		}
		n, err := strconv.ParseUint(string(head[:]), 16, 16)
		switch {
		case err != nil || n == 3 || n > 65520:
			return nil, errRequest("it is not made of pkt-lines")
		case n == 0 && len(request) == 0:
			return nil, nil
		case len(request)+int(n) > inMemory:
			return nil, errRequest("it is too large for a repository that is cloned for the first time")
		}
		request = append(request, head[:]...)
		if n == 0 {
			return request, nil
		}
		if n > 4 {
			line := make([]byte, n-4)
			if _, err := io.ReadFull(r, line); err != nil {
				return nil, errRequest("it ends in the middle")
			}
			request = append(request, line...)
		}
	}
}

func errRequest(why string) error {
	return &mirror.Problem{Code: mirror.CodeGitRequest, Kind: mirror.ErrInvalid, What: "the request is not in git's protocol", Why: why, Do: "clone again"}
}

// behindFlush drops what comes before and with the first flush packet: the
// advertisement, which has been sent.
type behindFlush struct {
	w     io.Writer
	start []byte
	open  bool
}

func (b *behindFlush) Write(p []byte) (int, error) {
	if b.open {
		return b.w.Write(p)
	}
	b.start = append(b.start, p...)
	for len(b.start) >= 4 {
		n, err := strconv.ParseUint(string(b.start[:4]), 16, 16)
		if err != nil {
			return 0, errors.New("git upload-pack began with what is no pkt-line: " + strings.ToValidUTF8(string(b.start[:4]), "?"))
		}
		if n == 0 {
			rest := b.start[4:]
			b.open, b.start = true, nil
			if len(rest) > 0 {
				if _, err := b.w.Write(rest); err != nil {
					return 0, err
				}
			}
			return len(p), nil
		}
		if n = max(n, 4); n > uint64(len(b.start)) {
			break
		}
		b.start = b.start[n:]
	}
	return len(p), nil
}
