package git

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// How a first clone in steps gets a ref that is too much for one step.

var errUnlisted = errors.New("the upstream does not give commits alone")

// planDir is a repository that holds the commits of what is too much at once,
// without their files.
func (s *stepping) planDir() string { return filepath.Join(s.in.repo, "gitmirror-plan.git") }

func (s *stepping) forgetPlan() error { return os.RemoveAll(s.planDir()) }

// advance fetches some more of the history of one object, oldest first.
func (s *stepping) advance(ctx context.Context) error {
	plan, err := s.plan(ctx)
	if err != nil {
		return err
	}
	if s.point.Commits == 0 {
		s.point.Commits = max(1, len(plan)/versionSteps)
		if s.point.Pace > 0 {
			s.point.Commits = min(s.point.Commits, s.point.Pace)
		}
	}
	done, err := s.done(ctx)
	if err != nil {
		return err
	}
	next := 0
	for i, id := range slices.Backward(plan) {
		if done[id] {
			next = i + 1
			break
		}
	}
	target := s.point.Deep
	if last := next + s.point.Commits - 1; last < len(plan)-1 {
		target = plan[last]
	}
	if err := s.fetch(ctx, target+":"+stepRefs+target+"\n"); err != nil {
		return err
	}
	s.point.Commits = s.longer(s.point.Commits)
	if target == s.point.Deep {
		s.point.Deep, s.point.Commits, s.point.Batch = "", 0, 1
		if err := s.forgetPlan(); err != nil {
			return s.in.disk.local("record a step", err)
		}
	}
	return s.record()
}

// plan is the commits that lead to what is too much at once, parents before
// children. They are fetched without their files, which is a small part of all.
func (s *stepping) plan(ctx context.Context) ([]string, error) {
	repo := s.planDir()
	ref := "refs/heads/" + s.point.Deep
	list := func() ([]string, error) {
		out, err := s.in.disk.output(ctx, maxPlan*41, command{args: []string{"rev-list", "--topo-order", "--reverse", "--max-count=" + fmt.Sprint(maxPlan), ref}, repo: repo})
		return strings.Fields(string(out)), err
	}
	if _, err := os.Stat(repo); err == nil {
		if commits, err := list(); err == nil {
			return commits, nil
		}
	}
	err := errors.Join(s.forgetPlan(), initBare(repo))
	if err != nil {
		return nil, s.in.disk.local("list the commits to come", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	listen := func(line string) bool {
		if strings.Contains(line, "filtering not recognized") { // everything would come
			cancel(errUnlisted)
		}
		return s.meter.take(line)
	}
	if err := s.fetchInto(ctx, repo, s.point.Deep+":"+ref+"\n", listen, "--filter=tree:0"); err != nil {
		_ = s.forgetPlan()
		if errors.Is(context.Cause(ctx), errUnlisted) {
			return nil, errUnlisted
		}
		return nil, err
	}
	return list()
}

// maxPlan bounds the commits that are planned with: five times the largest
// repositories there are.
const maxPlan = 5_000_000

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
		s.point.Deeper = s.longer(s.point.Deeper)
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
