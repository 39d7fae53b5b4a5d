package modproxy

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	modzip "golang.org/x/mod/zip"

	"github.com/gitmirror/gitmirror/mirror"
)

// proxied is a module that is had of other module proxies, and kept.
type proxied struct {
	h     *Handler
	path  string
	fetch bool // the proxies may be asked
	mode  mirror.ModuleMode
	// hidden is of a private mirror's module for who may not know of it: as if no
	// proxy had it, see pretend.
	hidden bool
}

// How long an answer that may change is taken for the newest; how long nobody is
// asked again for what was not there; and bounds of small files.
const (
	proxiedFresh = time.Minute
	proxiedGone  = time.Minute
	proxiedWait  = 90 * time.Second // for a small file, whoever waits
	maxInfoFile  = 1 << 20
	maxListFile  = 16 << 20
	maxGoModFile = modzip.MaxGoMod
)

func (o *proxied) public() bool { return true }

func (o *proxied) facts() useFacts { return useFacts{} }

// file is what is asked of a proxy, and the key it is kept by.
func (o *proxied) file(tail string) (file, key string, err error) {
	escaped, err := module.EscapePath(o.path)
	if err != nil {
		return "", "", err
	}
	file = escaped + "/" + tail
	return file, "proxy " + file, nil
}

func (o *proxied) versioned(version, suffix string) (file, key string, err error) {
	escaped, err := module.EscapeVersion(version)
	if err != nil {
		return "", "", err
	}
	return o.file("@v/" + escaped + suffix)
}

// key is what the answer to a question is kept by; empty when there is no such.
func (o *proxied) key(q question) (key string) {
	switch q.kind {
	case "list":
		_, key, _ = o.file("@v/list")
	case "info", "mod", "zip":
		_, key, _ = o.versioned(q.version, "."+q.kind)
	}
	return key
}

func (o *proxied) versions(ctx context.Context) ([]string, how, error) {
	file, key, err := o.file("@v/list")
	if err != nil {
		return nil, "", err
	}
	data, by, err := o.changing(ctx, Kept{Key: key, Module: o.path, Kind: "list"}, file, maxListFile, func(data []byte) error {
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimSpace(line); line != "" && !semver.IsValid(versionOfLine(line)) {
				return oddAnswer(file, "is no list of versions")
			}
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, by, nil
}

func (o *proxied) info(ctx context.Context, query string) (infoReply, error) {
	if query == "latest" {
		return o.latest(ctx)
	}
	file, key, err := o.versioned(query, ".info")
	if err != nil {
		return infoReply{}, o.unknown(query)
	}
	canonical := query == module.CanonicalVersion(query)
	accept := func(data []byte) error {
		info, err := readInfo(data)
		if err != nil || canonical && info.Version != query {
			return oddAnswer(file, "does not tell of that version")
		}
		return nil
	}
	k := Kept{Key: key, Module: o.path, Version: query, Kind: "info"}
	if !canonical {
		return readReply(o.changing(ctx, k, file, maxInfoFile, accept))
	}
	return readReply(o.lasting(ctx, k, file, maxInfoFile, accept))
}

// readInfo reads what a proxy says of a version.
func readInfo(data []byte) (Info, error) {
	var info Info
	if err := json.Unmarshal(data, &info); err != nil {
		return info, err
	}
	if info.Version == "" || info.Version != module.CanonicalVersion(info.Version) {
		return info, errors.New("no version")
	}
	return info, nil
}

func readReply(data []byte, by how, err error) (infoReply, error) {
	if err != nil {
		return infoReply{}, err
	}
	info, err := readInfo(data)
	return infoReply{info, data, by}, err
}

// latest is what the proxies say of it, or, for those who answer 404 to every
// @latest, the highest version of the list.
func (o *proxied) latest(ctx context.Context) (infoReply, error) {
	file, key, err := o.file("@latest")
	if err != nil {
		return infoReply{}, err
	}
	got, err := readReply(o.changing(ctx, Kept{Key: key, Module: o.path, Kind: "latest"}, file, maxInfoFile, func(data []byte) error {
		if _, err := readInfo(data); err != nil {
			return oddAnswer(file, "tells of no version")
		}
		return nil
	}))
	if err == nil || !errors.Is(err, mirror.ErrNotFound) && !errors.Is(err, errDirect) {
		return got, err
	}
	lines, _, listErr := o.versions(ctx)
	if listErr != nil || len(lines) == 0 {
		return infoReply{}, err
	}
	best := o.highest(ctx, lines)
	if best == "" {
		return infoReply{}, err
	}
	return o.info(ctx, best)
}

// highest is the version @latest means, of a list: the highest release that is
// not retracted, else pre-release, else pseudo-version; what is +incompatible
// counts only when nothing else is there.
func (o *proxied) highest(ctx context.Context, lines []string) string {
	var tags, incompatible, pseudo []string
	for _, line := range lines {
		switch v := versionOfLine(line); {
		case module.IsPseudoVersion(v):
			pseudo = append(pseudo, v)
		case strings.HasSuffix(v, "+incompatible"):
			incompatible = append(incompatible, v)
		case v == module.CanonicalVersion(v):
			tags = append(tags, v)
		}
	}
	semver.Sort(tags)
	semver.Sort(incompatible)
	anything := func(string) (bool, error) { return true, nil }
	var gone []retraction
	if top := highestOf(tags, anything); top != "" {
		if text, _, err := o.mod(ctx, top); err == nil {
			gone = retractionsOf(text)
		}
	}
	for _, list := range [][]string{tags, incompatible} {
		if best := highestOf(list, func(v string) (bool, error) { return !isRetractedBy(gone, v), nil }); best != "" {
			return best
		}
	}
	newest, at := "", time.Time{}
	for _, v := range pseudo {
		if t, err := module.PseudoVersionTime(v); err == nil && t.After(at) {
			newest, at = v, t
		}
	}
	return newest
}

func (o *proxied) mod(ctx context.Context, version string) ([]byte, how, error) {
	file, key, err := o.versioned(version, ".mod")
	if err != nil {
		return nil, "", o.unknown(version)
	}
	return o.lasting(ctx, Kept{Key: key, Module: o.path, Version: version, Kind: "mod"}, file, maxGoModFile, func(data []byte) error {
		if text := strings.TrimSpace(string(data[:min(len(data), 64)])); text == "" || text[0] == '<' || text[0] == '{' {
			return oddAnswer(file, "is no go.mod")
		}
		return nil
	})
}

// zip is kept, or arrives while it is sent.
func (o *proxied) zip(ctx context.Context, version string) (zipReply, error) {
	file, key, err := o.versioned(version, ".zip")
	if err != nil {
		return nil, o.unknown(version)
	}
	s := o.h.state()
	if k, ok := o.find(key); ok {
		if k.Size <= maxSmall {
			if data, err := o.h.Store.Read(k); err == nil {
				s.hits.Add(1)
				return &smallZip{data, k}, nil
			}
		} else if f, err := o.h.Store.Open(k); err == nil {
			s.hits.Add(1)
			return &keptZip{file: f, k: k}, nil
		}
	}
	f, by := s.fills.running(key), byMiss
	if f == nil {
		if err := o.mayAsk(ctx, key, version); err != nil {
			return nil, err
		}
		if f, err = o.fill(ctx, version, file, key); err != nil {
			return nil, err
		}
		s.misses.Add(1)
	} else if f.ended() {
		by = byHit
	}
	if err := f.begin(ctx); err != nil {
		f.leave()
		if errors.Is(err, errMeanwhile) {
			return o.zip(ctx, version)
		}
		return nil, err
	}
	s.ahead.asked(key, max(f.length(), 0))
	return &arriving{f, by}, nil
}

// errMeanwhile ends the second of two transfers, when the first has ended between
// the look into the store and the begin of the second.
var errMeanwhile = errors.New("it has come meanwhile")

// fill is the transfer of a zip, which begins unless it goes on. The caller must
// leave it.
func (o *proxied) fill(ctx context.Context, version, file, key string) (*fill, error) {
	return o.h.state().fills.join(ctx, key, o.h.Repos.Temp, func(ctx context.Context, f *fill) error {
		if _, ok := o.find(key); ok {
			return errMeanwhile
		}
		found, err := o.mayMiss(ctx, version, "zip")
		if err != nil {
			return err
		}
		began := time.Now()
		err = o.fetchZip(ctx, f, version, file, key)
		found(err)
		o.remember(key, began, err)
		return err
	})
}

// mayAsk tells why no proxy is asked for something that is not kept.
func (o *proxied) mayAsk(ctx context.Context, key, version string) error {
	if !o.fetch {
		return o.notKept(version)
	}
	err := o.h.state().isGone(key)
	if err == nil && o.hidden {
		return o.pretend(ctx, key, version)
	}
	return err
}

// notKept is the answer when nobody may be asked.
func (o *proxied) notKept(version string) error {
	what := o.path
	if version != "" {
		what += "@" + version
	}
	p := &mirror.Problem{Code: mirror.CodeOffline, Kind: mirror.ErrNotFound, What: show(what) + " is not here, and nobody is asked for it"}
	if o.mode == mirror.Offline {
		p.Why = "its modules are served offline"
		p.Do = "mirror its repository (gitmirror mirror add " + show(o.path) + "), or ask for it once while its mode is " + string(mirror.PreferMirror)
		return p
	}
	p.Why, p.Do = "the request says Disable-Module-Fetch: true", "ask without that header"
	return p
}

// unknown is the answer for what cannot be a version.
func (o *proxied) unknown(query string) error {
	return &mirror.Problem{Code: mirror.CodeNoVersion, Kind: mirror.ErrNotFound, What: show(o.path + "@" + query + " is not a version")}
}

// arriving is a zip that is being fetched.
type arriving struct {
	f  *fill
	by how
}

func (a *arriving) how() how { return a.by }
func (a *arriving) close()   { a.f.leave() }

func (a *arriving) facts() useFacts { return useFacts{source: a.f.from, size: max(0, a.f.length())} }

// serve sends the zip while it arrives. When that goes wrong midway the
// connection is cut: the client must not take a part for the whole.
func (a *arriving) serve(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodHead || r.Header.Get("Range") != "" || r.Header.Get("If-None-Match") != "" || a.f.length() < 0 || a.f.ended() {
		if err := a.f.whole(r.Context()); err != nil {
			return err
		}
		w.Header().Set("ETag", `"`+a.f.sum+`"`)
		http.ServeContent(w, r, "", time.Time{}, a.f.reader())
		return nil
	}
	w.Header().Set("Content-Length", itoa(a.f.length()))
	flush := http.NewResponseController(w).Flush
	sent, err := a.f.copyTo(r.Context(), w, func() { _ = flush() })
	if err != nil && sent == 0 {
		w.Header().Del("Content-Length")
		return err
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}
