package web

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// mirrorJSON is a mirror as the API shows it.
func (s *Server) mirrorJSON(r mirror.Repo) Mirror {
	m := Mirror{
		ID: r.ID, Path: r.Path, Upstream: r.Upstream.String(), Credential: r.Credential, Private: r.Private,
		IntervalS: int64(r.Interval / time.Second), Tags: r.Tags, Refs: r.Refs, Paused: r.Paused, Archived: r.Archived.UTC(), Version: r.Version,
		CreatedAt: r.Created.UTC(), UpdatedAt: r.Updated.UTC(),
		State: r.State.Status, Error: r.State.Problem, Failures: r.State.Failures,
		LastAttemptAt: r.State.LastAttempt.UTC(), LastSuccessAt: r.State.LastSuccess.UTC(),
		LastChangeAt: r.State.LastChange.UTC(), NextAttemptAt: r.State.NextSync.UTC(),
		DefaultBranch: strings.TrimPrefix(r.State.Head, "refs/heads/"),
		Branches:      r.State.Heads, TagCount: r.State.Tags, Bytes: r.State.Bytes,
		CloneHTTP: s.Site.URL + "/" + string(r.Path),
	}
	if m.Tags == "" {
		m.Tags = mirror.FreezeTags
	}
	if s.Site.SSH != "" {
		m.CloneSSH = s.Site.SSH + "/" + string(r.Path)
	}
	if r.State.Served() {
		age := max(0, int64(time.Since(r.State.LastSuccess)/time.Second))
		m.DataAgeS = &age
	}
	if p, running := s.Syncer.Progress(r.ID); running {
		m.Phase, m.Progress = p.Phase, &p
	}
	return m
}

func runJSON(r mirror.Run) Run {
	out := Run{
		ID: r.ID, Mirror: r.Repo, Trigger: r.Trigger, StartedAt: r.Started.UTC(), EndedAt: r.Ended.UTC(),
		Outcome: r.Outcome, Created: r.Created, Updated: r.Updated, Deleted: r.Deleted, Bytes: r.Bytes, Error: r.Problem,
	}
	end := r.Ended
	if end.IsZero() {
		end = time.Now()
	}
	out.DurationS = max(0, end.Sub(r.Started).Round(time.Millisecond).Seconds())
	return out
}

func refJSON(r mirror.Ref) Ref {
	out := Ref{Name: r.Name, Hash: r.Hash, Commit: r.Commit(), Kind: "other"}
	switch {
	case r.IsHead():
		out.Kind = "branch"
	case r.IsTag():
		out.Kind = "tag"
	case mirror.IsPull(r.Name):
		out.Kind = "pull"
	case strings.HasPrefix(r.Name, mirror.KeptPrefix):
		out.Kind = "kept"
	case strings.HasPrefix(r.Name, mirror.HeldPrefix):
		out.Kind = "held"
	}
	return out
}

func eventJSON(e mirror.Event) Event {
	return Event{ID: e.ID, Mirror: e.Repo, Run: e.Run, At: e.At.UTC(), Kind: e.Kind, Code: e.Code(), Ref: e.Ref, Old: e.Old, New: e.New, Text: e.Text}
}

func userJSON(u auth.User) User {
	return User{ID: u.ID, Name: u.Name, Role: u.Role, Disabled: u.Disabled, HasPassword: u.PasswordHash != "", CreatedAt: u.Created.UTC(), Version: u.Version()}
}

func keyJSON(k auth.Key) Key {
	return Key{ID: k.ID, Name: k.Name, Fingerprint: k.Fingerprint, PublicKey: k.Public, CreatedAt: k.Created.UTC(), LastUsedAt: k.LastUsed.UTC(), Version: keyVersion(k)}
}

func tokenJSON(t auth.Token) Token {
	return Token{ID: t.ID, Name: t.Name, Scope: t.Scope, CreatedAt: t.Created.UTC(), ExpiresAt: t.Expires.UTC(), LastUsedAt: t.LastUsed.UTC(), Version: tokenVersion(t)}
}

// each converts a list; it is never nil, so that JSON says [] and not null.
func each[A, B any](list []A, one func(A) B) []B {
	out := make([]B, len(list))
	for i, v := range list {
		out[i] = one(v)
	}
	return out
}

// cause is the part of an error that belongs into a list of answers. What has
// no kind is logged and not shown.
func (s *Server) cause(ctx context.Context, err error, route string) *mirror.Problem {
	if err == nil {
		return nil
	}
	s.logFailure(ctx, err, route)
	return mirror.AsProblem(err)
}

// repo finds a mirror by id or by path.
func (s *Server) repo(ctx context.Context, idOrPath string) (mirror.Repo, error) {
	repo, err := s.findRepo(ctx, idOrPath)
	if err == nil {
		auth.Note(ctx, "mirror "+string(repo.Path))
	}
	return repo, err
}

func (s *Server) findRepo(ctx context.Context, idOrPath string) (mirror.Repo, error) {
	if id, err := mirror.ParseID(idOrPath); err == nil {
		repo, err := s.Store.RepoByID(ctx, id)
		if errors.Is(err, mirror.ErrNotFound) {
			return mirror.Repo{}, &mirror.Problem{Kind: mirror.ErrNotFound, What: "no mirror has the id " + string(id)}
		}
		return repo, err
	}
	path, err := mirror.ParsePath(idOrPath)
	if err != nil {
		return mirror.Repo{}, err
	}
	return s.find(ctx, path)
}
