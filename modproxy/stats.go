package modproxy

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"golang.org/x/mod/semver"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// ServedStore is where the figures of what was served are; *store.DB is one.
type ServedStore interface {
	ServedModules(ctx context.Context, q mirror.ServedQuery) ([]mirror.ServedModule, error)
	ServedModule(ctx context.Context, path string) (mirror.ServedModule, error)
	ServedVersions(ctx context.Context, module string, limit int) ([]mirror.ServedVersion, error)
	ServedTotals(ctx context.Context) ([]mirror.ServedTotal, error)
}

// counted counts an answer that was given: what its header says was sent.
func (h *Handler) counted(w http.ResponseWriter, r *http.Request, kind, modPath, version string, by how, facts useFacts) {
	if h.Usage == nil {
		return
	}
	if quiet(w) {
		h.Usage.learn(modPath, version, facts)
		return
	}
	s := served{facts: facts, hit: by == byHit || by == byStale}
	header := w.Header()
	if length := header["Content-Length"]; r.Method == http.MethodGet && len(length) == 1 {
		s.bytes, _ = strconv.ParseInt(length[0], 10, 64)
		s.download = kind == "zip" && header["Content-Range"] == nil
	}
	h.Usage.count(modPath, version, s)
}

// moduleStats is a module as @stats tells of it.
type moduleStats struct {
	Module    string         `json:"module"`
	Source    string         `json:"source,omitempty"` // "mirror", or a module proxy
	Requests  int64          `json:"requests"`
	Hits      int64          `json:"hits"`
	Downloads int64          `json:"downloads"`
	Bytes     int64          `json:"bytes"`
	LastUsed  time.Time      `json:"last_used"`
	Versions  []versionStats `json:"versions,omitempty"`
}

type versionStats struct {
	Version   string    `json:"version"`
	Source    string    `json:"source,omitempty"`
	Size      int64     `json:"size,omitempty"`
	Sum       string    `json:"sum,omitempty"`
	Requests  int64     `json:"requests"`
	Downloads int64     `json:"downloads"`
	LastUsed  time.Time `json:"last_used"`
}

// siteStats is what @stats tells of all that the caller may see.
type siteStats struct {
	Modules   int           `json:"modules"`
	Versions  int           `json:"versions"`
	Requests  int64         `json:"requests"`
	Hits      int64         `json:"hits"`
	Downloads int64         `json:"downloads"`
	Bytes     int64         `json:"bytes"`
	Top       []moduleStats `json:"top"`
}

// topModules is how many modules @stats names.
const topModules = 20

// serveStats answers @stats, and @stats?module=PATH.
func (h *Handler) serveStats(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	if h.Served == nil {
		return &mirror.Problem{Kind: mirror.ErrNotFound, What: "nothing is counted here"}
	}
	var answer any
	var err error
	if path := r.URL.Query().Get("module"); path != "" {
		answer, err = h.statsOf(ctx, path)
	} else {
		answer, err = h.statsOfAll(ctx)
	}
	if err != nil {
		return err
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	return serveBytes(w, r, "application/json", append(body, '\n'), "no-store")
}

// sees tells whether the caller may read a mirror, and so know its figures.
func (h *Handler) sees(ctx context.Context, path mirror.Path, private bool) bool {
	return !private || h.Policy.Reads(ctx, auth.From(ctx), path, true) == nil
}

func (h *Handler) statsOf(ctx context.Context, path string) (*moduleStats, error) {
	m, err := h.Served.ServedModule(ctx, path)
	if err != nil || !h.sees(ctx, m.RepoPath, m.Private) {
		if err == nil || mirror.AsProblem(err).Kind == mirror.ErrNotFound {
			err = &mirror.Problem{Kind: mirror.ErrNotFound, What: "nothing of " + show(path) + " was served here"}
		}
		return nil, err
	}
	versions, err := h.Served.ServedVersions(ctx, path, 0)
	if err != nil {
		return nil, err
	}
	stats := statsJSON(m)
	slices.SortFunc(versions, func(a, b mirror.ServedVersion) int { return semver.Compare(b.Version, a.Version) })
	for _, v := range versions {
		stats.Versions = append(stats.Versions, versionStats{v.Version, v.Source, v.Size, v.Sums.Zip, v.Requests, v.Downloads, v.LastUsed})
	}
	return &stats, nil
}

func statsJSON(m mirror.ServedModule) moduleStats {
	return moduleStats{Module: m.Path, Source: m.Source, Requests: m.Requests, Hits: m.Hits, Downloads: m.Downloads, Bytes: m.Bytes, LastUsed: m.LastUsed}
}

func (h *Handler) statsOfAll(ctx context.Context) (*siteStats, error) {
	totals, err := h.Served.ServedTotals(ctx)
	if err != nil {
		return nil, err
	}
	s := &siteStats{Top: []moduleStats{}}
	for _, t := range totals {
		if !h.sees(ctx, t.RepoPath, t.Private) {
			continue
		}
		s.Modules, s.Versions = s.Modules+t.Modules, s.Versions+t.Versions
		s.Requests, s.Hits, s.Downloads, s.Bytes = s.Requests+t.Requests, s.Hits+t.Hits, s.Downloads+t.Downloads, s.Bytes+t.Bytes
	}
	top, err := h.Served.ServedModules(ctx, mirror.ServedQuery{Public: h.Policy.May(auth.From(ctx), auth.Read, true) != nil, Sort: mirror.ModulesByDownloads, Limit: topModules})
	if err != nil {
		return nil, err
	}
	for _, m := range top {
		if h.sees(ctx, m.RepoPath, m.Private) {
			s.Top = append(s.Top, statsJSON(m))
		}
	}
	return s, nil
}
