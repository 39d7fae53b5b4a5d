package web

import (
	"context"
	"errors"
	"slices"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// sighted is the store as the caller of a request may see it: mirrors that are
// for others do not exist, and nothing that belongs to them. Pages and API read
// through it and need not think of it.
type sighted struct {
	mirror.Store
	policy auth.Policy
}

func (s sighted) sight(ctx context.Context) (*mirror.Sight, error) {
	return s.policy.Sight(ctx, auth.From(ctx))
}

// Repos is that of the store.
func (s sighted) Repos(ctx context.Context, q mirror.RepoQuery) ([]mirror.Repo, error) {
	var err error
	if q.Sight, err = s.sight(ctx); err != nil {
		return nil, err
	}
	return s.Store.Repos(ctx, q)
}

// CountRepos is that of the store.
func (s sighted) CountRepos(ctx context.Context, q mirror.RepoQuery) (map[mirror.Status]int, error) {
	var err error
	if q.Sight, err = s.sight(ctx); err != nil {
		return nil, err
	}
	return s.Store.CountRepos(ctx, q)
}

func (s sighted) seen(ctx context.Context, repo mirror.Repo, err error) (mirror.Repo, error) {
	if err != nil || !repo.Private {
		return repo, err
	}
	sight, err := s.sight(ctx)
	if err != nil {
		return mirror.Repo{}, err
	}
	if !sight.Sees(repo.Path, repo.Private) {
		return mirror.Repo{}, mirror.ErrNotFound
	}
	return repo, nil
}

// Repo is that of the store.
func (s sighted) Repo(ctx context.Context, path mirror.Path) (mirror.Repo, error) {
	repo, err := s.Store.Repo(ctx, path)
	return s.seen(ctx, repo, err)
}

// Glance is that of the store.
func (s sighted) Glance(ctx context.Context, path mirror.Path) (mirror.Repo, error) {
	repo, err := s.Store.Glance(ctx, path)
	return s.seen(ctx, repo, err)
}

// RepoByID is that of the store.
func (s sighted) RepoByID(ctx context.Context, id mirror.ID) (mirror.Repo, error) {
	repo, err := s.Store.RepoByID(ctx, id)
	return s.seen(ctx, repo, err)
}

// NewestRuns is that of the store.
func (s sighted) NewestRuns(ctx context.Context, _ *mirror.Sight, limit int) ([]mirror.Run, error) {
	sight, err := s.sight(ctx)
	if err != nil {
		return nil, err
	}
	return s.Store.NewestRuns(ctx, sight, limit)
}

// Holds is that of the store.
func (s sighted) Holds(ctx context.Context, q mirror.HoldQuery) ([]mirror.Hold, error) {
	var err error
	if q.Sight, err = s.sight(ctx); err != nil {
		return nil, err
	}
	return s.Store.Holds(ctx, q)
}

// Hold is that of the store.
func (s sighted) Hold(ctx context.Context, id int64) (mirror.Hold, error) {
	h, err := s.Store.Hold(ctx, id)
	if err != nil {
		return h, err
	}
	if sight, err := s.sight(ctx); sight == nil {
		return h, err
	}
	if _, err := s.RepoByID(ctx, h.Repo); err != nil {
		return mirror.Hold{}, err
	}
	return h, nil
}

// CountHolds is that of the store; of all it counts at most 1,000 for those who
// do not see all.
func (s sighted) CountHolds(ctx context.Context, repo mirror.ID) (int, error) {
	sight, err := s.sight(ctx)
	if err != nil {
		return 0, err
	}
	if sight == nil || repo != "" {
		return s.Store.CountHolds(ctx, repo)
	}
	open, err := s.Store.Holds(ctx, mirror.HoldQuery{State: "open", Limit: 1000, Sight: sight})
	return len(open), err
}

// Aliases is that of the store.
func (s sighted) Aliases(ctx context.Context) ([]mirror.Alias, error) {
	list, err := s.Store.Aliases(ctx)
	if err != nil {
		return nil, err
	}
	if sight, err := s.sight(ctx); sight == nil {
		return list, err
	}
	var failed error
	list = slices.DeleteFunc(list, func(a mirror.Alias) bool {
		repo, err := s.Store.Glance(ctx, a.Repo)
		if errors.Is(err, mirror.ErrNotFound) {
			return false // an alias of what is not mirrored says nothing of a mirror
		}
		if err == nil {
			_, err = s.seen(ctx, repo, nil)
		}
		if err != nil && !errors.Is(err, mirror.ErrNotFound) {
			failed = err
		}
		return err != nil
	})
	return list, failed
}

// find is Catalog.Find for the caller.
func (s *Server) find(ctx context.Context, path mirror.Path) (mirror.Repo, error) {
	repo, err := s.Store.Repo(ctx, path)
	if errors.Is(err, mirror.ErrNotFound) {
		if now, ok := s.Catalog.Now(ctx, path); ok {
			repo, err = s.Store.Repo(ctx, now)
		}
	}
	if errors.Is(err, mirror.ErrNotFound) {
		return mirror.Repo{}, mirror.NotMirrored(string(path))
	}
	return repo, err
}

// topTraffic is what is used most, of what the caller may know of.
func (s *Server) topTraffic(ctx context.Context, list []mirror.RepoTraffic) ([]mirror.RepoTraffic, error) {
	if sight, err := s.Policy.Sight(ctx, auth.From(ctx)); sight == nil {
		return list, err
	}
	var failed error
	return slices.DeleteFunc(list, func(t mirror.RepoTraffic) bool {
		_, err := s.Store.RepoByID(ctx, t.Repo)
		if err != nil && !errors.Is(err, mirror.ErrNotFound) {
			failed = err
		}
		return err != nil
	}), failed
}

// onlooker tells whose syncs a stream may show, and asks for each mirror once
// until forget.
type onlooker struct {
	s    *Server
	sees map[mirror.ID]bool
}

func (o *onlooker) may(ctx context.Context, id mirror.ID) bool {
	sees, known := o.sees[id]
	if !known {
		_, err := o.s.Store.RepoByID(ctx, id)
		sees = err == nil
		if o.sees == nil {
			o.sees = map[mirror.ID]bool{}
		}
		o.sees[id] = sees
	}
	return sees
}

func (o *onlooker) forget() { o.sees = nil }
