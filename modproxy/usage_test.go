package modproxy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
)

// counting has the world count into its database.
func (w *world) counting() *modproxy.Usage {
	w.handler.Usage = &modproxy.Usage{Store: w.db, PinFor: time.Hour}
	w.handler.Served = w.db
	w.handler.Pins = &modproxy.Pins{Store: w.db}
	w.handler.Usage.OnPins = func(ctx context.Context) { _ = w.handler.Pins.Read(ctx) }
	return w.handler.Usage
}

func (w *world) tell(t *testing.T) {
	t.Helper()
	if err := w.handler.Usage.Tell(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// keeps waits until a zip that was just served is kept.
func (w *world) keeps(t *testing.T, module, version string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !w.handler.Keeps(module, version); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("Keeps(%s@%s) = false, want true", module, version)
		}
	}
}

func TestUsage(t *testing.T) {
	w, p := pflagWorld(t), newPeer(t)
	p.add(t, "example.com/lib", "v1.0.0", someTime, map[string]string{"a.go": "package lib\n"})
	w.behind(t, p.url)
	w.vouch(t, p)
	w.counting()
	const lib, pflag = "/proxy/example.com/lib/", "/proxy/github.com/!spf13/pflag/"
	sizes := map[string]int64{}
	for _, target := range []string{
		lib + "@v/list", lib + "@latest", lib + "@v/v1.0.0.info", lib + "@v/v1.0.0.mod", lib + "@v/v1.0.0.zip", lib + "@v/v1.0.0.zip", lib + "@v/v9.0.0.zip",
		pflag + "@v/main.info", pflag + "@v/v1.0.5.zip", pflag + "@v/v1.0.5.zip",
	} {
		got := ask(w.handler, "GET", target)
		sizes[target] = int64(got.Body.Len())
	}
	ask(w.handler, "HEAD", lib+"@v/v1.0.0.zip")
	ask(w.handler, "GET", lib+"@v/v1.0.0.zip", "Range", "bytes=10-19")
	w.tell(t)
	sums, err := p.h1("example.com/lib", "v1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	m, err := w.db.ServedModule(t.Context(), "example.com/lib")
	want := mirror.ServedModule{
		Path: "example.com/lib", Source: p.url, Versions: 1, Requests: 8, Downloads: 2,
		Bytes: sizes[lib+"@v/list"] + sizes[lib+"@latest"] + sizes[lib+"@v/v1.0.0.info"] + sizes[lib+"@v/v1.0.0.mod"] + 2*sizes[lib+"@v/v1.0.0.zip"] + 10,
	}
	if m.Hits < 3 { // the zip again, HEAD and a part of it
		t.Errorf("hits = %d, want 3 at least", m.Hits)
	}
	want.Hits, want.FirstUsed, want.LastUsed = m.Hits, m.FirstUsed, m.LastUsed
	if err != nil || m != want {
		t.Errorf("ServedModule(example.com/lib) = %+v %v, want %+v", m, err, want)
	}
	versions, err := w.db.ServedVersions(t.Context(), "example.com/lib", 0)
	if err != nil || len(versions) != 1 || versions[0].Sums != sums || !versions[0].Proven || versions[0].Size != sizes[lib+"@v/v1.0.0.zip"] || versions[0].Source != p.url {
		t.Errorf("ServedVersions(example.com/lib) = %+v %v, want v1.0.0 with %+v, proven", versions, err, sums)
	}
	m, err = w.db.ServedModule(t.Context(), "github.com/Spf13/pflag")
	if err != nil || m.Source != mirror.ModuleOfMirror || m.Repo != w.added["github.com/Spf13/pflag"].ID || m.Downloads != 2 || m.Requests != 3 {
		t.Errorf("ServedModule(github.com/Spf13/pflag) = %+v %v, want 2 of 3 of its mirror", m, err)
	}
	versions, err = w.db.ServedVersions(t.Context(), "github.com/Spf13/pflag", 0)
	answers, resolved := w.repos.Resolve(t.Context(), []mirror.ModuleQuery{{Path: "github.com/Spf13/pflag", Version: "v1.0.5"}})
	if resolved != nil {
		t.Fatal(resolved)
	}
	i := slices.IndexFunc(versions, func(v mirror.ServedVersion) bool { return v.Version == "v1.0.5" })
	if err != nil || i < 0 || versions[i].Sums != answers[0].Original {
		t.Errorf("ServedVersions(github.com/Spf13/pflag) = %+v %v, want v1.0.5 with %+v", versions, err, answers[0].Original)
	}
	w.keeps(t, "example.com/lib", "v1.0.0")
	if w.handler.Keeps("example.com/lib", "v9.0.0") {
		t.Error("Keeps(v9.0.0) = true, want false: nobody has it")
	}
}

// failingStore takes nothing until it is told to.
type failingStore struct {
	modproxy.UsageStore
	mu   sync.Mutex
	fail bool
}

func (s *failingStore) AddModuleUse(ctx context.Context, list []mirror.ModuleUse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail {
		return errors.New("away")
	}
	return s.UsageStore.AddModuleUse(ctx, list)
}

func (s *failingStore) set(fail bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

// Nothing is counted twice or forgotten, whether the database answers or not, and
// the last of it is told when the server ends.
func TestUsageKeepsCount(t *testing.T) {
	w := newWorld(t)
	store := &failingStore{UsageStore: w.db, fail: true}
	u := &modproxy.Usage{Store: store}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	const clients, each = 8, 500
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for i := range each {
				u.Count("example.com/lib", fmt.Sprintf("v1.0.%d", i%700))
			}
		})
	}
	for i := range 40 {
		store.set(i%2 == 0)
		_ = u.Tell(t.Context())
	}
	wg.Wait()
	store.set(false)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	m, err := w.db.ServedModule(t.Context(), "example.com/lib")
	if err != nil || m.Requests != clients*each || m.Downloads != clients*each || m.Bytes != 5*clients*each || m.Versions != each {
		t.Errorf("ServedModule = %+v %v, want %d of %d versions", m, err, clients*each, each)
	}
}

func TestUsageAllocatesNothing(t *testing.T) {
	u := &modproxy.Usage{}
	module, version := strings.Clone("example.com/lib"), strings.Clone("v1.0.0")
	u.Count(module, version)
	if n := testing.AllocsPerRun(1000, func() { u.Count(module, version) }); n != 0 {
		t.Errorf("Count allocates %v times, want never", n)
	}
}

func BenchmarkUsage(b *testing.B) {
	u := &modproxy.Usage{}
	for b.Loop() {
		u.Count("example.com/lib", "v1.0.0")
	}
}

// Figures of private mirrors are for who may read them.
func TestStats(t *testing.T) {
	w, p := pflagWorld(t), newPeer(t)
	p.add(t, "example.com/lib", "v1.0.0", someTime, map[string]string{})
	w.behind(t, p.url)
	w.counting()
	w.handler.Accounts = accounts{}
	secret := w.row(t, "github.com/acme/secret", true)
	if err := w.db.AddModuleUse(t.Context(), []mirror.ModuleUse{{
		Module: "github.com/acme/secret", Version: "v1.0.0", Repo: secret.ID, Private: true, Source: mirror.ModuleOfMirror, Requests: 7, Downloads: 7, At: time.Now(),
	}}); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"/proxy/example.com/lib/@v/v1.0.0.zip", "/proxy/github.com/!spf13/pflag/@v/v1.0.5.zip", "/proxy/github.com/!spf13/pflag/@v/v1.0.4.mod"} {
		if got := ask(w.handler, "GET", target); got.Code != 200 {
			t.Fatalf("GET %s = %d %s", target, got.Code, got.Body)
		}
	}
	w.tell(t)
	type stats struct {
		Modules, Versions, Requests, Downloads int
		Top                                    []struct{ Module string }
	}
	read := func(header ...string) (s stats) {
		got := ask(w.handler, "GET", "/proxy/@stats", header...)
		if err := json.Unmarshal(got.Body.Bytes(), &s); err != nil || got.Code != 200 || got.Header().Get("Cache-Control") != "no-store" {
			t.Fatalf("GET @stats = %d %s: %v", got.Code, got.Body, err)
		}
		return s
	}
	signedIn := []string{"Authorization", "Bearer right"}
	if s := read(); s.Modules != 2 || s.Versions != 3 || s.Requests != 3 || s.Downloads != 2 || len(s.Top) != 2 {
		t.Errorf("@stats of anybody = %+v, want 2 modules, 3 versions, 3 requests, 2 downloads", s)
	}
	if s := read(signedIn...); s.Modules != 3 || s.Downloads != 9 || len(s.Top) != 3 || s.Top[0].Module != "github.com/acme/secret" {
		t.Errorf("@stats of a developer = %+v, want the secret among them", s)
	}
	of := func(module string, header ...string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://mirror.test/proxy/@stats?module="+module, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return serveOnce(w.handler, r)
	}
	hidden, text := of("github.com/acme/secret")
	missing, other := of("github.com/acme/nothing")
	if hidden != 404 || missing != 404 || strings.ReplaceAll(text, "secret", "nothing") != other {
		t.Errorf("@stats of what may not be seen = %d %q, of nothing %d %q, want the same", hidden, text, missing, other)
	}
	if code, text := of("github.com/acme/secret", signedIn...); code != 200 || !strings.Contains(text, `"downloads":7`) {
		t.Errorf("@stats of the secret for a developer = %d %s, want 200", code, text)
	}
	if code, text := of("github.com/Spf13/pflag"); code != 200 || strings.Index(text, "v1.0.5") > strings.Index(text, "v1.0.4") {
		t.Errorf("@stats of pflag = %d %s, want v1.0.5 before v1.0.4", code, text)
	}
}

// What a rule refuses, and what is forged, is stored and counted.
func TestRefusalsAreStored(t *testing.T) {
	w, _ := rulesWorld(t)
	w.counting()
	w.handler.Accounts = accounts{}
	w.under(t, &modproxy.RuleBook{}, "deny example.com/lib >=v1.2.0 broken")
	for range 3 {
		ask(w.handler, "GET", "/proxy/example.com/lib/@v/v1.2.0.info", "Authorization", "Bearer right")
	}
	ask(w.handler, "GET", "/proxy/example.com/lib/@v/v1.3.0.zip")
	w.tell(t)
	list, err := w.db.ModuleRefusals(t.Context(), mirror.RefusalQuery{Module: "example.com/lib"})
	slices.SortFunc(list, func(a, b mirror.ModuleRefusal) int { return strings.Compare(a.Version, b.Version) })
	if err != nil || len(list) != 2 || list[0].Times != 3 || list[0].User != "token" || list[1].Times != 1 || list[1].User != "" || !strings.Contains(list[0].Text, "broken") {
		t.Errorf("ModuleRefusals = %+v %v, want three of token and one of nobody", list, err)
	}
}

// What projects need is pinned for a while, and what a person pins for good: it
// is not dropped.
func TestPins(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	for _, v := range []string{"v1.0.0", "v1.1.0", "v1.2.0", "v1.3.0"} {
		p.add(t, "example.com/lib", v, someTime, map[string]string{})
	}
	w.behind(t, p.url)
	u := w.counting()
	w.handler.Store.Pinned = w.handler.Pinned
	for _, v := range []string{"v1.0.0", "v1.1.0", "v1.2.0", "v1.3.0"} {
		if got := ask(w.handler, "GET", "/proxy/example.com/lib/@v/"+v+".zip"); got.Code != 200 {
			t.Fatalf("GET %s = %d %s", v, got.Code, got.Body)
		}
		w.keeps(t, "example.com/lib", v)
	}
	w.repos.OnNeed = func(module, version string) { u.Need(module, version, "rewrite") }
	if _, err := w.repos.Resolve(t.Context(), []mirror.ModuleQuery{
		{Path: "example.com/lib", Version: "v1.1.0"}, {Path: "example.com/lib", Version: "v1.2.0", ModOnly: true}, {Path: "example.com/lib", Version: "main"}, {Path: "-", Version: "v1.0.0"},
	}); err != nil {
		t.Fatal(err)
	}
	w.tell(t)
	ada := auth.Identity{Name: "ada"}
	if err := w.handler.Pin(t.Context(), mirror.ModulePin{Module: "example.com/lib", Version: "v1.0.0", By: ada.Name, Reason: "shipped"}); err != nil {
		t.Fatal(err)
	}
	pins, err := w.db.ModulePins(t.Context(), mirror.PinQuery{Now: time.Now()})
	if err != nil || len(pins) != 2 || pins[0].By != "ada" || !pins[0].Until.IsZero() || pins[1].Version != "v1.1.0" || pins[1].Reason != "rewrite" || pins[1].Until.IsZero() {
		t.Errorf("ModulePins = %+v %v, want ada's v1.0.0 for good and v1.1.0 for a time", pins, err)
	}
	w.handler.Store.Trim(time.Now().Add(time.Hour), 0)
	for v, want := range map[string]bool{"v1.0.0": true, "v1.1.0": true, "v1.2.0": false, "v1.3.0": false} {
		if got := w.handler.Keeps("example.com/lib", v); got != want {
			t.Errorf("after Trim: Keeps(%s) = %v, want %v", v, got, want)
		}
	}
	if err := w.handler.Unpin(t.Context(), "example.com/lib", "v1.0.0"); err != nil {
		t.Fatal(err)
	}
	if err := w.handler.Unpin(t.Context(), "example.com/lib", "v1.0.0"); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("Unpin of none = %v, want not found", err)
	}
	w.handler.Store.Trim(time.Now().Add(time.Hour), 0)
	if w.handler.Keeps("example.com/lib", "v1.0.0") {
		t.Error("after Unpin and Trim v1.0.0 is still here")
	}
	for _, bad := range []mirror.ModulePin{
		{Module: "lib", Version: "v1.0.0"}, {Module: "example.com/lib", Version: "main"}, {Module: "../x"}, {Module: "example.com/lib", Reason: "a\nb"},
		{Module: "example.com/lib", Until: time.Now().Add(-time.Hour)},
	} {
		if err := w.handler.Pin(t.Context(), bad); !errors.Is(err, mirror.ErrInvalid) {
			t.Errorf("Pin(%+v) = %v, want invalid", bad, err)
		}
	}
}
