package modproxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// origin is where the files of one module are from.
type origin interface {
	// versions are those of @v/list.
	versions(ctx context.Context) ([]string, how, error)
	// info is the version behind a version, a branch, a commit or "latest".
	info(ctx context.Context, query string) (infoReply, error)
	mod(ctx context.Context, version string) ([]byte, how, error)
	// zip is ready to be sent; the caller closes it.
	zip(ctx context.Context, version string) (zipReply, error)
	// public tells whether anybody may have it.
	public() bool
	// facts are what is known of all its files.
	facts() useFacts
}

// how an answer was come by, as X-Cache says it.
type how string

const (
	byGit   how = "git"   // made of a mirror
	byHit   how = "hit"   // kept
	byMiss  how = "miss"  // asked for
	byStale how = "stale" // kept, and too old; nobody could be asked
)

// infoReply is the answer to .info and @latest.
type infoReply struct {
	Info
	text []byte // as it is sent
	how  how
}

// zipReply sends a zip.
type zipReply interface {
	serve(w http.ResponseWriter, r *http.Request) error
	close()
	how() how
	// facts are what is known of it when it was served.
	facts() useFacts
}

// firstCloneWait is how long a client waits for the first clone of what a rule
// admits when the module may be had of a proxy instead.
const firstCloneWait = 10 * time.Second

// origins are where a module may be had, the best first. An error is what there
// is to say instead.
func (h *Handler) origins(ctx context.Context, modPath string, r *http.Request) ([]origin, error) {
	mode, _ := h.Rules.Now().mode(modPath)
	fetch := r.Header.Get("Disable-Module-Fetch") != "true" && mode != mirror.Offline && !h.Proxies.loops(r)
	// Where proxies are asked first a rule admits nothing until they have been.
	admit := fetch && (mode != mirror.ProxyOnly || h.Proxies.Direct() && !h.Proxies.Any())
	return h.originsIn(ctx, modPath, mode, admit, fetch)
}

// originsIn are the origins in a mode. With admit what a rule admits is mirrored
// now, with fetch proxies may be asked.
func (h *Handler) originsIn(ctx context.Context, modPath string, mode mirror.ModuleMode, admit, fetch bool) ([]origin, error) {
	others := h.Proxies.Any() && mode != mirror.MirrorOnly || mode == mirror.Offline
	mirrored, err := h.mirrored(ctx, modPath, admit, others && fetch)
	var hidden *hiddenError
	if errors.As(err, &hidden) { // and nobody else hears the name
		if others && !h.own(modPath) {
			return []origin{&proxied{h: h, path: modPath, fetch: fetch, mode: mode, hidden: true}}, nil
		}
		return nil, h.absent(modPath, mode)
	}
	passes := err == nil || errors.Is(err, mirror.ErrNotFound) || errors.Is(err, mirror.ErrUpstream) || errors.Is(err, mirror.ErrBusy) ||
		errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil
	if !passes {
		return nil, err
	}
	var list []origin
	if err == nil && mode != mirror.ProxyOnly {
		list = append(list, mirrored)
	}
	if others && (err != nil || !mirrored.m.Repo.Private) && !h.own(modPath) {
		list = append(list, &proxied{h: h, path: modPath, fetch: fetch, mode: mode})
	}
	if err == nil && mode == mirror.ProxyOnly && (h.Proxies.Direct() || mirrored.m.Repo.Private) {
		list = append(list, mirrored)
	}
	if len(list) == 0 {
		if err == nil || errors.Is(err, mirror.ErrNotFound) {
			err = h.absent(modPath, mode)
		}
		return nil, err
	}
	return list, nil
}

// own tells whether a path is one of the mirror's replacements, which no proxy
// knows.
func (h *Handler) own(modPath string) bool { return h.Repos.withoutHost(modPath) != modPath }

// hiddenError is of a module that the caller may not know of.
type hiddenError struct{ error }

// Unwrap is what the caller is told.
func (e *hiddenError) Unwrap() error { return e.error }

// mirrored is the module as a mirror has it. Without admit, rules for new mirrors
// are left alone; a first clone is waited for only so long when others may have
// the module.
func (h *Handler) mirrored(ctx context.Context, modPath string, admit, others bool) (*gitOrigin, error) {
	id := auth.From(ctx)
	ctx = context.WithValue(ctx, readerKey{}, id)
	if !admit {
		ctx = auth.With(ctx, auth.Identity{}) // whom no rule lets add anything
	}
	if others {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, firstCloneWait)
		defer cancel()
	}
	m, err := h.module(ctx, modPath, placeKey{modPath, id, admit})
	if err != nil {
		return nil, err
	}
	if err := h.Policy.Reads(ctx, id, m.Repo.Path, m.Repo.Private); err != nil {
		return nil, hidden(h.Repos.withoutHost(modPath), err)
	}
	return &gitOrigin{h: h, m: m}, nil
}

// placeKey is what the answer to where a module is depends on.
type placeKey struct {
	path  string
	id    auth.Identity // rules let some add mirrors
	admit bool
}

// knownPlace is where a module is, or that it is nowhere.
type knownPlace struct {
	m       *Module
	err     error
	changes uint64
	at      time.Time
}

// A place is remembered for placeFor, that is for as long as mirror.Store.Glance
// may not see what other processes change.
const (
	placeFor  = time.Second
	maxPlaces = 10_000
)

// module is Repos.Module, remembered for a moment.
func (h *Handler) module(ctx context.Context, modPath string, key placeKey) (*Module, error) {
	if h.Changes == nil {
		return h.Repos.Module(ctx, modPath)
	}
	places, changes, now := h.state().places, h.Changes(), time.Now()
	if p, ok := places.Get(key); ok && p.changes == changes && now.Sub(p.at) < placeFor {
		return p.m, p.err
	}
	m, err := h.Repos.Module(ctx, modPath)
	if err == nil || errors.Is(err, mirror.ErrNotFound) {
		places.Add(key, knownPlace{m, err, changes, now})
	}
	return m, err
}

// absent is the answer for what nobody has. It depends on nothing but the path
// and its rules, so that it reads the same for what the caller may not see.
func (h *Handler) absent(modPath string, mode mirror.ModuleMode) error {
	p := mirror.AsProblem(notMirrored(h.Repos.withoutHost(modPath)))
	switch {
	case mode == mirror.Offline:
		p = &mirror.Problem{Code: mirror.CodeOffline, Kind: mirror.ErrNotFound, What: p.What + ", and was never fetched",
			Why: "its modules are served offline: nobody is asked", Do: p.Do}
	case mode == mirror.MirrorOnly:
		p.Why = "its modules are served from mirrors only"
	case h.Proxies.Any():
		p.Why = "and none of the module proxies has it"
	}
	return p
}

// passesOn tells whether another origin may be asked after err.
func passesOn(err error) bool {
	p := mirror.AsProblem(err)
	if p.Code == mirror.CodeModuleSum || p.Code == mirror.CodeModuleRule {
		return false
	}
	return p.Kind == mirror.ErrNotFound || p.Kind == mirror.ErrUpstream || p.Kind == mirror.ErrBusy || errors.Is(err, errDirect)
}

// answer asks one origin after another. The first that was mirrored has the last
// word: it knows most about what is missing.
func (h *Handler) answer(ctx context.Context, w http.ResponseWriter, r *http.Request, q question) error {
	q.at, q.now = time.Now(), h.standing()
	list, err := h.origins(ctx, q.path, r)
	if err != nil {
		return err
	}
	direct, err := h.first(ctx, q, list, func(from origin) error { return h.answerFrom(ctx, w, r, q, from) })
	if direct {
		return h.answerDirect(ctx, w, r, q, err)
	}
	return err
}

// first asks one origin after another until one answers. direct is true when no
// proxy has it, their list says "direct", and no mirror was looked at.
func (h *Handler) first(ctx context.Context, q question, list []origin, ask func(origin) error) (direct bool, failed error) {
	looked := false
	for _, from := range list {
		err := ask(from)
		if err == nil || ctx.Err() != nil || !passesOn(err) {
			return false, err
		}
		missing := errors.Is(err, mirror.ErrNotFound)
		_, mirrored := from.(*gitOrigin)
		if looked = looked || mirrored; mirrored && missing && (q.kind == "list" || q.kind == "latest") {
			// The go command asks so for every directory above a package: the
			// repository is here, and tells at once.
			return false, err
		}
		switch {
		case errors.Is(err, errDirect):
			if direct = true; failed == nil {
				failed = h.absent(q.path, mirror.PreferMirror)
			}
		case failed == nil, errors.Is(failed, mirror.ErrNotFound) && !missing:
			failed = err
		}
	}
	return direct && !looked && errors.Is(failed, mirror.ErrNotFound), failed
}

// answerDirect is for what no proxy has and whose list says "direct": a rule may
// have its repository mirrored now, and whoever asks waits for it.
func (h *Handler) answerDirect(ctx context.Context, w http.ResponseWriter, r *http.Request, q question, failed error) error {
	from, err := h.mirrored(ctx, q.path, true, false)
	var hidden *hiddenError
	switch {
	case errors.As(err, &hidden), errors.Is(err, mirror.ErrNotFound):
		return failed
	case err != nil:
		return err
	}
	return h.answerFrom(ctx, w, r, q, from)
}

func (h *Handler) answerFrom(ctx context.Context, w http.ResponseWriter, r *http.Request, q question, from origin) error {
	public := from.public() && h.Policy.AnonymousRead
	ask := &asking{h: h, r: r, origin: from, path: q.path, rules: h.Rules.Now()}
	version, facts := q.version, from.facts()
	send := func(contentType string, body []byte, seconds int, by how) error {
		h.replied(w, q.kind, by)
		o, proxied := from.(*proxied)
		if proxied {
			o.next(q, by, body)
		}
		if err := serveBytes(w, r, contentType, body, cacheControl(public, seconds)); err != nil {
			return err
		}
		h.counted(w, r, q.kind, q.path, version, by, facts)
		if proxied && by == byHit && q.kind != "latest" {
			h.heat(w, r, q, version, o.key(q), body)
		}
		return nil
	}
	switch q.kind {
	case "list":
		text, by, err := ask.list(ctx)
		if err != nil {
			return err
		}
		return send("text/plain; charset=utf-8", text, briefSeconds, by)
	case "latest", "info":
		query := q.version
		if q.kind == "latest" {
			query = "latest"
		}
		info, err := ask.infoOf(ctx, query)
		if err != nil {
			return err
		}
		seconds := briefSeconds
		if info.Version == q.version {
			seconds = foreverSeconds
		}
		version = info.Version
		return send("application/json", info.text, seconds, info.how)
	case "mod":
		text, by, err := from.mod(ctx, q.version)
		if err != nil {
			return err
		}
		if by == byGit { // of others it was learned when they sent it
			facts.mod = hashGoMod(text)
		}
		return send("text/plain; charset=utf-8", text, foreverSeconds, by)
	}
	if err := ask.may(ctx, q.version, nil); err != nil {
		return err
	}
	z, err := from.zip(ctx, q.version)
	if err != nil {
		return err
	}
	defer z.close()
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Cache-Control", cacheControl(public, foreverSeconds))
	h.replied(w, q.kind, z.how())
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if err := z.serve(w, r); err != nil {
		return err
	}
	h.counted(w, r, q.kind, q.path, q.version, z.how(), facts.merge(z.facts()))
	if z, small := z.(*smallZip); small {
		h.heat(w, r, q, q.version, z.k.Key, z.data)
	}
	return nil
}

func (h *Handler) replied(w http.ResponseWriter, file string, by how) {
	w.Header().Set("X-Cache", string(by))
	if h.OnReply != nil && !quiet(w) {
		h.OnReply(file, string(by))
	}
}

// oddAnswer says what is wrong with an answer.
func oddAnswer(file, why string) error { return fmt.Errorf("what it sends as %s %s", show(file), why) }
