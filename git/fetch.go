package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rs/xid"

	"github.com/gitmirror/gitmirror/mirror"
)

const (
	quarantinePrefix = "gm-incoming-"
	// refusedOID is how a server says that it gives objects by ref name only.
	refusedOID = "unadvertised object"
)

// fsckTolerated are the faults that much real history has and that harm nobody,
// the list Gitaly settled on. Everything else fsck knows is refused.
var fsckTolerated = [...]string{"badTimezone", "missingSpaceBeforeDate", "zeroPaddedFilemode"}

// Fetch brings what want needs into a quarantine directory and checks it. See
// mirror.Fetcher. At most one Incoming of a repository is open at a time;
// a second Fetch is refused with mirror.ErrBusy.
func (d *Disk) Fetch(ctx context.Context, id mirror.ID, from mirror.Remote, want []mirror.Ref, report func(mirror.Progress)) (mirror.Incoming, error) {
	live, err := d.repo(id)
	if err != nil {
		return nil, err
	}
	for _, ref := range want {
		if !wellFormed(ref.Name) || !mirrored(ref.Name) || !isHash(ref.Hash) {
			return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: "the ref " + quote(ref.Name) + " cannot be fetched", Why: "its name or its object id is not well-formed"}
		}
	}
	if !d.claim(ctx, id) {
		return nil, &mirror.Problem{Kind: mirror.ErrBusy, What: "this repository is being synced already", Do: "wait until that sync has ended"}
	}
	in := &incoming{disk: d, id: id, live: live, repo: live, stepwise: d.goesOn(id, from)}
	in, err = in.begin()
	if err != nil {
		d.release(id)
		return nil, err
	}
	if err := in.fill(ctx, from, want, report); err != nil {
		err = d.explain(ctx, err, from)
		in.giveUp(ctx, from, err)
		if discarding := in.Discard(); discarding != nil {
			d.Log.Error("discard quarantine", "repo", id, "err", discarding)
		}
		return nil, err
	}
	return in, nil
}

// begin makes the quarantine, and before it the repository when this is the
// first clone.
func (in *incoming) begin() (*incoming, error) {
	d := in.disk
	if err := d.room(0); err != nil {
		return nil, err
	}
	if in.stepwise {
		in.repo, in.first = d.stepsDir(in.id), true
	} else if _, err := os.Stat(in.live); errors.Is(err, os.ErrNotExist) {
		in.repo = filepath.Join(d.Root, "staging", string(in.id)+"-"+xid.New().String()+".git")
		in.first = true
		if err := initBare(in.repo); err != nil {
			_ = d.discard(in.repo)
			return nil, d.local("begin a repository", err)
		}
	} else if err != nil {
		return nil, d.local("open the repository", err)
	}
	in.quarantine = filepath.Join(in.repo, "objects", quarantinePrefix+xid.New().String())
	if err := os.MkdirAll(filepath.Join(in.quarantine, "pack"), 0o755); err != nil {
		_ = d.discard(in.quarantine)  // it may be there without what belongs in it
		if in.first && !in.stepwise { // the steps stay
			_ = d.discard(in.repo)
		}
		return nil, d.local("make a quarantine", err)
	}
	return in, nil
}

// bareConfig is the whole configuration of every repository.
const bareConfig = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"

// initBare lays out an empty repository. It has no remote and no refspec: a
// command run in it by accident can reach nothing.
func initBare(dir string) error {
	for _, sub := range []string{"objects/pack", "objects/info", "refs/heads", "refs/tags", "info"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.FromSlash(sub)), 0o755); err != nil {
			return err
		}
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "HEAD"), []byte("ref: refs/heads/main\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "info", "attributes"), []byte(goAttributes), 0o644),
		os.WriteFile(filepath.Join(dir, "config"), []byte(bareConfig), 0o644),
	)
}

// fill fetches and checks.
func (in *incoming) fill(ctx context.Context, from mirror.Remote, want []mirror.Ref, report func(mirror.Progress)) error {
	d := in.disk
	packs := filepath.Join(in.quarantine, "pack")
	if in.stepwise {
		packs = filepath.Join(in.repo, "objects", "pack")
	}
	m := newMeter(packs, report)
	m.enter(mirror.Connecting)
	if err := in.firstSteps(ctx, from, want, m); err != nil {
		return err
	}
	r, err := d.road(ctx, from)
	if err != nil {
		return err
	}
	defer r.close()
	var ids []string
	for _, ref := range want {
		ids = append(ids, ref.Hash)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	missing, err := in.missing(ctx, ids)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		if err := in.download(ctx, r, want, missing, m); err != nil {
			return err
		}
	}
	m.look()
	m.enter(mirror.Verifying)
	in.bytes = packBytes(packs)
	return in.connected(ctx, from, ids, missing)
}

// missing returns those of the ids that the repository lacks.
func (in *incoming) missing(ctx context.Context, ids []string) ([]string, error) {
	if in.first && !in.stepwise || len(ids) == 0 {
		return ids, nil
	}
	out, err := in.disk.output(ctx, len(ids)*256+1024, in.command(command{
		args:  []string{"cat-file", "--batch-check=%(objectname)", "--buffer"},
		stdin: strings.NewReader(strings.Join(ids, "\n") + "\n"),
	}))
	if err != nil {
		return nil, in.disk.localGit(ctx, "look for objects", err)
	}
	var missing []string
	for line := range strings.Lines(string(out)) {
		if id, gone := strings.CutSuffix(strings.TrimSpace(line), " missing"); gone {
			missing = append(missing, id)
		}
	}
	return missing, nil
}

// download asks by object id, so that what was listed is what comes even when
// upstream moves on; by name only when the server insists.
func (in *incoming) download(ctx context.Context, r road, want []mirror.Ref, missing []string, m *meter) error {
	err := in.fetch(ctx, r, strings.Join(missing, "\n")+"\n", m)
	var f *failure
	if !errors.As(err, &f) || !strings.Contains(f.stderr, refusedOID) {
		return err
	}
	lacking := map[string]bool{}
	for _, id := range missing {
		lacking[id] = true
	}
	var specs strings.Builder
	for _, ref := range want {
		if lacking[ref.Hash] {
			fmt.Fprintf(&specs, "%s\n", ref.Name)
		}
	}
	if err := in.fetch(ctx, r, specs.String(), m); err != nil {
		return err
	}
	left, err := in.missing(ctx, missing)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return changed(r.from, "")
	}
	return nil
}

// fetch runs git fetch so that it downloads, indexes, checks every object and
// that nothing is missing, and writes no ref: that is what --dry-run leaves.
func (in *incoming) fetch(ctx context.Context, r road, wants string, m *meter) error {
	after := in.disk.StallAfter
	if in.first {
		after *= 3
	}
	ctx, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		m.watch(ctx, after, func() { cancel(errStalled) })
	}()
	defer func() {
		cancel(nil)
		<-watched
	}()
	m.enter(mirror.Negotiating)
	config := append([][2]string{
		{"protocol.version", "2"},
		{"fetch.fsckObjects", "true"},
		{"fetch.unpackLimit", "1"}, // always a pack
		{"fetch.writeCommitGraph", "false"},
		{"fetch.recurseSubmodules", "no"},
	}, r.config...)
	for _, fault := range fsckTolerated {
		config = append(config, [2]string{"fetch.fsck." + fault, "ignore"})
	}
	c := in.command(command{
		args: []string{"fetch", "--progress", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance",
			"--no-recurse-submodules", "--no-show-forced-updates", "--dry-run", "--stdin", "--end-of-options", r.url},
		scheme: r.from.Upstream.Scheme, config: config, env: r.env, gate: r.gate, secrets: r.secrets,
		stdin: strings.NewReader(wants), line: m.take,
	})
	c.env = append(c.env, "GIT_QUARANTINE_PATH="+in.quarantine) // any ref update fails
	err := in.disk.run(ctx, c)
	if err != nil && errors.Is(context.Cause(ctx), errStalled) {
		return in.disk.explain(ctx, err, r.from)
	}
	return err
}

// connected makes sure that everything the wanted objects need is there. git
// fetch has done so for what it brought; this is for wants that were there
// before, perhaps left by something that was never published.
func (in *incoming) connected(ctx context.Context, from mirror.Remote, ids, fetched []string) error {
	var old []string
	for _, id := range ids {
		if _, found := slices.BinarySearch(fetched, id); !found {
			old = append(old, id)
		}
	}
	if len(old) == 0 {
		return nil
	}
	err := in.disk.run(ctx, in.command(command{
		args:  []string{"rev-list", "--objects", "--quiet", "--stdin", "--not", "--all"},
		stdin: strings.NewReader(strings.Join(old, "\n") + "\n"),
	}))
	var f *failure
	if errors.As(err, &f) && f.cause == nil {
		return corrupt(from, "objects its refs need are missing", f.stderr)
	}
	return err
}

// command adds the quarantine to the objects a git sees and writes to.
func (in *incoming) command(c command) command {
	c.repo = in.repo
	c.env = append(slices.Clone(c.env),
		"GIT_OBJECT_DIRECTORY="+in.quarantine,
		"GIT_ALTERNATE_OBJECT_DIRECTORIES="+alternate(filepath.Join(in.repo, "objects")),
	)
	return c
}

// alternate quotes a path for a list that is split at colons.
func alternate(dir string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(dir) + `"`
}

// localGit explains a git that failed without an upstream having part in it.
func (d *Disk) localGit(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return interrupted(ctx)
	}
	var f *failure
	if errors.As(err, &f) && f.full {
		return diskFull(f.stderr)
	}
	return d.local(doing, err)
}
