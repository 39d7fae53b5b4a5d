package git

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// What a first clone leaves to the next attempt, and to the next process.

// checkpoint is how far a first clone in steps has come.
type checkpoint struct {
	Upstream string `json:"upstream"`
	// Batch is how many refs the next step asks for.
	Batch int `json:"batch"`
	// Deep is the object that is too much for one step, if one is. Commits of its
	// history are fetched at a time or, when the upstream is Unlisted, it is there
	// with Depth commits of its history, and Deeper more are next.
	Deep    string `json:"deep,omitempty"`
	Commits int    `json:"commits,omitempty"`
	Depth   int    `json:"depth,omitempty"`
	Deeper  int    `json:"deeper,omitempty"`
	// Calm is how many more steps are to be made before longer ones are tried: the
	// last longer one broke off. Pace is how many commits at a time came through.
	Calm int `json:"calm,omitempty"`
	Pace int `json:"pace,omitempty"`
	// Unlisted says that the upstream does not give commits alone, Flat that it
	// gives no part of a history.
	Unlisted bool `json:"unlisted,omitempty"`
	// Lists is how often the list of commits broke off.
	Lists int  `json:"lists,omitempty"`
	Flat  bool `json:"flat,omitempty"`
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

// goesOn tells whether the next fetch goes on with a first clone in steps. Steps
// that lead elsewhere are dropped.
func (d *Disk) goesOn(id mirror.ID, from mirror.Remote) bool {
	if !d.resumable(id) {
		return false
	}
	_, err := loadCheckpoint(d.stepsDir(id), from.Upstream)
	live, liveErr := d.repo(id)
	if _, there := os.Stat(live); err == nil && liveErr == nil && there != nil {
		return true
	}
	d.Log.Info("drop the steps of a first clone", "repo", id, "err", err)
	if err := d.discard(d.stepsDir(id)); err != nil {
		d.Log.Error("drop the steps of a first clone", "repo", id, "err", err)
	}
	return false
}

const keptDamaged = "the part of its clone that was kept on this disk is damaged"

// suspect tells whether what went wrong in a step may be for damage in what
// steps have brought before.
func suspect(p *mirror.Problem) bool {
	switch p.Class() {
	case mirror.Network, mirror.Throttled, mirror.ThrottledAnonymous, mirror.Ambiguous, mirror.Moved:
		return false
	}
	return p.Code != mirror.CodeInterrupted && p.Code != mirror.CodeDisk
}

// intact fails when something is missing of what steps have brought.
func (in *incoming) intact(ctx context.Context, from mirror.Remote) error {
	err := in.disk.run(ctx, command{args: []string{"rev-list", "--objects", "--quiet", "--glob=" + stepRefs}, repo: in.repo})
	var f *failure
	if errors.As(err, &f) && f.cause == nil {
		return corrupt(from, keptDamaged, f.stderr)
	}
	return nil
}

// giveUp decides what a failed first clone leaves to the next attempt. A clone
// in one piece that broke off after it had brought something is followed by one
// in steps; steps that brought something damaged are dropped.
func (in *incoming) giveUp(ctx context.Context, from mirror.Remote, err error) {
	if !in.first {
		return
	}
	p := mirror.AsProblem(err)
	if in.stepwise {
		if p.Kind == mirror.ErrIntegrity || suspect(p) && in.intact(ctx, from) != nil {
			in.disk.Log.Info("drop the steps of a first clone", "repo", in.id, "err", err)
			in.stepwise = false // so that all of it is discarded
		}
		return
	}
	brought := packBytes(filepath.Join(in.quarantine, "pack"))
	if brought < resumeFrom || p.Class() != mirror.Network && p.Code != mirror.CodeInterrupted {
		return
	}
	if err := in.disk.makeSteps(in.id, from.Upstream.String()); err != nil {
		in.disk.Log.Error("prepare to clone in steps", "repo", in.id, "err", err)
		return
	}
	in.disk.Log.Info("first clone goes on in steps", "repo", in.id, "bytes", brought)
}

// sayOrigin writes down where a first clone comes from, for the sweep after a
// kill.
func (in *incoming) sayOrigin(up mirror.Upstream) error {
	if err := os.WriteFile(filepath.Join(in.repo, originName), []byte(up.String()+"\n"), 0o644); err != nil {
		return in.disk.local("begin a repository", err)
	}
	return nil
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
