package modproxy

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/mirror"
)

// serveSum answers what is behind "sumdb/". Modules of private mirrors, and the
// mirror's own paths, are never asked about: their names would be published.
func (h *Handler) serveSum(ctx context.Context, w http.ResponseWriter, r *http.Request, question string) error {
	question, ok := strings.CutPrefix(question, h.SumDB.DB.Name+"/")
	if !ok {
		return noSuchSum("this mirror passes on the checksum database " + h.SumDB.DB.Name + " and no other")
	}
	var m module.Version
	if text, ok := strings.CutPrefix(question, "lookup/"); ok {
		var err error
		m, err = parseLookup(text)
		if err != nil {
			return err
		}
		private, err := h.Repos.private(ctx, m.Path)
		if err != nil {
			return err
		}
		if private || module.MatchPrefixPatterns(h.NoSum, m.Path) {
			if _, err := h.state().miss.take(ctx); err != nil {
				return err
			}
			return h.SumDB.pretend(ctx, m)
		}
	}
	found := func() {}
	if m.Path != "" && !h.SumDB.keeps(m) {
		var err error
		if found, err = h.state().miss.take(ctx); err != nil {
			return err
		}
	}
	data, forever, err := h.SumDB.Answer(ctx, question)
	if !errors.Is(err, mirror.ErrNotFound) {
		found()
	}
	if errors.Is(err, mirror.ErrIntegrity) {
		h.lied(m.Path, m.Version, err)
	}
	if err != nil {
		if question == "supported" && !errors.Is(err, mirror.ErrIntegrity) {
			// Whoever asks may go on to the database itself.
			return noSuchSum(mirror.AsProblem(err).Error())
		}
		return err
	}
	seconds := briefSeconds
	if forever {
		seconds = foreverSeconds
	}
	return serveBytes(w, r, "text/plain; charset=utf-8", data, cacheControl(h.Policy.AnonymousRead, seconds))
}

// keeps tells whether the record of a module version is here.
func (s *SumDB) keeps(m module.Version) bool {
	s.init()
	file, err := s.lookupFile(m)
	if err != nil {
		return false
	}
	_, err = s.files.ReadCache(file)
	return err == nil
}

// pretend answers as if the database had been asked and did not know the module.
func (s *SumDB) pretend(ctx context.Context, m module.Version) error {
	if err := s.pace.wait(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return s.failed
	}
	return unknownSum(m.String())
}

// lied notes that the checksum database, or somebody in its place, did. The module
// is empty when the question was about none.
func (h *Handler) lied(modPath, version string, err error) {
	h.state().forged.Add(1)
	h.note(mirror.ModuleEvent{At: time.Now().UTC(), Kind: mirror.ModuleForged, Module: modPath, Version: version, From: h.SumDB.DB.Name, Text: err.Error()})
}

// private tells whether a module's name is nobody else's business.
func (r *Repos) private(ctx context.Context, modPath string) (bool, error) {
	if host := r.Site.Host(); host != "" && strings.HasPrefix(modPath+"/", host+"/") {
		return true, nil
	}
	h, err := r.locate(ctx, modPath)
	var hidden *hiddenError
	switch {
	case errors.As(err, &hidden):
		return true, nil // it is there, though not for who asks
	case errors.Is(err, mirror.ErrNotFound), errors.Is(err, mirror.ErrInvalid):
		return false, nil
	case errors.Is(err, mirror.ErrSignIn), errors.Is(err, mirror.ErrDenied):
		return true, nil // it would be mirrored for others
	case err != nil:
		return false, err
	}
	return h.repo.Private, nil
}
