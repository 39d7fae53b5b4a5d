package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// RenameMirror asks for another path.
type RenameMirror struct {
	Path    string `json:"path" minLength:"1" maxLength:"500" doc:"The path it is to have" example:"git.corp.example/team/tool"`
	NoAlias bool   `json:"no_alias,omitempty" doc:"Give the old path up; else clones, go-get and the module gateway find the mirror by it as before"`
	Widen   bool   `json:"widen,omitempty" doc:"Rename it although grants let more people read a private mirror there; administrators only"`
}

// RenamedMirror is a mirror that has another path now.
type RenamedMirror struct {
	Mirror Mirror      `json:"mirror"`
	From   mirror.Path `json:"from" doc:"The path it had"`
	Alias  bool        `json:"alias" doc:"The old path leads to it"`
	Gained *Readers    `json:"gained,omitempty" doc:"Who may read it now and could not before; shown to administrators"`
	Lost   *Readers    `json:"lost,omitempty" doc:"Who could read it and may not any more; shown to administrators"`
}

// Readers are people who read a private mirror.
type Readers struct {
	SignedIn bool     `json:"signed_in" doc:"Whoever is signed in"`
	Groups   []string `json:"groups" doc:"Names of groups"`
}

func (a *api) renameOperations() {
	register(a, managers, huma.Operation{
		OperationID: "rename-mirror", Method: http.MethodPost, Path: "/mirrors/{mirror}/rename", Tags: []string{"mirrors"}, Summary: "Give a mirror another path",
		Description: "Its data stay where they are, and what clients, syncs and builds are doing goes on. Grants of exactly the old path go " +
			"with the mirror, those of folders do not: where they let more people read a private mirror the answer is 409 (kind `held`), " +
			"until an administrator agrees with `widen`.",
		DefaultStatus: http.StatusOK, Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
	}, a.renameMirror)
}

type renameMirrorRequest struct {
	MirrorParam
	MatchParam
	Body RenameMirror
}

type renamedAnswer struct {
	ETag string `header:"ETag"`
	Body RenamedMirror
}

func (a *api) renameMirror(ctx context.Context, in *renameMirrorRequest) (*renamedAnswer, error) {
	repo, err := a.repo(ctx, in.Mirror)
	if err != nil {
		return nil, err
	}
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	renamed, err := a.rename(ctx, repo, in.Body, version)
	if errors.Is(err, mirror.ErrExists) && version != 0 {
		now, seeErr := a.Store.RepoByID(ctx, repo.ID)
		if seeErr != nil {
			return nil, seeErr
		}
		if now.Version != version {
			return nil, staleThing(ctx, string(now.Path), strconv.FormatInt(now.Version, 10), []Difference{{"path", string(now.Path), cut(in.Body.Path)}})
		}
	}
	if err != nil {
		return nil, err
	}
	return &renamedAnswer{ETag: versionTag(renamed.Mirror.Version), Body: renamed}, nil
}

// rename has a mirror renamed, unless that would let more people read it and
// nobody who may has agreed. Grants are edited under the same lock.
func (s *Server) rename(ctx context.Context, repo mirror.Repo, in RenameMirror, version int64) (RenamedMirror, error) {
	s.editing.Lock()
	defer s.editing.Unlock()
	governs := s.Policy.May(auth.From(ctx), auth.Administer, true) == nil
	var gained, lost *Readers
	renamed, err := s.Catalog.Rename(ctx, repo.ID, mirror.Renaming{
		Text: in.Path, NoAlias: in.NoAlias, Version: version, May: s.mayHave,
		Agree: func(ctx context.Context, now mirror.Repo, to mirror.Path) error {
			var err error
			gained, lost, err = s.readersMoved(ctx, now, to)
			switch {
			case err != nil:
				return err
			case gained != nil && !governs:
				return &mirror.Problem{
					Code: mirror.CodeMayNot, Kind: mirror.ErrDenied, What: "more people could read " + string(now.Path) + " as " + string(to),
					Why: "only an administrator may agree to that", Do: "ask an administrator",
				}
			case gained != nil && !in.Widen:
				return &mirror.Problem{
					Kind: mirror.ErrHeld, What: "more people could read " + string(now.Path) + " as " + string(to), Why: "these may not read it now: " + gained.String(),
					Do: "agree to that (--widen), or grant the new path to those who are to read it",
				}
			}
			return nil
		},
	})
	if err != nil {
		return RenamedMirror{}, err
	}
	auth.Note(ctx, "mirror "+string(renamed.Path), auth.Change{Field: "readers added", After: gained.String()}, auth.Change{Field: "readers dropped", After: lost.String()})
	out := RenamedMirror{Mirror: s.mirrorJSON(renamed), From: repo.Path, Alias: !in.NoAlias}
	if governs {
		out.Gained, out.Lost = gained, lost
	}
	return out, nil
}

// readersMoved says who may read a mirror at another path and may not now, and the
// other way round; nil = nobody.
func (s *Server) readersMoved(ctx context.Context, repo mirror.Repo, to mirror.Path) (gained, lost *Readers, err error) {
	if !repo.Private {
		return nil, nil, nil
	}
	before, after, err := s.Policy.ReadersMoved(ctx, repo.Path, to)
	if err != nil {
		return nil, nil, err
	}
	groups, err := s.Accounts.Groups(ctx)
	if err != nil {
		return nil, nil, err
	}
	named := func(r auth.Readers) *Readers {
		if r.None() {
			return nil
		}
		out := &Readers{SignedIn: r.Anyone, Groups: []string{}}
		for _, g := range groups {
			for _, id := range r.Groups {
				if g.ID == id {
					out.Groups = append(out.Groups, g.Name)
				}
			}
		}
		return out
	}
	return named(after.Beyond(before)), named(before.Beyond(after)), nil
}

// String is readers in words; nil has none.
func (r *Readers) String() string {
	switch {
	case r == nil:
		return ""
	case r.SignedIn:
		return "whoever is signed in"
	}
	return strings.Join(r.Groups, ", ")
}
