package git

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
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
// rest, some refs at a time. A ref that is too much for the link by itself is
// fetched with a history that grows deeper step by step. What is served is never
// shallow: the repository appears when it is complete and checked.

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
	stepPause      = 500 * time.Millisecond
)

// checkpoint is how far a first clone in steps has come.
type checkpoint struct {
	Upstream string `json:"upstream"`
	// Batch is how many refs the next step asks for.
	Batch int `json:"batch"`
	// Deep is the object that is fetched by depth, if one is: it has Depth commits
	// of history, and Deeper more are next.
	Deep   string `json:"deep,omitempty"`
	Depth  int    `json:"depth,omitempty"`
	Deeper int    `json:"deeper,omitempty"`
	// Flat says that the upstream gives no part of a history.
	Flat bool `json:"flat,omitempty"`
}

// stepping is a first clone in steps.
type stepping struct {
	in    *incoming
	road  road
	meter *meter
	point checkpoint
}

// stepsDir is where a repository is cloned in steps.
func (d *Disk) stepsDir(id mirror.ID) string {
	return filepath.Join(d.Root, "staging", string(id)+".git")
}

// resumable tells whether the first clone of a repository has been begun in steps.
func (d *Disk) resumable(id mirror.ID) bool {
	_, err := os.Stat(filepath.Join(d.stepsDir(id), checkpointName))
	return err == nil
}

// beginSteps has the next attempt go in steps, when one in a single piece broke
// off after it had brought something.
func (d *Disk) beginSteps(id mirror.ID, from mirror.Remote, brought int64, err error) {
	p := mirror.AsProblem(err)
	if brought < resumeFrom || p.Class() != mirror.Network && p.Code != mirror.CodeInterrupted {
		return
	}
	if err := d.makeSteps(id, from.Upstream.String()); err != nil {
		d.Log.Error("prepare to clone in steps", "repo", id, "err", err)
		return
	}
	d.Log.Info("first clone goes on in steps", "repo", id, "bytes", brought)
}

func (d *Disk) makeSteps(id mirror.ID, upstream string) error {
	dir := d.stepsDir(id)
	if err := initBare(dir); err != nil {
		return err
	}
	point := checkpoint{Upstream: upstream}
	if err := point.save(dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func (c checkpoint) save(repo string) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(repo, checkpointName), checkpointName+".new", string(text)+"\n")
}

// loadCheckpoint fails when the repository in staging is not for this upstream,
// so that nothing of one repository ever gets into another. Endpoints put
// something in front of the path of a repository.
func loadCheckpoint(repo string, up mirror.Upstream) (checkpoint, error) {
	text, err := os.ReadFile(filepath.Join(repo, checkpointName))
	if err != nil {
		return checkpoint{}, err
	}
	var point checkpoint
	if err := json.Unmarshal(text, &point); err != nil {
		return checkpoint{}, err
	}
	was, _, err := mirror.ParseUpstream(point.Upstream)
	if err != nil {
		return checkpoint{}, err
	}
	a, b := "/"+was.Host+strings.TrimSuffix(was.Path, ".git"), "/"+up.Host+strings.TrimSuffix(up.Path, ".git")
	a2, b2 := strings.TrimSuffix(was.Path, ".git"), strings.TrimSuffix(up.Path, ".git")
	if a != b && !strings.HasSuffix(a, b2) && !strings.HasSuffix(b, a2) {
		return checkpoint{}, errors.New("it is another repository's")
	}
	return point, nil
}

// keepSteps is for the sweep at start: it tells whether a directory of staging
// holds a clone that goes on. What a clone in one piece left behind when the
// process was killed is a reason to go on in steps.
func (d *Disk) keepSteps(name string) bool {
	dir := filepath.Join(d.Root, "staging", name)
	id, rest, _ := strings.Cut(strings.TrimSuffix(name, ".git"), "-")
	if _, err := mirror.ParseID(id); err != nil {
		return false
	}
	if rest != "" {
		upstream, err := os.ReadFile(filepath.Join(dir, originName))
		packs, _ := filepath.Glob(filepath.Join(dir, "objects", quarantinePrefix+"*", "pack"))
		if err == nil && len(packs) == 1 && packBytes(packs[0]) >= resumeFrom && !d.resumable(mirror.ID(id)) {
			_ = d.makeSteps(mirror.ID(id), strings.TrimSpace(string(upstream)))
		}
		return false
	}
	info, err := os.Stat(filepath.Join(dir, checkpointName))
	return err == nil && time.Since(info.ModTime()) < checkpointAge
}

// originName is a file of a first clone that says where it comes from.
const originName = "gitmirror-origin"

// bySteps brings what want needs into the repository in staging. The steps that
// were made stay when it fails.
func (in *incoming) bySteps(ctx context.Context, r road, want []mirror.Ref, m *meter) error {
	point, err := loadCheckpoint(in.repo, r.from.Upstream)
	if err != nil {
		return in.disk.local("go on with the first clone", err)
	}
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
		problem := mirror.AsProblem(in.disk.explain(ctx, err, r.from))
		again := s.smaller(problem, batch)
		if err := s.record(); err != nil {
			return err
		}
		broken++
		in.disk.Log.Info("step of a first clone broke off", "repo", in.id, "bytes", grown, "refs", s.point.Batch, "depth", s.point.Depth, "deeper", s.point.Deeper, "err", problem.Error())
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
	out, err := s.in.disk.output(ctx, len(targets)*200+1<<20, command{
		args: []string{"for-each-ref", "--format=%(objectname)", stepRefs}, repo: s.in.repo,
	})
	if err != nil {
		return nil, s.in.disk.localGit(ctx, "look for what has come", err)
	}
	done := map[string]bool{}
	for id := range strings.FieldsSeq(string(out)) {
		done[id] = true
	}
	return slices.DeleteFunc(slices.Clone(targets), func(r mirror.Ref) bool { return done[r.Hash] }), nil
}

// step makes the next step and records it.
func (s *stepping) step(ctx context.Context, batch []mirror.Ref) error {
	if s.point.Deep != "" {
		return s.deepen(ctx)
	}
	var specs strings.Builder
	for _, r := range batch {
		fmt.Fprintf(&specs, "%s:%s%s\n", r.Hash, stepRefs, r.Hash)
	}
	if err := s.fetch(ctx, specs.String()); err != nil {
		return err
	}
	s.point.Batch = min(s.point.Batch*2, mostRefs)
	return s.record()
}

// deepen fetches one object with more of its history.
func (s *stepping) deepen(ctx context.Context) error {
	depth := 1
	if s.point.Depth > 0 {
		depth = s.point.Depth + s.point.Deeper
	}
	err := s.fetch(ctx, "+"+s.point.Deep+":"+shallowRefs+s.point.Deep+"\n", fmt.Sprintf("--depth=%d", depth))
	if err != nil {
		return err
	}
	if s.point.Depth > 0 {
		s.point.Deeper *= 2
	}
	s.point.Depth = depth
	whole, err := s.whole(ctx)
	if err != nil || !whole {
		return errors.Join(err, s.record())
	}
	err = s.in.disk.run(ctx, command{
		args: []string{"update-ref", "--stdin"}, repo: s.in.repo,
		stdin: strings.NewReader("update " + stepRefs + s.point.Deep + " " + s.point.Deep + "\ndelete " + shallowRefs + s.point.Deep + "\n"),
	})
	if err != nil {
		return s.in.disk.localGit(ctx, "record a step", err)
	}
	s.point.Deep, s.point.Depth, s.point.Batch = "", 0, 1
	return s.record()
}

// whole tells whether the history that grew has reached its beginning, or what
// earlier steps brought. Ends of the latter kind are no ends any more: an
// upstream that is told of them would send all before them again.
func (s *stepping) whole(ctx context.Context) (bool, error) {
	name := filepath.Join(s.in.repo, "shallow")
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, s.in.disk.local("read how deep the history is", err)
	}
	ends := &among{ids: map[string]bool{}}
	for id := range strings.FieldsSeq(string(text)) {
		ends.ids[id] = true
	}
	err = s.in.disk.run(ctx, command{
		args: []string{"rev-list", "--glob=" + stepRefs}, repo: s.in.repo, stdout: ends, env: []string{"GIT_SHALLOW_FILE="},
	})
	if err != nil {
		return false, s.in.disk.localGit(ctx, "read how deep the history is", err)
	}
	if len(ends.ids) == 0 {
		err = os.Remove(name)
	} else {
		err = replaceFile(name, "shallow.new", strings.Join(slices.Sorted(maps.Keys(ends.ids)), "\n")+"\n")
	}
	if err != nil {
		return false, s.in.disk.local("write how deep the history is", err)
	}
	return len(ends.ids) == 0, nil
}

// among drops the ids that are written to it, one a line.
type among struct {
	ids  map[string]bool
	line []byte
}

func (a *among) Write(p []byte) (int, error) {
	for _, b := range p {
		if b != '\n' {
			a.line = append(a.line, b)
			continue
		}
		delete(a.ids, string(a.line))
		a.line = a.line[:0]
	}
	return len(p), nil
}

// smaller makes the next step shorter after one that failed, and tells whether
// to take it at once.
func (s *stepping) smaller(p *mirror.Problem, batch []mirror.Ref) bool {
	said := strings.ToLower(p.Raw)
	switch {
	case s.point.Deep != "" && strings.Contains(said, "support shallow"):
		s.point.Flat = true
		return s.abandon()
	case s.point.Deep != "" && (strings.Contains(said, "not our ref") || strings.Contains(said, refusedOID)):
		return s.abandon() // upstream dropped it
	case p.Class() != mirror.Network:
		return false
	case s.point.Deep != "":
		s.point.Deeper = max(1, s.point.Deeper/2)
	case len(batch) == 1 && !s.point.Flat:
		s.point.Deep, s.point.Depth, s.point.Deeper = batch[0].Hash, 0, firstDeeper
	default:
		s.point.Batch = max(1, len(batch)/2)
	}
	return p.Code == mirror.CodeCutOff || p.Code == mirror.CodeStalled
}

// abandon gives up a history that was to grow. Its objects stay, and count for
// nothing as long as no ref leads to them.
func (s *stepping) abandon() bool {
	s.point.Deep, s.point.Depth, s.point.Batch = "", 0, 1
	err := os.RemoveAll(filepath.Join(s.in.repo, filepath.FromSlash(shallowRefs)))
	return errors.Join(err, removeIfThere(filepath.Join(s.in.repo, "shallow"))) == nil
}

// fetch has git fetch into the repository itself, which nobody sees yet.
func (s *stepping) fetch(ctx context.Context, specs string, more ...string) error {
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
			args: append(args, "--end-of-options", s.road.url), repo: s.in.repo, scheme: s.road.from.Upstream.Scheme,
			config: config, env: s.road.env, gate: s.road.gate, secrets: s.road.secrets,
			stdin: strings.NewReader(specs), line: s.meter.take,
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
	err := os.RemoveAll(filepath.Join(s.in.repo, "refs", "gitmirror"))
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
