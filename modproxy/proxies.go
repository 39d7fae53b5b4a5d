package modproxy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// Proxies are other module proxies, asked one after another as the go command
// does it: behind "," the next one is asked only for what a proxy does not have,
// behind "|" after any trouble. Use OpenProxies.
type Proxies struct {
	// List is in the form of a GOPROXY setting.
	List string
	// Missing says which statuses mean that a proxy does not have something, in
	// the form of ParseMissing; empty = DefaultMissing.
	Missing string
	// Client goes out. Redirects are followed, through the same guard.
	Client *http.Client
	// Every is how often those that nobody asks are measured; zero = 20 s.
	Every time.Duration
	// OnSample is told of every exchange: Host is the proxy's; may be nil.
	OnSample func(mirror.Sample)
	Log      *slog.Logger // nil = nobody

	id      string
	proxies []*proxy

	mu   sync.Mutex
	runs []mirror.Host // proxies with "|" between, as the roads to a host
}

// DefaultMissing are the statuses that mean "not here". Proxies of companies
// answer 400 for hosts they do not know, 403 for modules or branches they will
// not fetch, 404 for every @latest; none of these is trouble.
const DefaultMissing = "400,403,404,405,410,422,451,501"

// errDirect is what comes of a list that says "direct" before anything was
// found: what is asked for may be had of its repository.
var errDirect = errors.New("the list of module proxies says direct")

// OpenProxies reads the list. The error is a Problem of kind ErrInvalid.
func OpenProxies(p *Proxies) (*Proxies, error) {
	missing, perHost, err := ParseMissing(p.Missing)
	if err != nil {
		return nil, err
	}
	p.id = rand.Text()
	client := http.Client{Transport: p.Client.Transport, CheckRedirect: followModules}
	for list := p.List; list != ""; {
		entry, onTrouble := list, false
		if end := strings.IndexAny(list, ",|"); end >= 0 {
			entry, onTrouble, list = list[:end], list[end] == '|', list[end+1:]
		} else {
			list = ""
		}
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		one, err := newProxy(entry, client)
		if err != nil {
			return nil, err
		}
		one.onTrouble, one.missing, one.via, one.onSample = onTrouble, missing, p.id, p.OnSample
		if own, ok := perHost[one.base.Host]; ok {
			one.missing = own
		}
		p.proxies = append(p.proxies, one)
		if entry == "direct" || entry == "off" {
			break
		}
	}
	p.group()
	return p, nil
}

// ParseMissing reads statuses, with commas between; a host may have its own:
// "403,404;proxy.corp.example=404,410".
func ParseMissing(text string) (all map[int]bool, perHost map[string]map[int]bool, err error) {
	bad := func(why string) error {
		return &mirror.Problem{Kind: mirror.ErrInvalid, What: "the statuses that mean \"not here\" cannot be read", Why: why,
			Do: "write statuses as 403,404, and those of one host as HOST=404,410, with ; between"}
	}
	perHost = map[string]map[int]bool{}
	for part := range strings.SplitSeq(text, ";") {
		host, list, own := strings.Cut(strings.TrimSpace(part), "=")
		if !own {
			host, list = "", host
		}
		if list == "" {
			continue
		}
		set := map[int]bool{http.StatusNotFound: true, http.StatusGone: true}
		for field := range strings.SplitSeq(list, ",") {
			n, err := strconv.Atoi(strings.TrimSpace(field))
			if err != nil || n < 400 || n > 599 {
				return nil, nil, bad(show(field) + " is no status from 400 to 599")
			}
			set[n] = true
		}
		if own {
			perHost[host] = set
		} else {
			all = set
		}
	}
	if all == nil {
		all, _, err = ParseMissing(DefaultMissing)
	}
	return all, perHost, err
}

// followModules follows redirects of module proxies, which lead to where the
// files are: not away from TLS, and with no password.
func followModules(next *http.Request, before []*http.Request) error {
	if len(before) > 10 {
		return errors.New("more than 10 redirects")
	}
	if before[0].URL.Scheme == "https" && next.URL.Scheme != "https" {
		return errors.New("it redirects away from TLS")
	}
	next.Header.Del("Referer")
	return nil
}

// newProxy reads one entry of the list.
func newProxy(entry string, client http.Client) (*proxy, error) {
	if entry == "direct" || entry == "off" {
		return &proxy{name: entry, base: &url.URL{}}, nil
	}
	u, err := url.Parse(strings.TrimSuffix(entry, "/"))
	if err != nil || u.Scheme != "file" && (u.Host == "" || u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" || u.Fragment != "" {
		return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: "the list of module proxies has an entry that cannot be used",
			Why: "each is a URL, direct or off", Do: "write modules.proxies as GOPROXY is written"}
	}
	p := &proxy{user: u.User, base: u, client: client, slots: make(chan struct{}, proxySlots), track: &track{}}
	p.base.User = nil
	p.name = u.String()
	if u.Scheme == "file" {
		p.client.Transport = http.NewFileTransport(http.Dir(u.Path))
		p.base = &url.URL{Scheme: "file"}
	}
	return p, nil
}

// Any tells whether there is anybody to ask.
func (ps *Proxies) Any() bool {
	return ps != nil && len(ps.proxies) > 0 && ps.proxies[0].isProxy()
}

// loops tells whether a request has come from us.
func (ps *Proxies) loops(r *http.Request) bool {
	return ps != nil && r.Header.Get(viaHeader) == ps.id
}

// farFrom is how long an answer of a proxy that is far away takes to begin.
const farFrom = 20 * time.Millisecond

// far tells whether the proxy that is asked first is far away.
func (ps *Proxies) far() bool {
	if !ps.Any() {
		return false
	}
	return ps.order()[0].distance() >= farFrom
}

// Direct tells whether the list ends in "direct".
func (ps *Proxies) Direct() bool {
	return ps != nil && len(ps.proxies) > 0 && ps.proxies[len(ps.proxies)-1].name == "direct"
}

// try asks the proxies in turn until one has it, and returns the worst that was
// heard otherwise (modfetch.TryProxies): ErrNotFound only when all said so.
func (ps *Proxies) try(ctx context.Context, ask func(p *proxy) error) error {
	if ps == nil || len(ps.proxies) == 0 {
		return noProxies()
	}
	var worst error
	trouble := false
	for _, p := range ps.order() {
		var err error
		switch p.name {
		case "direct":
			if trouble {
				return worst
			}
			return errDirect
		case "off":
			err = noProxies()
		default:
			err = ask(p)
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		missing := errors.Is(err, mirror.ErrNotFound)
		if !trouble && (worst == nil || !missing) {
			worst, trouble = err, !missing
		}
		if !missing && !p.onTrouble {
			break
		}
	}
	return worst
}

func noProxies() error {
	return &mirror.Problem{Code: mirror.CodeNotMirrored, Kind: mirror.ErrNotFound, What: "no module proxy is asked (modules.proxies)"}
}

// small asks for a file of at most most bytes. accept says what is wrong with an
// answer: then the proxy is in trouble.
func (ps *Proxies) small(ctx context.Context, file string, most int64, accept func([]byte) error) (data []byte, from string, err error) {
	err = ps.try(ctx, func(p *proxy) error {
		got, err := p.small(ctx, file, most)
		if err == nil {
			if err := accept(got); err != nil {
				p.odd(err)
				return p.problem(mirror.CodeCutOff, mirror.ErrUpstream, err.Error(), "find out what answers there; it may want a sign-in")
			}
			data, from = got, p.name
		}
		return err
	})
	return data, from, err
}

// open asks for a large file; the caller closes it.
func (ps *Proxies) open(ctx context.Context, file string) (body *incoming, err error) {
	err = ps.try(ctx, func(p *proxy) error {
		body, err = p.get(ctx, file)
		return err
	})
	return body, err
}

// State is how each proxy does.
func (ps *Proxies) State() []mirror.ModuleProxyState {
	if ps == nil {
		return nil
	}
	active := map[string]bool{}
	ps.mu.Lock()
	for _, run := range ps.runs {
		active[run.Active] = true
	}
	ps.mu.Unlock()
	out := make([]mirror.ModuleProxyState, 0, len(ps.proxies))
	for i, p := range ps.proxies {
		s := mirror.ModuleProxyState{Name: p.name}
		if p.isProxy() {
			s = p.state()
			s.Active = active[strconv.Itoa(i)]
		}
		out = append(out, s)
	}
	return out
}

// notThere is the answer of proxies that do not have something.
func (p *proxy) notThere(status int, said string) error {
	why := fmt.Sprintf("%s answers %d %s", p.name, status, http.StatusText(status))
	if said != "" {
		why += ": " + said
	}
	return &mirror.Problem{Code: mirror.CodeNoVersion, Kind: mirror.ErrNotFound, What: "the module proxy does not have it", Why: why}
}
