package faults_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/faultproxy"
	"github.com/gitmirror/gitmirror/mirror"
)

// TestFlapping: an upstream that refuses, is missing and is in trouble by turns,
// as overloaded hosts are, is served from what we have all the while. No single
// answer makes the mirror one that has failed for good.
func TestFlapping(t *testing.T) {
	t.Parallel()
	h := seeded(t, mirror.FollowTags)
	old := h.served(t)
	h.up.Commit(t, project, files(5, 2), "v1.1.0")
	new := h.expect(t, old, mirror.FollowTags)
	for _, code := range []int{401, 404, 500, 403, 404, 502, 401, 503, 404, 504} {
		mend := h.road.Add(status(code))
		run := h.sync(t)
		mend()
		if run.Problem == nil {
			t.Fatalf("sync under %d = %s, want a failure", code, run.Outcome)
		}
		if want := classOf(code); run.Problem.Class() != want {
			t.Errorf("sync under %d = %s (%s), want %s", code, run.Problem.Code, run.Problem.Class(), want)
		}
		h.untorn(t, old, old)
		state := h.state(t)
		if state.Status != mirror.Retrying {
			t.Errorf("after %d: the mirror is %s, want %s", code, state.Status, mirror.Retrying)
		}
		if wait := time.Until(state.NextSync); wait > 9*time.Hour || wait < -time.Minute {
			t.Errorf("after %d: it is tried again in %s, want within 8 h", code, wait)
		}
	}
	h.whole(t)
	h.heal(t, new)
}

func classOf(status int) mirror.Class {
	if status >= 500 {
		return mirror.ServerTrouble
	}
	return mirror.Ambiguous
}

// point moves the mirror to another upstream URL.
func (h *house) point(t testing.TB, url string) {
	t.Helper()
	url += "/" + project
	if _, err := h.catalog.Edit(t.Context(), h.id, mirror.Edit{Upstream: &url}); err != nil {
		t.Fatal(err)
	}
}

// TestNoSuchName: the upstream's name stops resolving.
func TestNoSuchName(t *testing.T) {
	t.Parallel()
	h := seeded(t, mirror.FollowTags)
	old := h.served(t)
	h.up.Commit(t, project, files(5, 2), "v1.1.0")
	h.point(t, "http://no-such-host.invalid")
	run := h.sync(t)
	if run.Problem == nil || run.Problem.Code != mirror.CodeDNS || run.Problem.Class() != mirror.Network {
		t.Errorf("sync = %s, %v, want %s", run.Outcome, run.Problem, mirror.CodeDNS)
	}
	h.untorn(t, old, old)
	h.whole(t)
	h.point(t, h.road.URL())
	h.heal(t, h.expect(t, old, mirror.FollowTags))
}

// TestCertificateExpired: the upstream's certificate runs out, is another
// host's, or somebody else's, between two syncs.
func TestCertificateExpired(t *testing.T) {
	t.Parallel()
	h := seeded(t, mirror.FollowTags)
	good := h.ca.Good(t)
	h.road = faultproxy.New(t, h.up.Base(), faultproxy.Options{TLS: &good})
	h.point(t, h.road.URL())
	old := h.served(t)
	h.heal(t, old)
	h.up.Commit(t, project, files(5, 2), "v1.1.0")
	hour := time.Now().Add(time.Hour)
	for what, cert := range map[string]tls.Certificate{
		"expired": h.ca.Expired(t), "another host's": h.ca.Issue(t, time.Now().Add(-time.Hour), hour, "example.com"),
		"of an unknown authority": faultproxy.NewCA(t).Good(t),
	} {
		h.road.Present(cert)
		run := h.sync(t)
		if run.Problem == nil || run.Problem.Code != mirror.CodeTLS || run.Problem.Class() != mirror.Network {
			t.Fatalf("sync with a certificate that is %s = %s, %v, want %s", what, run.Outcome, run.Problem, mirror.CodeTLS)
		}
		if what == "expired" && !strings.Contains(run.Problem.Error(), "expired") {
			t.Errorf("sync = %v, want that the certificate has expired", run.Problem)
		}
		h.untorn(t, old, old)
		h.whole(t)
	}
	h.road.Present(good)
	h.heal(t, h.expect(t, old, mirror.FollowTags))
}
