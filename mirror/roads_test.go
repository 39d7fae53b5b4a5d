package mirror_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

const lib = "git.example/o/lib"

// newRoads makes the roads of a rig; probes come as quickly as they may count.
func (r *rig) newRoads() *mirror.Roads {
	return &mirror.Roads{
		Store: r.db, Prober: r.disk, Credential: r.catalog.OpenCredential, Check: r.catalog.CheckEndpoint, Every: 300 * time.Millisecond,
	}
}

func runRoads(t *testing.T, roads *mirror.Roads) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- roads.Run(ctx) }()
	stop = func() {
		cancel()
		if err, ok := <-done; ok && err != nil {
			t.Errorf("Roads.Run = %v, want nil", err)
		}
		close(done)
	}
	return stop
}

// hosts adds an endpoint to the host of the rig's upstream.
func (r *rig) hosts(t *testing.T, roads *mirror.Roads, endpoints ...mirror.Endpoint) {
	t.Helper()
	_, err := roads.Edit(t.Context(), mirror.HostEdit{
		Name: "127.0.0.1", Endpoints: append([]mirror.Endpoint{{Name: mirror.Direct}}, endpoints...),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rig) active(t *testing.T) string {
	t.Helper()
	h, err := r.db.Host(t.Context(), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return h.Active
}

// twin is a second upstream with the same repository.
func twin(t *testing.T, up *gittest.Upstream) *gittest.Upstream {
	t.Helper()
	other := gittest.NewUpstream(t)
	gittest.Git(t, "", "clone", "-q", "--mirror", up.Dir(lib), other.Dir(lib))
	return other
}

func TestRoadsFailover(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, lib, map[string]string{"a": "1"}, "v1.0.0")
	other := twin(t, r.up)
	roads := r.newRoads()
	r.syncer.Roads = roads
	run(t, r.syncer)
	repo := r.clone(t, lib)
	route, err := roads.Route(t.Context(), repo)
	if err != nil || route.Endpoint.Name != mirror.Direct || !route.Endpoint.Authoritative || route.Remote.Upstream != repo.Upstream {
		t.Fatalf("Route of a host nobody has configured = %+v, %v, want it directly", route, err)
	}
	r.hosts(t, roads, mirror.Endpoint{Name: "other", URL: other.Base()})
	stop := runRoads(t, roads)
	eventually(t, "both endpoints are healthy", func() bool {
		s, err := roads.Status(t.Context(), "127.0.0.1")
		return err == nil && len(s) == 1 && s[0].Mirrors == 1 && s[0].Roads[0].Condition == mirror.Healthy && s[0].Roads[1].Condition == mirror.Healthy
	})
	mend := r.up.Break(gittest.Fault{Status: http.StatusBadGateway})
	eventually(t, "syncs take the other endpoint", func() bool { return r.active(t) == "other" })
	if route, err = roads.Route(t.Context(), repo); err != nil || route.Endpoint.Name != "other" || route.Endpoint.Authoritative || route.Remote.Upstream.String() != other.URL(lib) {
		t.Errorf("Route after the failover = %+v, %v, want the other upstream", route, err)
	}
	events, err := r.db.HostEvents(t.Context(), "127.0.0.1", 0, 10)
	if err != nil || len(events) != 1 || !strings.Contains(events[0].Reason, "3 attempts in a row of direct failed (E1205); other answers in ") {
		t.Errorf("events = %+v, %v, want one with its reason", events, err)
	}
	stop()

	// A restart forgets neither the endpoint in use nor how the others were.
	again := r.newRoads()
	if route, err := again.Route(t.Context(), repo); err != nil || route.Endpoint.Name != "other" {
		t.Errorf("Route after a restart = %+v, %v, want the other upstream", route, err)
	}
	s, err := again.Status(t.Context(), "127.0.0.1")
	if err != nil || s[0].Roads[1].Condition == mirror.Unmeasured || s[0].Roads[1].Day.N == 0 {
		t.Errorf("Status after a restart = %+v, %v, want what was measured", s, err)
	}

	// A person may go back, at once, and stay.
	mend()
	if _, err := again.Use(t.Context(), "127.0.0.1", mirror.Direct, time.Hour, "anna"); err != nil {
		t.Fatal(err)
	}
	if route, _ := again.Route(t.Context(), repo); route.Endpoint.Name != mirror.Direct {
		t.Errorf("Route with a pin = %+v, want it directly", route)
	}
	if _, err := again.Use(t.Context(), "127.0.0.1", "none", 0, "anna"); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("Use of no endpoint = %v, want %v", err, mirror.ErrNotFound)
	}
}

// A credential goes to its own host and to no other road; a private mirror takes
// no road that has none.
func TestRoadsCredentials(t *testing.T) {
	r := newRig(t)
	roads := r.newRoads()
	for name, host := range map[string]string{"own": "git.example", "corp": "corp.example"} {
		if err := r.catalog.AddCredential(t.Context(), mirror.Credential{Name: name, Host: host, User: "u", Secret: "s"}); err != nil {
			t.Fatal(err)
		}
	}
	add := func(path, credential string) mirror.Repo {
		repo, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: path, Upstream: "https://" + path, Credential: credential})
		if err != nil {
			t.Fatal(err)
		}
		return repo
	}
	public, private := add("git.example/o/public", ""), add("git.example/o/private", "own")
	edit := func(endpoints ...mirror.Endpoint) error {
		_, err := roads.Edit(t.Context(), mirror.HostEdit{Name: "git.example", Endpoints: endpoints})
		return err
	}
	direct := mirror.Endpoint{Name: mirror.Direct, Disabled: true}
	if err := edit(mirror.Endpoint{Name: "corp", URL: "https://corp.example/m", Credential: "own"}, direct); !errors.Is(err, mirror.ErrInvalid) {
		t.Errorf("Edit with the credential of another host = %v, want %v", err, mirror.ErrInvalid)
	}
	check := func(repo mirror.Repo, url, credential string) {
		t.Helper()
		route, err := roads.Route(t.Context(), repo)
		got := ""
		if route.Remote.Credential != nil {
			got = route.Remote.Credential.Name
		}
		if err != nil || route.Remote.Upstream.String() != url || got != credential {
			t.Errorf("Route of %s = %s with %q, %v; want %s with %q", repo.Path, route.Remote.Upstream, got, err, url, credential)
		}
	}
	check(private, "https://git.example/o/private", "own")
	if err := edit(mirror.Endpoint{Name: "corp", URL: "https://corp.example/m"}, mirror.Endpoint{Name: mirror.Direct}); err != nil {
		t.Fatal(err)
	}
	if _, err := roads.Use(t.Context(), "git.example", "corp", 0, "anna"); err != nil {
		t.Fatal(err)
	}
	check(public, "https://corp.example/m/o/public", "")
	check(private, "https://git.example/o/private", "own")
	if err := edit(mirror.Endpoint{Name: "corp", URL: "https://corp.example/m", Credential: "corp"}, direct); err != nil {
		t.Fatal(err)
	}
	check(private, "https://corp.example/m/o/private", "corp")
	if err := r.catalog.RemoveCredential(t.Context(), "corp"); !errors.Is(err, mirror.ErrExists) {
		t.Errorf("RemoveCredential of one that an endpoint uses = %v, want %v", err, mirror.ErrExists)
	}

	// A mirror that an endpoint lacks goes another way; the others stay.
	if err := edit(mirror.Endpoint{Name: "corp", URL: "https://corp.example/m"}, mirror.Endpoint{Name: mirror.Direct}); err != nil {
		t.Fatal(err)
	}
	roads.Report(mirror.Sample{Host: "git.example", Endpoint: "corp", Repo: public.ID, At: time.Now(), Problem: mirror.CodeGone, Trip: mirror.Trip{FirstByte: time.Millisecond}})
	check(public, "https://git.example/o/public", "")
	check(add("git.example/o/third", ""), "https://corp.example/m/o/third", "")
}

func TestRoadsEditRefuses(t *testing.T) {
	r := newRig(t)
	roads := r.newRoads()
	direct := mirror.Endpoint{Name: mirror.Direct}
	for name, e := range map[string]mirror.HostEdit{
		"a host that is none":   {Name: "-x", Endpoints: []mirror.Endpoint{direct}},
		"no direct":             {Name: "h.example", Endpoints: []mirror.Endpoint{{Name: "a", URL: "https://a.example"}}},
		"nothing enabled":       {Name: "h.example", Endpoints: []mirror.Endpoint{{Name: mirror.Direct, Disabled: true}}},
		"direct with a URL":     {Name: "h.example", Endpoints: []mirror.Endpoint{{Name: mirror.Direct, URL: "https://a.example"}}},
		"no URL":                {Name: "h.example", Endpoints: []mirror.Endpoint{direct, {Name: "a"}}},
		"a password in the URL": {Name: "h.example", Endpoints: []mirror.Endpoint{direct, {Name: "a", URL: "https://u:p@a.example"}}},
		"a query":               {Name: "h.example", Endpoints: []mirror.Endpoint{direct, {Name: "a", URL: "https://a.example/?x="}}},
		"a file":                {Name: "h.example", Endpoints: []mirror.Endpoint{direct, {Name: "a", URL: "file:///etc"}}},
		"an option":             {Name: "h.example", Endpoints: []mirror.Endpoint{direct, {Name: "a", URL: "-oProxyCommand=x"}}},
		"a slash at the end":    {Name: "h.example", Endpoints: []mirror.Endpoint{direct, {Name: "a", URL: "https://a.example/"}}},
		"ourselves":             {Name: "h.example", Endpoints: []mirror.Endpoint{direct, {Name: "a", URL: "http://127.0.0.1:1"}}},
		"the name auto":         {Name: "h.example", Endpoints: []mirror.Endpoint{direct, {Name: "auto", URL: "https://a.example"}}},
		"a name with a blank":   {Name: "h.example", Endpoints: []mirror.Endpoint{direct, {Name: "a b", URL: "https://a.example"}}},
		"no such credential":    {Name: "h.example", Endpoints: []mirror.Endpoint{direct, {Name: "a", URL: "https://a.example", Credential: "none"}}},
		"a tiny bandwidth":      {Name: "h.example", Endpoints: []mirror.Endpoint{direct}, Bandwidth: 3},
		"a negative budget":     {Name: "h.example", Endpoints: []mirror.Endpoint{direct}, Budget: -1},
	} {
		if _, err := roads.Edit(t.Context(), e); !errors.Is(err, mirror.ErrInvalid) {
			t.Errorf("Edit with %s = %v, want %v", name, err, mirror.ErrInvalid)
		}
	}
	if _, err := roads.Edit(t.Context(), mirror.HostEdit{Name: "h.example", Endpoints: []mirror.Endpoint{direct, {Name: "a", URL: "https://a.example"}, {Name: "b", URL: "https://a.example"}}}); !errors.Is(err, mirror.ErrExists) {
		t.Errorf("Edit with a URL twice = %v, want %v", err, mirror.ErrExists)
	}
	h, err := roads.Edit(t.Context(), mirror.HostEdit{Name: "H.Example.", Endpoints: []mirror.Endpoint{direct}})
	if err != nil || h.Name != "h.example" || h.Active != mirror.Direct || h.Version != 1 {
		t.Errorf("Edit = %+v, %v, want h.example, version 1", h, err)
	}
	if _, err := roads.Edit(t.Context(), mirror.HostEdit{Name: "h.example", Version: 7, Endpoints: []mirror.Endpoint{direct}}); !errors.Is(err, mirror.ErrExists) {
		t.Errorf("Edit of another version = %v, want %v", err, mirror.ErrExists)
	}
}

// A substitute that is behind adds what is new and takes nothing away; the host
// itself then does.
func TestSyncTakesTheRoad(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, lib, map[string]string{"a": "1"}, "v1.0.0")
	r.up.CommitTo(t, lib, "old", map[string]string{"b": "1"})
	other := twin(t, r.up)
	roads := r.newRoads()
	r.syncer.Roads = roads
	run(t, r.syncer)
	repo := r.clone(t, lib)
	r.hosts(t, roads, mirror.Endpoint{Name: "other", URL: other.Base()})
	use := func(name string) {
		t.Helper()
		if _, err := roads.Use(t.Context(), "127.0.0.1", name, 0, "anna"); err != nil {
			t.Fatal(err)
		}
	}
	use("other")
	gittest.Git(t, other.Dir(lib), "update-ref", "refs/heads/new", "refs/heads/main")
	gittest.Git(t, other.Dir(lib), "update-ref", "-d", "refs/heads/old")
	r.up.Forget()
	r.sync(t, repo.ID, mirror.Updated)
	roads.Report(mirror.Sample{Host: "127.0.0.1", Endpoint: "other", At: time.Now(), Transfer: true, Trip: mirror.Trip{Bytes: 4 << 20, Total: 2 * time.Second}})
	if s, err := roads.Status(t.Context(), "127.0.0.1"); err != nil || s[0].Roads[1].Day.Rate() != 2<<20 || s[0].Roads[1].Day.N == 0 {
		t.Errorf("Status = %+v, %v, want samples of the substitute, and 2 MiB/s", s, err)
	}
	if n := len(r.up.Requests()); n != 0 {
		t.Errorf("the host itself was asked %d times in spite of the pin", n)
	}
	got := refs(t, r.mirrorDir(repo.ID), "refs/heads")
	if !strings.Contains(got, "refs/heads/new") || !strings.Contains(got, "refs/heads/old") {
		t.Errorf("branches after a sync by the substitute:\n%s\nwant new added and old kept", got)
	}
	use(mirror.Direct)
	r.sync(t, repo.ID, mirror.Updated)
	r.sameRefs(t, repo.ID, lib)
	if s := r.repo(t, repo.ID).State; s.Endpoint != mirror.Direct || s.Digest == "" {
		t.Errorf("state = endpoint %q, digest %q, want direct and one", s.Endpoint, s.Digest)
	}
	r.sync(t, repo.ID, mirror.Unchanged)
}
