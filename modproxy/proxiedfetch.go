package modproxy

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"
	"golang.org/x/sync/singleflight"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/gitmirror/gitmirror/mirror"
)

// proxyState is what a Handler knows of the files of proxies while it runs.
type proxyState struct {
	fills    fills
	pace     pace // of those who had to hear that nobody has it
	flight   singleflight.Group
	gone     *lru.Cache[string, goneFile]
	places   *lru.Cache[placeKey, knownPlace]
	hots     hots
	ahead    ahead
	unhashed unhashed
	miss     *misses

	hits, misses, stale, refused, forged atomic.Int64
}

// goneFile is something no proxy had.
type goneFile struct {
	until time.Time
	err   error
}

const maxGone = 20_000

func (h *Handler) state() *proxyState {
	h.once.Do(func() {
		h.proxied = &proxyState{miss: newMisses(h.Misses), gone: kept[string, goneFile](maxGone), places: kept[placeKey, knownPlace](maxPlaces)}
	})
	return h.proxied
}

func (s *proxyState) isGone(key string) error {
	if g, ok := s.gone.Get(key); ok && time.Now().Before(g.until) {
		return g.err
	}
	return nil
}

// remember notes what no proxy had, so that nobody is asked for it at once again.
func (o *proxied) remember(key string, began time.Time, err error) {
	if errors.Is(err, mirror.ErrNotFound) || errors.Is(err, errDirect) {
		if !o.hidden {
			o.h.state().pace.add(time.Since(began))
		}
		o.h.state().gone.Add(key, goneFile{time.Now().Add(proxiedGone), err})
	}
}

// lasting is a small file that never changes: kept, or asked for once.
func (o *proxied) lasting(ctx context.Context, k Kept, file string, most int64, accept func([]byte) error) ([]byte, how, error) {
	s := o.h.state()
	if found, ok := o.find(k.Key); ok {
		if data, err := o.h.Store.Read(found); err == nil {
			s.hits.Add(1)
			return data, byHit, nil
		}
	}
	if err := o.mayAsk(ctx, k.Key, k.Version); err != nil {
		return nil, "", err
	}
	s.misses.Add(1)
	data, err := o.shared(ctx, k, file, most, accept)
	return data, byMiss, err
}

// changing is a small file that may change: kept while it is fresh, asked for
// otherwise; what is kept goes on to be served while nobody can be asked.
func (o *proxied) changing(ctx context.Context, k Kept, file string, most int64, accept func([]byte) error) ([]byte, how, error) {
	s := o.h.state()
	found, ok := o.find(k.Key)
	var old []byte
	if ok {
		var err error
		if old, err = o.h.Store.Read(found); err != nil {
			ok = false
		}
	}
	if ok && time.Since(found.At) < freshFor(k.Key) {
		s.hits.Add(1)
		return old, byHit, nil
	}
	err := o.mayAsk(ctx, k.Key, k.Version)
	if err == nil {
		s.misses.Add(1)
		var data []byte
		if data, err = o.shared(ctx, k, file, most, accept); err == nil {
			return data, byMiss, nil
		}
	}
	// A branch may go; a list that went is the loss of a whole module, which
	// those who have it must not suffer.
	if !ok || ctx.Err() != nil || k.Kind == "info" && errors.Is(err, mirror.ErrNotFound) && o.fetch {
		return nil, "", err
	}
	s.stale.Add(1)
	return old, byStale, nil
}

// freshFor differs from file to file, so that not all are asked for at once.
func freshFor(key string) time.Duration {
	spread := rand.New(rand.NewPCG(uint64(len(key)), uint64(key[len(key)-1]))).Float64()
	return time.Duration(float64(proxiedFresh) * (0.75 + 0.25*spread))
}

// shared asks for a small file, once for all who want it meanwhile, and keeps it.
func (o *proxied) shared(ctx context.Context, k Kept, file string, most int64, accept func([]byte) error) ([]byte, error) {
	asked := time.Now()
	done := o.h.state().flight.DoChan(k.Key, func() (any, error) {
		if found, ok := o.find(k.Key); ok && found.At.After(asked.Add(-time.Second)) { // somebody was faster
			if data, err := o.h.Store.Read(found); err == nil {
				return data, nil
			}
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), proxiedWait)
		defer cancel()
		found, err := o.mayMiss(ctx, k.Version, k.Kind)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		data, err := o.fetchSmall(ctx, k, file, most, accept)
		found(err)
		o.remember(k.Key, began, err)
		return data, err
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case result := <-done:
		data, _ := result.Val.([]byte)
		return data, result.Err
	}
}

func (o *proxied) fetchSmall(ctx context.Context, k Kept, file string, most int64, accept func([]byte) error) ([]byte, error) {
	var proof *proof
	if k.Kind == "mod" {
		proof = o.h.prove(ctx, o.path, k.Version)
	}
	data, from, err := o.h.Proxies.small(ctx, file, most, accept)
	if err != nil {
		return nil, o.explain(k.Version, err)
	}
	k.From, k.At = from, time.Now().UTC()
	if k.Kind == "mod" {
		k.H1 = hashGoMod(data)
		if k.Proven, err = o.check(ctx, proof, k, ""); err != nil {
			return nil, err
		}
		o.h.Usage.learn(o.path, k.Version, k.facts())
	}
	if _, err := o.h.Store.PutBytes(k, data); err != nil && o.h.Log != nil {
		o.h.Log.Warn("keep a module's file", "module", o.path, "err", err)
	}
	return data, nil
}

// fetchZip takes a zip, checks it, gives it free and keeps it.
func (o *proxied) fetchZip(ctx context.Context, f *fill, version, file, key string) error {
	unhashed := &o.h.state().unhashed
	unhashed.begin()
	defer unhashed.end()
	proof := o.h.prove(ctx, o.path, version)
	body, err := o.h.Proxies.open(ctx, file)
	if err != nil {
		return o.explain(version, err)
	}
	err = f.take(ctx, body)
	body.Close()
	if err != nil {
		return err
	}
	k := Kept{Key: key, Module: o.path, Version: version, Kind: "zip", From: f.from, Sum: f.sum, Size: f.size, At: time.Now().UTC()}
	// To hash it all of it must be unpacked: only where somebody has a hash of it.
	if k.H1, err = checkZip(module.Version{Path: o.path, Version: version}, f.file.Name(), proof != nil); err != nil {
		return oddZip(f.from, show(err.Error()))
	}
	if k.Proven, err = o.check(ctx, proof, k, f.file.Name()); err != nil {
		return err
	}
	o.h.Usage.learn(o.path, version, k.facts())
	f.pass()
	if err := o.h.Store.PutFile(k, f.file); err != nil && o.h.Log != nil {
		o.h.Log.Warn("keep a module's zip", "module", o.path, "err", err)
	} else if err == nil && k.H1 == "" {
		unhashed.add(k)
	}
	return nil
}

// checkZip checks that a file is the zip of a module version, within the limits
// of the go command, and hashes it if that is wanted.
func checkZip(m module.Version, name string, hash bool) (h1 string, err error) {
	if _, err := modzip.CheckZip(m, name); err != nil || !hash {
		return "", err
	}
	return dirhash.HashZip(name, dirhash.Hash1)
}

// explain says of what no proxy has what was asked for.
func (o *proxied) explain(version string, err error) error {
	if !errors.Is(err, mirror.ErrNotFound) {
		return err
	}
	if version == "" {
		return o.h.absent(o.path, o.mode)
	}
	p := mirror.AsProblem(o.h.absent(o.path, o.mode))
	p.What = show(o.path+"@"+version) + " is not on the mirror"
	return p
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
