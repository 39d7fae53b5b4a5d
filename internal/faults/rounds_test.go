package faults_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/gitmirror/gitmirror/internal/faultproxy"
	"github.com/gitmirror/gitmirror/mirror"
)

// round is one turn of the random test: upstream changes, something goes wrong
// while it is synced, and what came of it is looked at.
type round struct {
	*house
	*rand.Rand
	t    *testing.T
	n    uint64 // of this round
	tags mirror.TagPolicy
}

// change is something upstreams do.
type change struct {
	name string
	do   func(r *round)
}

var changes = []change{
	{"nothing", func(*round) {}},
	{"commit", func(r *round) { r.up.Commit(r.t, project, files(1+r.IntN(8), r.n)) }},
	{"large commit", func(r *round) { r.up.Commit(r.t, project, files(60+r.IntN(60), r.n)) }},
	{"release", func(r *round) { r.up.Commit(r.t, project, files(3, r.n), fmt.Sprintf("v1.%d.0", r.n)) }},
	{"annotated release", func(r *round) { r.up.AnnotateTag(r.t, project, fmt.Sprintf("v2.%d.0", r.n), "main") }},
	{"new branch", func(r *round) { r.up.CommitTo(r.t, project, fmt.Sprintf("topic/%d", r.n), files(3, r.n)) }},
	{"many branches", func(r *round) {
		for i := range 15 {
			r.up.ForceBranch(r.t, project, fmt.Sprintf("wide/%d-%d", r.n, i), "main")
		}
	}},
	{"branch deleted", func(r *round) {
		if name := r.branch("topic/"); name != "" {
			r.up.DeleteRef(r.t, project, "refs/heads/"+name)
		}
	}},
	{"branch forced", func(r *round) {
		if name := r.branch("topic/"); name != "" {
			r.up.ForceBranch(r.t, project, name, "main~0")
			r.up.CommitTo(r.t, project, name, files(3, r.n))
		}
	}},
	{"history rewritten", func(r *round) {
		r.up.ForceBranch(r.t, project, "main", "v1.0.0")
		r.up.Commit(r.t, project, files(4, r.n))
	}},
	{"tag moved", func(r *round) { r.up.MoveTag(r.t, project, "latest", "main") }},
	{"tag deleted", func(r *round) {
		if name := r.ref("refs/tags/v2."); name != "" {
			r.up.DeleteRef(r.t, project, name)
		}
	}},
	{"default branch changed", func(r *round) {
		r.up.ForceBranch(r.t, project, "trunk", "main")
		r.up.SetHead(r.t, project, []string{"main", "trunk"}[r.IntN(2)])
	}},
	{"branch becomes a directory", func(r *round) {
		name := r.branch("topic/")
		if name == "" || strings.Count(name, "/") > 3 {
			return
		}
		tip := r.up.Rev(r.t, project, name)
		r.up.DeleteRef(r.t, project, "refs/heads/"+name)
		r.up.ForceBranch(r.t, project, name+"/part", tip)
	}},
}

// ref is one of upstream's refs with the prefix, empty when there is none.
func (r *round) ref(prefix string) string {
	var names []string
	for _, line := range r.up.Refs(r.t, project) {
		if _, name, _ := strings.Cut(line, " "); strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return names[r.IntN(len(names))]
}

func (r *round) branch(prefix string) string {
	return strings.TrimPrefix(r.ref("refs/heads/"+prefix), "refs/heads/")
}

// fault is something that goes wrong during a sync.
type fault struct {
	name   string
	weight int
	do     func(r *round)
}

// onRoad is a fault that toxics make; the sync goes through it.
func onRoad(name string, toxics func(r *round) []faultproxy.Toxic) fault {
	return fault{name, 1, func(r *round) {
		mend := r.road.Add(toxics(r)...)
		defer mend()
		r.sync(r.t)
	}}
}

// somewhere is a place in what comes, early ones as likely as late ones.
func (r *round) somewhere() int64 { return int64(1)<<r.IntN(18) + r.Int64N(1000) }

func (r *round) match() faultproxy.Match {
	return []faultproxy.Match{{}, fetching, {Chance: 0.5}, {Skip: 1}}[r.IntN(4)]
}

func faults() []fault {
	list := []fault{
		{"none", 2, func(r *round) { r.sync(r.t) }},
		{"killed", 6, func(r *round) {
			at := trigger{step: 1 + r.IntN(14)}
			if r.IntN(2) == 0 {
				at = trigger{after: time.Duration(r.IntN(250)) * time.Millisecond}
			}
			r.syncKilled(r.t, at)
		}},
		{"stopped", 2, func(r *round) { // in good order, in the middle of it
			if _, err := r.syncer.Ask(r.t.Context(), r.id, mirror.ByHand); err != nil {
				r.t.Fatal(err)
			}
			timer := time.NewTimer(time.Duration(r.IntN(100)) * time.Millisecond)
			<-timer.C
			r.shut(r.t)
		}},
		{"stalled pack", 1, func(r *round) {
			r.reopen(r.t, time.Second)
			mend := r.road.Add(faultproxy.Toxic{Kind: faultproxy.Stall, Bytes: r.somewhere(), Match: fetching})
			defer mend()
			r.sync(r.t)
			r.reopen(r.t, 0)
		}},
	}
	for _, kind := range []faultproxy.Kind{faultproxy.Reset, faultproxy.Truncate, faultproxy.EndEarly, faultproxy.HalfClose, faultproxy.Flip, faultproxy.Duplicate} {
		list = append(list, onRoad(string(kind), func(r *round) []faultproxy.Toxic {
			match := r.match()
			if kind == faultproxy.Flip || kind == faultproxy.Duplicate {
				match = fetching // a list of refs has no checksum: what it says is what upstream has
			}
			return one(faultproxy.Toxic{Kind: kind, Bytes: r.somewhere(), Size: 1 + r.IntN(500), Match: match})
		}))
	}
	for _, s := range scenarios {
		if s.code == mirror.CodeStalled || s.name == "gzip bomb" { // long, and done elsewhere
			continue
		}
		list = append(list, onRoad(s.name, func(*round) []faultproxy.Toxic { return s.toxics }))
	}
	return list
}

// played is what became of the rounds of one kind of fault.
type played struct{ rounds, same, old, new int }

// TestRounds plays random rounds from a seed, which GITMIRROR_FAULTS_SEED
// changes; GITMIRROR_FAULTS_ROUNDS is how many.
func TestRounds(t *testing.T) {
	seed, n := uint64(20261121), points(24, 250)
	if text := os.Getenv("GITMIRROR_FAULTS_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	if text := os.Getenv("GITMIRROR_FAULTS_ROUNDS"); text != "" {
		n, _ = strconv.Atoi(text)
	}
	t.Logf("seed %d, %d rounds", seed, n)
	random := rand.New(rand.NewPCG(seed, seed))
	var choice []fault
	table := map[string]*played{}
	for _, f := range faults() {
		table[f.name] = &played{}
		for range f.weight {
			choice = append(choice, f)
		}
	}
	tags := []mirror.TagPolicy{mirror.FollowTags, mirror.FreezeTags}[random.IntN(2)]
	h := seeded(t, tags)
	survived, torn := 0, 0
	for i := range n {
		r := &round{house: h, Rand: random, t: t, n: uint64(i + 10), tags: tags}
		old := h.served(t)
		var changed []string
		for range 1 + random.IntN(3) {
			c := changes[random.IntN(len(changes))]
			c.do(r)
			changed = append(changed, c.name)
		}
		f := choice[random.IntN(len(choice))]
		new := h.expect(t, old, tags)
		f.do(r)
		p := table[f.name]
		p.rounds++
		switch got := h.served(t); {
		case old == new && got == new:
			p.same++
		case got == new:
			p.new++
		case got == old:
			p.old++
		default:
			torn++
		}
		if h.engine == nil {
			h.open(t)
		}
		h.untorn(t, old, new)
		h.whole(t)
		h.heal(t, new)
		if t.Failed() {
			t.Logf("round %d of seed %d: %s, under %q", i, seed, strings.Join(changed, ", "), f.name)
			break
		}
		survived++
	}
	result := fmt.Sprintf("%s\nrounds of seed %d survived %d of %d, torn sets %d", tabled(table), seed, survived, n, torn)
	t.Log("\n" + result)
	score.note("\n" + result)
}

// tabled is the table of the rounds.
func tabled(table map[string]*played) string {
	var names []string
	for name, p := range table {
		if p.rounds > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "fault\trounds\tno news\told set\tnew set\t")
	for _, name := range names {
		p := table[name]
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t\n", name, p.rounds, p.same, p.old, p.new)
	}
	_ = w.Flush() // writes to a Builder do not fail
	return b.String()
}
