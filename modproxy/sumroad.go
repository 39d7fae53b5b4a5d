package modproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// road is how the checksum database is reached: through the first proxy that
// passes it on, as the go command does it (modfetch/sumdb.go, initBase).
type road struct {
	db      mirror.SumDB
	proxies string
	client  *http.Client

	mu    sync.Mutex
	base  string // "" = not found out
	until time.Time
}

// A road that was found is looked for again after a while, for a better one may
// be back. An answer larger than maxSum is none: a record has a few hundred
// bytes, a tile 8 KB.
const (
	roadFor = 10 * time.Minute
	maxSum  = 1 << 20
)

// get asks the database; name begins with "/".
func (r *road) get(ctx context.Context, name string) ([]byte, error) {
	base, err := r.find(ctx)
	if err != nil {
		return nil, err
	}
	return r.fetch(ctx, base+name)
}

func (r *road) find(ctx context.Context) (string, error) {
	r.mu.Lock()
	base := r.base
	if time.Now().After(r.until) {
		base = ""
	}
	r.mu.Unlock()
	if base != "" {
		return base, nil
	}
	base, err := r.choose(ctx)
	if err != nil {
		return "", err
	}
	r.mu.Lock()
	r.base, r.until = base, time.Now().Add(roadFor)
	r.mu.Unlock()
	return base, nil
}

// choose goes through the list of proxies. Behind "," the next one is asked only
// when the proxy does not have the database, behind "|" after any trouble.
func (r *road) choose(ctx context.Context) (string, error) {
	if r.db.URL != "" {
		return r.db.URL, nil
	}
	list := r.proxies
	for list != "" {
		end := strings.IndexAny(list, ",|")
		proxy, onTrouble := list, false
		if end >= 0 {
			proxy, onTrouble, list = list[:end], list[end] == '|', list[end+1:]
		} else {
			list = ""
		}
		switch proxy = strings.TrimSuffix(strings.TrimSpace(proxy), "/"); {
		case proxy == "":
			continue
		case proxy == "direct":
			return "https://" + r.db.Name, nil
		case proxy == "off":
			return "", noRoad(r.db, "the server's module proxies are set to off")
		case strings.HasPrefix(proxy, "file:"):
			continue // holds modules only
		}
		base := proxy + "/sumdb/" + r.db.Name
		_, err := r.fetch(ctx, base+"/supported")
		switch {
		case err == nil:
			return base, nil
		case errors.Is(err, mirror.ErrNotFound) || onTrouble:
			continue
		}
		return "", err
	}
	return "https://" + r.db.Name, nil
}

func noRoad(db mirror.SumDB, why string) error {
	return &mirror.Problem{Code: mirror.CodeConnect, Kind: mirror.ErrUpstream,
		What: "the checksum database " + db.Name + " is not passed on here", Why: why,
		Do: "set modules.proxies to a module proxy, or to direct"}
}

// fetch gets a URL, whose user information never gets into a message.
func (r *road) fetch(ctx context.Context, address string) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, noRoad(r.db, "an entry of modules.proxies is not a URL")
	}
	fail := func(kind mirror.Kind, why string) ([]byte, error) {
		return nil, &mirror.Problem{Code: mirror.CodeConnect, Kind: kind,
			What: "the checksum database " + r.db.Name + " cannot be asked", Why: why,
			Do: "look at modules.proxies and modules.sumdb, and at the network of the server"}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fail(mirror.ErrUpstream, "an entry of modules.proxies is not a URL")
	}
	res, err := r.client.Do(req)
	if err != nil {
		var known *mirror.Problem
		var timeout net.Error
		switch {
		case errors.As(err, &known):
			return nil, known
		case errors.As(err, &timeout) && timeout.Timeout():
			return fail(mirror.ErrUpstream, u.Host+" did not answer in time")
		}
		return fail(mirror.ErrUpstream, "no connection to "+u.Host)
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusGone:
		return fail(mirror.ErrNotFound, u.Host+" does not have it")
	case res.StatusCode != http.StatusOK:
		return fail(mirror.ErrUpstream, fmt.Sprintf("%s answers %s", u.Host, res.Status))
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxSum+1))
	switch {
	case err != nil:
		return fail(mirror.ErrUpstream, u.Host+" broke off")
	case len(data) > maxSum:
		return fail(mirror.ErrUpstream, u.Host+" sends more than any answer of a checksum database")
	}
	return data, nil
}
