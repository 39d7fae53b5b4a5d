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
	d.state.bandwidths.set(from.Upstream.Host, from.Bandwidth)
	if err := in.firstSteps(ctx, from, want, m); err != nil {
		return err
	}
	var ids []string
	for _, ref := range want {
		ids = append(ids, ref.Hash)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	missing := ids
	if !in.first || in.stepwise {
		var err error
		if missing, err = in.missing(ctx, ids); err != nil {
			return err
		}
	}
	if len(missing) > 0 {
		if err := in.download(ctx, from, want, missing, m); err != nil {
			return err
		}
	}
	m.look()
	m.enter(mirror.Verifying)
	in.bytes = packBytes(packs)
	return in.connected(ctx, from, ids, missing)
}

// missing returns those of the ids that are nowhere: git is asked about what
// no pack holds.
func (in *incoming) missing(ctx context.Context, ids []string) ([]string, error) {
	absent, err := in.unpacked(ids)
	if err != nil {
		absent = ids
	} else if loose, err := looseObjects(in.repo); err == nil && !loose {
		return absent, nil
	}
	if len(absent) == 0 {
		return nil, nil
	}
	out, err := in.disk.output(ctx, len(absent)*256+1024, in.command(command{
		args:  []string{"cat-file", "--batch-check=%(objectname)", "--buffer"},
		stdin: strings.NewReader(strings.Join(absent, "\n") + "\n"),
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

// unpacked returns those of the ids that are in no pack.
func (in *incoming) unpacked(ids []string) ([]string, error) {
	p, err := in.packs()
	if err != nil {
		return nil, err
	}
	var absent []string
	for _, hash := range ids {
		id, ok := parseID(hash)
		if !ok {
			return nil, errNotPacked
		}
		found, err := p.holds(id)
		if err != nil {
			return nil, err
		}
		if !found {
			absent = append(absent, hash)
		}
	}
	return absent, nil
}

// looseObjects tells whether a repository has objects in files of their own.
// Ours have none unless somebody worked in them with git.
func looseObjects(repo string) (bool, error) {
	entries, err := os.ReadDir(filepath.Join(repo, "objects"))
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool { return len(e.Name()) == 2 && isHex(e.Name()) }), err
}

// packs are the packs of the repository and of the quarantine.
func (in *incoming) packs() (*packs, error) {
	if in.opened == nil {
		dirs := []string{filepath.Join(in.repo, "objects", "pack")}
		if own := filepath.Join(in.quarantine, "pack"); own != dirs[0] {
			dirs = append([]string{own}, dirs...)
		}
		p, err := openPacks(dirs...)
		if err != nil {
			return nil, err
		}
		in.opened = p
	}
	return in.opened, nil
}

// shut lets go of the packs, which others may be there now.
func (in *incoming) shut() {
	if in.opened != nil {
		in.opened.close()
		in.opened = nil
	}
}

// download asks by object id, so that what was listed is what comes even when
// upstream moves on; by name only when the server insists. This process asks
// when it knows the upstream and gets on with it, else git does: also when a
// first clone in steps has most of it, since git knows what to tell of that.
func (in *incoming) download(ctx context.Context, from mirror.Remote, want []mirror.Ref, missing []string, m *meter) error {
	w, key := in.disk.state.wire, peerKey(from)
	known, _ := w.peers.Get(key)
	if known.speaksV2 && !known.viaGit && !known.byName && !in.stepwise {
		err := in.receive(ctx, from, want, missing, m)
		switch {
		case err == nil:
			return in.arrived(ctx, from, missing)
		case strings.Contains(err.Error(), refusedOID):
			known.byName = true
			w.learn(key, func(p *peer) { p.byName = true })
		case !foreign(err) || ctx.Err() != nil:
			return err
		}
		in.shut()
	}
	r, err := in.disk.road(ctx, from)
	if err != nil {
		return err
	}
	defer r.close()
	if !known.byName {
		err := in.fetch(ctx, r, strings.Join(missing, "\n")+"\n", m)
		var f *failure
		if !errors.As(err, &f) || !strings.Contains(f.stderr, refusedOID) {
			if err == nil && known.speaksV2 {
				w.learn(key, func(p *peer) { p.viaGit = true })
			}
			in.shut()
			return err
		}
		w.learn(key, func(p *peer) { p.byName = true })
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
	in.shut()
	left, err := in.missing(ctx, missing)
	if err == nil && len(left) > 0 {
		return changed(from, "")
	}
	return err
}

// arrived makes sure that what was asked for came.
func (in *incoming) arrived(ctx context.Context, from mirror.Remote, missing []string) error {
	in.shut()
	left, err := in.missing(ctx, missing)
	if err == nil && len(left) > 0 {
		return corrupt(from, "objects its refs need are missing", left[0]+" did not come")
	}
	return err
}

// watched is a context that ends when the meter has not moved for too long.
func (in *incoming) watched(ctx context.Context, m *meter) (context.Context, func()) {
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
	return ctx, func() {
		cancel(nil)
		<-watched
	}
}

// fetch runs git fetch so that it downloads, indexes, checks every object and
// that nothing is missing, and writes no ref: that is what --dry-run leaves.
func (in *incoming) fetch(ctx context.Context, r road, wants string, m *meter) error {
	ctx, stop := in.watched(ctx, m)
	defer stop()
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

// connected makes sure that everything the wanted objects need is there. That
// was done for what came; this is for wants that were there before and that no
// ref leads to, perhaps left by something that was never published.
func (in *incoming) connected(ctx context.Context, from mirror.Remote, ids, fetched []string) error {
	var old []string
	var tips map[string]bool
	for _, id := range ids {
		if _, found := slices.BinarySearch(fetched, id); found {
			continue
		}
		if tips == nil {
			tips = in.tips(ctx)
		}
		if !tips[id] {
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

// tips are the objects that refs of ours lead to at once.
func (in *incoming) tips(ctx context.Context) map[string]bool {
	tips := map[string]bool{}
	if in.first {
		return tips
	}
	have, err := in.disk.Refs(ctx, in.id)
	if err != nil {
		return tips
	}
	for _, r := range have.Refs {
		tips[r.Hash], tips[r.Commit()] = true, true
	}
	return tips
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
