package faults_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/faultproxy"
	"github.com/gitmirror/gitmirror/mirror"
)

// fetching are requests that bring objects, whatever way refs are asked for.
var fetching = faultproxy.Match{Body: "command=fetch"}

// scenario is something that goes wrong at an upstream, or on the way to it.
type scenario struct {
	name   string
	toxics []faultproxy.Toxic
	class  mirror.Class
	code   mirror.Code // empty = any of the class
	// passes: the sync may also succeed.
	passes bool
}

const (
	advertisement = "application/x-git-upload-pack-advertisement"
	result        = "application/x-git-upload-pack-result"
)

func status(code int, header ...string) faultproxy.Toxic {
	t := faultproxy.Toxic{Kind: faultproxy.Status, Status: code, Body: "no", Header: map[string]string{}}
	for i := 0; i+1 < len(header); i += 2 {
		t.Header[header[i]] = header[i+1]
	}
	return t
}

// inBand answers 200 and an error where git's answer begins.
func inBand(text string) []faultproxy.Toxic {
	body := fmt.Sprintf("%04xERR %s", len(text)+8, text)
	return []faultproxy.Toxic{
		{Kind: faultproxy.Status, Status: 200, Header: map[string]string{"Content-Type": advertisement}, Body: body, Match: faultproxy.Match{Method: "GET"}},
		{Kind: faultproxy.Status, Status: 200, Header: map[string]string{"Content-Type": result}, Body: body, Match: faultproxy.Match{Method: "POST"}},
	}
}

func one(t faultproxy.Toxic) []faultproxy.Toxic { return []faultproxy.Toxic{t} }

var scenarios = []scenario{
	{"hang before headers", one(faultproxy.Toxic{Kind: faultproxy.Hang}), mirror.Network, mirror.CodeStalled, false},
	{"hang before headers of the pack", one(faultproxy.Toxic{Kind: faultproxy.Hang, Match: fetching}), mirror.Network, mirror.CodeStalled, false},
	{"hang inside headers", one(faultproxy.Toxic{Kind: faultproxy.HangInside}), mirror.Network, mirror.CodeStalled, false},
	{"hang inside headers of the pack", one(faultproxy.Toxic{Kind: faultproxy.HangInside, Match: fetching}), mirror.Network, mirror.CodeStalled, false},
	{"stalled list", one(faultproxy.Toxic{Kind: faultproxy.Stall, Bytes: 100}), mirror.Network, mirror.CodeStalled, false},
	{"stalled pack", one(faultproxy.Toxic{Kind: faultproxy.Stall, Bytes: 3000, Match: fetching}), mirror.Network, mirror.CodeStalled, false},
	{"reset at once", one(faultproxy.Toxic{Kind: faultproxy.Reset}), mirror.Network, "", false},
	{"reset in the pack", one(faultproxy.Toxic{Kind: faultproxy.Reset, Bytes: 3000, Match: fetching}), mirror.Network, "", false},
	{"cut in the pack", one(faultproxy.Toxic{Kind: faultproxy.Truncate, Bytes: 3000, Match: fetching}), mirror.Network, "", false},
	{"pack ends early in good order", one(faultproxy.Toxic{Kind: faultproxy.EndEarly, Bytes: 3000, Match: fetching}), mirror.Network, "", false},
	{"half-closed in the pack", one(faultproxy.Toxic{Kind: faultproxy.HalfClose, Bytes: 3000, Match: fetching}), mirror.Network, "", false},
	{"list cut off", one(faultproxy.Toxic{Kind: faultproxy.Truncate, Bytes: 120}), mirror.Network, "", false},
	{"longer than it says", one(faultproxy.Toxic{Kind: faultproxy.Length, Bytes: -30, Match: fetching}), mirror.Network, "", false},
	{"shorter than it says", one(faultproxy.Toxic{Kind: faultproxy.Length, Bytes: 30, Match: fetching}), mirror.Network, "", true},
	{"flipped byte in the pack", one(faultproxy.Toxic{Kind: faultproxy.Flip, Bytes: 40_000, Match: fetching}), mirror.Content, mirror.CodeCorrupt, false},
	{"web page", one(faultproxy.Toxic{Kind: faultproxy.Page}), "", mirror.CodeNotGit, false},
	{"429", one(status(429)), mirror.Throttled, mirror.CodeThrottled, false},
	{"429 with Retry-After", one(status(429, "Retry-After", "1")), mirror.Throttled, mirror.CodeThrottled, false},
	{"429 for the pack", one(func() faultproxy.Toxic { s := status(429, "Retry-After", "1"); s.Match = fetching; return s }()), mirror.Throttled, mirror.CodeThrottled, false},
	{"403 with Retry-After", one(status(403, "Retry-After", "1")), mirror.Throttled, mirror.CodeThrottled, false},
	{"200 with an error in band", inBand("temporarily limiting some unauthenticated downloads"), mirror.ThrottledAnonymous, mirror.CodeAnonymous, false},
	{"401", one(status(401, "WWW-Authenticate", "Basic")), mirror.Ambiguous, mirror.CodeAuth, false},
	{"403", one(status(403)), mirror.Ambiguous, mirror.CodeAuth, false},
	{"404", one(status(404)), mirror.Ambiguous, mirror.CodeGone, false},
	{"410", one(status(410)), mirror.Ambiguous, mirror.CodeGone, false},
	{"500", one(status(500)), mirror.ServerTrouble, mirror.CodeServer, false},
	{"502", one(status(502)), mirror.ServerTrouble, mirror.CodeServer, false},
	{"503", one(status(503)), mirror.ServerTrouble, mirror.CodeServer, false},
	{"504", one(status(504)), mirror.ServerTrouble, mirror.CodeServer, false},
	{"redirect to another host", one(faultproxy.Toxic{Kind: faultproxy.Redirect, Location: "https://elsewhere.example*"}), mirror.Moved, mirror.CodeRedirect, false},
	{"redirect to inside", one(faultproxy.Toxic{Kind: faultproxy.Redirect, Location: "http://169.254.169.254/latest"}), mirror.Moved, mirror.CodeRedirect, false},
	{"redirect in a circle", one(faultproxy.Toxic{Kind: faultproxy.Redirect}), mirror.Moved, mirror.CodeRedirect, false},
	{"gzip bomb", one(faultproxy.Toxic{Kind: faultproxy.GzipBomb, Bytes: 1 << 30}), "", "", false},
	{"one byte at a time", []faultproxy.Toxic{{Kind: faultproxy.Slice}}, "", "", true},
	{"slow road", []faultproxy.Toxic{{Kind: faultproxy.Latency, Delay: faultproxy.Duration(20 * time.Millisecond), Jitter: faultproxy.Duration(20 * time.Millisecond)},
		{Kind: faultproxy.Bandwidth, Rate: 1 << 20}}, "", "", true},
	{"slow headers", one(faultproxy.Toxic{Kind: faultproxy.SlowHeaders, Delay: faultproxy.Duration(time.Millisecond)}), "", "", true},
}

// hurried ends what hangs after a second, so that the tests need not wait long.
func hurried(c *config) { c.StallAfter = time.Second }

// hurry is for what hangs alone: the others have all the time of a slow machine.
func (s scenario) hurry(c *config) {
	if s.code == mirror.CodeStalled {
		hurried(c)
	}
}

func TestUpstreamInTrouble(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			h := seeded(t, mirror.FollowTags, s.hurry)
			old := h.served(t)
			h.up.Commit(t, project, files(40, 2), "v1.1.0")
			h.up.CommitTo(t, project, "next", files(3, 3))
			h.road.Add(s.toxics...)
			h.suffer(t, s, old, h.sync(t))
		})
	}
}

func TestFirstCloneInTrouble(t *testing.T) {
	for i, s := range scenarios {
		if !full && s.toxics[0].Match != fetching && i%4 != 0 { // lists are asked for as in the test above
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, s.hurry)
			h.up.Commit(t, project, files(40, 1), "v1.0.0")
			h.road.Add(s.toxics...)
			h.add(t, mirror.FollowTags)
			h.suffer(t, s, "", h.first(t))
		})
	}
}

// first waits for the run that began when the mirror was added.
func (h *house) first(t testing.TB) mirror.Run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	run, err := h.syncer.Await(ctx, h.id, 0)
	if err != nil {
		t.Fatalf("Await = %v, want a run\n%s", err, h.lately())
	}
	return run
}

// suffer checks what came of a sync under the fault, and heals.
func (h *house) suffer(t *testing.T, s scenario, old string, run mirror.Run) {
	t.Helper()
	new := h.expect(t, old, mirror.FollowTags)
	bit := 0
	if run.Problem != nil {
		bit = 1
	}
	if old == "" {
		score.count("upstream in trouble, first clone", 1, bit)
	} else {
		score.count("upstream in trouble", 1, bit)
	}
	switch {
	case run.Problem == nil && !s.passes:
		t.Errorf("sync = %s, want a failure\n%s", run.Outcome, h.lately())
	case run.Problem == nil:
	case s.class != "" && run.Problem.Class() != s.class, s.code != "" && run.Problem.Code != s.code:
		t.Errorf("sync failed with %s (%s): %v, want %s %s\n%s\n%s", run.Problem.Code, run.Problem.Class(), run.Problem, s.code, s.class, run.Problem.Raw, h.lately())
	case run.Problem.What == "" || run.Problem.Do == "":
		t.Errorf("problem = %+v, want What and Do", run.Problem)
	}
	h.untorn(t, old, new)
	h.whole(t)
	h.heal(t, new)
}

// TestNames: everything has a name of its own, to run it alone by.
func TestNames(t *testing.T) {
	var names []string
	for _, s := range scenarios {
		if slices.Contains(names, s.name) {
			t.Errorf("two scenarios are called %q", s.name)
		}
		names = append(names, s.name)
	}
}
