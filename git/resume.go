package git

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"github.com/gitmirror/gitmirror/mirror"
)

// A first clone is tried in one piece. When the link breaks on the way, the next
// attempt goes in steps, each of which is kept, so that a link that breaks every
// few minutes still gets there: first the history up to old versions, then the
// rest, some refs at a time. Of a ref that is too much for the link by itself the
// commits are listed first, and then fetched some at a time from the oldest on;
// from upstreams that give no such list it is fetched with a history that grows
// deeper step by step. What is served is never shallow: the repository appears
// when it is complete and checked.

const (
	// resumeFrom is how much a broken first clone must have brought for steps to
	// be worth their while.
	resumeFrom = 256 << 10
	// stepRefs and shallowRefs are where steps keep what they have, by object id;
	// the latter without all of its history.
	stepRefs    = "refs/gitmirror/step/"
	shallowRefs = "refs/gitmirror/shallow/"

	checkpointName = "gitmirror-steps.json"
	checkpointAge  = 30 * 24 * time.Hour
	versionSteps   = 10   // steps that old versions are spread over
	firstDeeper    = 50   // commits
	mostRefs       = 4096 // in one step
	stepTries      = 6    // steps in a row that may break in one attempt
	stepCalm       = 16   // steps after one that broke, before longer ones
	stepPause      = 200 * time.Millisecond
)

// stepping is a first clone in steps.
type stepping struct {
	in    *incoming
	road  road
	meter *meter
	point checkpoint
}

// firstSteps is what a fetch does before it looks what is missing: nothing,
// unless it is a first clone.
func (in *incoming) firstSteps(ctx context.Context, from mirror.Remote, want []mirror.Ref, m *meter) error {
	switch {
	case in.stepwise:
		return in.bySteps(ctx, from, want, m)
	case in.first:
		return in.sayOrigin(from.Upstream)
	}
	return nil
}

// bySteps brings what want needs into the repository in staging. The steps that
// were made stay when it fails.
func (in *incoming) bySteps(ctx context.Context, from mirror.Remote, want []mirror.Ref, m *meter) error {
	point, err := loadCheckpoint(in.repo, from.Upstream)
	if err != nil {
		return in.disk.local("go on with the first clone", err)
	}
	r, err := in.disk.road(ctx, from)
	if err != nil {
		return err
	}
	defer r.close()
	s := &stepping{in: in, road: r, meter: m, point: point}
	targets := inSteps(want)
	if s.point.Batch == 0 {
		versions := 0
		for _, t := range targets {
			if t.IsTag() && semver.IsValid(t.Short()) {
				versions++
			}
		}
		s.point.Batch = max(1, versions/versionSteps)
	}
	if err := s.tidy(); err != nil { // after a kill
		return err
	}
	for broken := 0; ; {
		todo, err := s.todo(ctx, targets)
		if err != nil {
			return err
		}
		if len(todo) == 0 {
			return s.complete()
		}
		batch, before := todo[:min(len(todo), s.point.Batch)], s.brought()
		if err = s.step(ctx, batch); err == nil {
			broken = 0
			continue
		}
		grown := s.brought() - before
		if cleaning := s.tidy(); cleaning != nil {
			return cleaning
		}
		problem := mirror.AsProblem(in.disk.explain(ctx, err, from))
		again := s.smaller(err, problem, batch)
		if err := s.record(); err != nil {
			return err
		}
		broken++
		in.disk.Log.Info("step of a first clone broke off", "repo", in.id, "bytes", grown, "refs", s.point.Batch, "depth", s.point.Depth, "deeper", s.point.Deeper, "err", problem.Error())
		if errors.Is(err, errUnlisted) {
			continue
		}
		if !again || grown == 0 || broken >= stepTries {
			return problem
		}
		select {
		case <-ctx.Done():
			return interrupted(ctx)
		case <-time.After(time.Duration(broken) * stepPause):
		}
	}
}

// brought is how many bytes came so far.
func (s *stepping) brought() int64 {
	if s.road.gate != nil {
		return s.road.gate.received.Load()
	}
	return packBytes(filepath.Join(s.in.repo, "objects", "pack"))
}

// inSteps orders what is wanted: old versions first, then branches, the main
// ones before the others, then what is left. One of each object.
func inSteps(want []mirror.Ref) []mirror.Ref {
	class := func(r mirror.Ref) int {
		switch {
		case r.IsTag() && semver.IsValid(r.Short()):
			return 0
		case r.Name == "refs/heads/main" || r.Name == "refs/heads/master":
			return 1
		case r.IsHead():
			return 2
		case r.IsTag():
			return 3
		}
		return 4
	}
	ordered := slices.Clone(want)
	slices.SortStableFunc(ordered, func(a, b mirror.Ref) int {
		if c := cmp.Compare(class(a), class(b)); c != 0 {
			return c
		}
		if class(a) == 0 {
			return semver.Compare(a.Short(), b.Short())
		}
		return strings.Compare(a.Name, b.Name)
	})
	seen := map[string]bool{}
	return slices.DeleteFunc(ordered, func(r mirror.Ref) bool {
		had := seen[r.Hash]
		seen[r.Hash] = true
		return had
	})
}

// todo are those of the targets that no step has brought.
func (s *stepping) todo(ctx context.Context, targets []mirror.Ref) ([]mirror.Ref, error) {
	done, err := s.done(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(targets), func(r mirror.Ref) bool { return done[r.Hash] }), nil
}

// done are the objects that steps have brought, with everything they need. Their
// types are asked for because that finds packs that are lost or cut off.
func (s *stepping) done(ctx context.Context) (map[string]bool, error) {
	out, err := s.in.disk.output(ctx, maxListBytes, command{
		args: []string{"for-each-ref", "--format=%(objectname) %(objecttype)", stepRefs}, repo: s.in.repo,
	})
	var f *failure
	if errors.As(err, &f) && f.cause == nil {
		return nil, corrupt(s.road.from, keptDamaged, f.stderr)
	}
	if err != nil {
		return nil, s.in.disk.localGit(ctx, "look for what has come", err)
	}
	done := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		id, _, _ := strings.Cut(line, " ")
		done[id] = true
	}
	return done, nil
}

// step makes the next step and records it.
func (s *stepping) step(ctx context.Context, batch []mirror.Ref) error {
	switch {
	case s.point.Deep != "" && !s.point.Unlisted:
		return s.advance(ctx)
	case s.point.Deep != "":
		return s.deepen(ctx)
	}
	var specs strings.Builder
	for _, r := range batch {
		fmt.Fprintf(&specs, "%s:%s%s\n", r.Hash, stepRefs, r.Hash)
	}
	if err := s.fetch(ctx, specs.String()); err != nil {
		return err
	}
	s.point.Batch = min(s.longer(s.point.Batch), mostRefs)
	return s.record()
}

// longer is the size of the next step after one of size n that was made. Twice as
// much, but what broke off a while ago would break off again, and be lost again.
func (s *stepping) longer(n int) int {
	if s.point.Calm > 0 {
		s.point.Calm--
		return n
	}
	return 2 * n
}

// smaller makes the next step shorter after one that failed, and tells whether
// to take it at once.
func (s *stepping) smaller(err error, p *mirror.Problem, batch []mirror.Ref) bool {
	said := strings.ToLower(p.Raw)
	if p.Class() == mirror.Network {
		s.point.Calm = stepCalm
	}
	switch {
	case s.point.Deep != "" && !s.point.Unlisted && (errors.Is(err, errUnlisted) || strings.Contains(said, refusedOID)):
		s.point.Unlisted = true
		return true
	case s.point.Deep != "" && strings.Contains(said, "support shallow"):
		s.point.Flat = true
		return s.abandon()
	case s.point.Deep != "" && (strings.Contains(said, "not our ref") || strings.Contains(said, refusedOID)):
		return s.abandon() // upstream dropped it
	case p.Class() != mirror.Network:
		return false
	case s.point.Deep != "" && !s.point.Unlisted && s.point.Commits == 0:
		if s.point.Lists++; s.point.Lists >= stepTries/2 && !s.point.Flat {
			s.point.Unlisted = true
		}
	case s.point.Deep != "":
		s.point.Deeper = max(1, s.point.Deeper/2)
		s.point.Commits = max(1, s.point.Commits/2)
		s.point.Pace = s.point.Commits
	case len(batch) == 1 && !(s.point.Unlisted && s.point.Flat):
		s.point.Deep, s.point.Commits, s.point.Depth, s.point.Deeper = batch[0].Hash, 0, 0, firstDeeper
	default:
		s.point.Batch = max(1, len(batch)/2)
	}
	return p.Code == mirror.CodeCutOff || p.Code == mirror.CodeStalled
}

// abandon gives up a history that was to grow. Its objects stay, and count for
// nothing as long as no ref leads to them.
func (s *stepping) abandon() bool {
	s.point.Deep, s.point.Depth, s.point.Batch = "", 0, 1
	err := s.forgetPlan()
	err = errors.Join(err, os.RemoveAll(filepath.Join(s.in.repo, filepath.FromSlash(shallowRefs))))
	return errors.Join(err, removeIfThere(filepath.Join(s.in.repo, "shallow"))) == nil
}

// fetch has git fetch into the repository itself, which nobody sees yet.
func (s *stepping) fetch(ctx context.Context, specs string, more ...string) error {
	return s.fetchInto(ctx, s.in.repo, specs, s.meter.take, more...)
}

func (s *stepping) fetchInto(ctx context.Context, repo, specs string, line func(string) bool, more ...string) error {
	config := append([][2]string{
		{"protocol.version", "2"},
		{"fetch.fsckObjects", "true"},
		{"fetch.unpackLimit", "1"},
		{"fetch.writeCommitGraph", "false"},
		{"fetch.recurseSubmodules", "no"},
	}, s.road.config...)
	for _, fault := range fsckTolerated {
		config = append(config, [2]string{"fetch.fsck." + fault, "ignore"})
	}
	args := append([]string{"fetch", "--progress", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance",
		"--no-recurse-submodules", "--no-show-forced-updates", "--stdin"}, more...)
	return s.meter.watched(ctx, 3*s.in.disk.StallAfter, func(ctx context.Context) error {
		err := s.in.disk.run(ctx, command{
			args: append(args, "--end-of-options", s.road.url), repo: repo, scheme: s.road.from.Upstream.Scheme,
			config: config, env: s.road.env, gate: s.road.gate, secrets: s.road.secrets,
			stdin: strings.NewReader(specs), line: line,
		})
		if err != nil {
			return s.in.disk.explain(ctx, err, s.road.from)
		}
		return nil
	})
}

// record makes a step durable. git has flushed objects and refs.
func (s *stepping) record() error {
	if err := syncIfThere(filepath.Join(s.in.repo, "shallow")); err != nil {
		return s.in.disk.local("record a step", err)
	}
	if err := s.point.save(s.in.repo); err != nil {
		return s.in.disk.local("record a step", err)
	}
	return nil
}

// tidy clears what a git that was cut off left behind.
func (s *stepping) tidy() error {
	names, _ := filepath.Glob(filepath.Join(s.in.repo, "objects", "pack", "tmp_*"))
	err := filepath.WalkDir(s.in.repo, func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && strings.HasSuffix(name, ".lock") {
			names = append(names, name)
		}
		return err
	})
	for _, name := range names {
		err = errors.Join(err, removeIfThere(name))
	}
	if err != nil {
		return s.in.disk.local("clear away an interrupted step", err)
	}
	return nil
}

// complete takes the marks of the steps away when all has come.
func (s *stepping) complete() error {
	err := errors.Join(s.forgetPlan(), os.RemoveAll(filepath.Join(s.in.repo, "refs", "gitmirror")))
	err = errors.Join(err, removeIfThere(filepath.Join(s.in.repo, "packed-refs")), removeIfThere(filepath.Join(s.in.repo, "shallow")))
	if err != nil {
		return s.in.disk.local("end the steps of the first clone", err)
	}
	return nil
}

func removeIfThere(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func syncIfThere(name string) error {
	if err := syncFile(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
