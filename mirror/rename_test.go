package mirror_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// TestRename: nothing moves on the disk, and the old path, in any letter case,
// leads to the mirror for all who look for it.
func TestRename(t *testing.T) {
	r := newRig(t)
	const old, now = "git.example/acme/Tool", "git.example/team/tool"
	r.up.Commit(t, old, map[string]string{"go.mod": "module git.example/acme/Tool\n"}, "v1.0.0")
	run(t, r.syncer)
	repo := r.clone(t, old)
	if err := r.catalog.AddAlias(t.Context(), mirror.Alias{Prefix: "go.example/tool", Repo: old}); err != nil {
		t.Fatal(err)
	}
	renamed, err := r.catalog.Rename(t.Context(), repo.ID, mirror.Renaming{Text: " " + now + ".git", Version: repo.Version})
	if err != nil || renamed.Path != now || renamed.ID != repo.ID || renamed.Upstream != repo.Upstream || renamed.State.Digest != repo.State.Digest {
		t.Fatalf("Rename = %+v, %v", renamed, err)
	}
	for _, path := range []mirror.Path{old, now, "git.example/ACME/tool"} {
		if got, err := r.catalog.Serve(t.Context(), path); err != nil || got.ID != repo.ID || got.Path != now {
			t.Errorf("Serve(%s) = %s, %v, want %s", path, got.Path, err, now)
		}
		if got, err := r.catalog.Find(t.Context(), path); err != nil || got.ID != repo.ID {
			t.Errorf("Find(%s) = %s, %v", path, got.Path, err)
		}
		if got, err := r.catalog.Import(t.Context(), string(path)+"/sub/pkg"); err != nil || got.Repo.ID != repo.ID || got.Prefix != string(path) {
			t.Errorf("Import(%s/sub/pkg) = %+v, %v", path, got, err)
		}
	}
	if got, err := r.catalog.Import(t.Context(), "go.example/tool/sub"); err != nil || got.Repo.ID != repo.ID {
		t.Errorf("Import by the alias = %+v, %v", got, err)
	}
	for _, m := range []mirror.NewMirror{{Text: old}, {Text: old, Module: true}, {Text: old, Upstream: r.up.URL(old)}, {Text: "https://" + old}} {
		if got, existed, err := r.catalog.Add(t.Context(), m); err != nil || !existed || got.ID != repo.ID {
			t.Errorf("Add(%+v) = %s, %v, %v, want the mirror that has another name now", m, got.Path, existed, err)
		}
	}
	if _, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: old, Upstream: "https://else.example/x"}); !errors.Is(err, mirror.ErrExists) {
		t.Errorf("Add of the old path from elsewhere = %v, want ErrExists", err)
	}
	if fresh, err := r.catalog.Heard(t.Context(), mirror.Push{Delivery: "1", Host: "git.example", HostID: 7, FullName: "acme/Tool"}); err != nil || !fresh || r.repo(t, repo.ID).State.HostID != 7 {
		t.Errorf("Heard of the old path = %v, %v, host id %d", fresh, err, r.repo(t, repo.ID).State.HostID)
	}
	r.up.Commit(t, old, map[string]string{"new": "1"}, "v1.1.0")
	r.sync(t, repo.ID, mirror.Updated)
	r.sameRefs(t, repo.ID, old)
	if dirs, _ := os.ReadDir(filepath.Join(r.dir, "repos")); len(dirs) != 1 || dirs[0].Name() != string(repo.ID)+".git" {
		t.Errorf("repos/ = %v, want the directory that was there", dirs)
	}

	// Given up, the old path is nobody's.
	back, err := r.catalog.Rename(t.Context(), repo.ID, mirror.Renaming{Text: old, NoAlias: true})
	if err != nil || back.Path != old {
		t.Fatalf("Rename back = %+v, %v", back, err)
	}
	if _, err := r.catalog.Serve(t.Context(), now); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("Serve(%s) = %v, want ErrNotFound", now, err)
	}
	aliases, err := r.db.Aliases(t.Context())
	if err != nil || len(aliases) != 1 || aliases[0].Prefix != "go.example/tool" || aliases[0].Repo != old {
		t.Errorf("aliases = %+v, %v, want that of the administrator", aliases, err)
	}
}

// TestRenameRefused: what would not lead to the mirror alone, and what who asks
// may not have.
func TestRenameRefused(t *testing.T) {
	r := newRig(t)
	r.catalog.Site = mirror.Site{URL: "https://mirror.example", SSH: "ssh://git@ssh.mirror.example:2222"}
	repo := r.add(t, "git.example/acme/tool")
	for _, path := range []string{"git.example/acme/other", "git.example/deep/in/there"} {
		r.add(t, path)
	}
	for prefix, leads := range map[string]mirror.Path{"go.example/taken": "git.example/acme/other", "go.example/own": repo.Path} {
		if err := r.catalog.AddAlias(t.Context(), mirror.Alias{Prefix: prefix, Repo: leads}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.catalog.AddAlias(t.Context(), mirror.Alias{Prefix: "go.example/folder", Repo: repo.Path, Dir: "sub"}); err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]mirror.Kind{
		"git.example/acme/other": mirror.ErrExists, "git.example/ACME/Other": mirror.ErrExists, "go.example/taken": mirror.ErrExists, "go.example/Folder": mirror.ErrExists,
		"git.example/acme/TOOL": mirror.ErrInvalid, "git.example/acme/tool": mirror.ErrInvalid, // only letter case, or nothing
		"git.example/deep": mirror.ErrInvalid, "git.example/deep/in": mirror.ErrInvalid, "git.example/deep/in/there/x": mirror.ErrInvalid, // nested
		"git.example/acme/other/x": mirror.ErrInvalid, "go.example/taken/x": mirror.ErrInvalid, "git.example/acme/tool/x": mirror.ErrInvalid, "git.example/acme": mirror.ErrInvalid,
		"mirror.example/acme/tool": mirror.ErrInvalid, "SSH.mirror.example/x": mirror.ErrInvalid, // our own names
		"github.com/acme": mirror.ErrInvalid, "github.com/acme/tool/x": mirror.ErrInvalid, // where nobody looks
		"": mirror.ErrInvalid, "git.example": mirror.ErrInvalid, "nodot/acme/tool": mirror.ErrInvalid, "git.example/../tool": mirror.ErrInvalid, "git.example/%2e%2e/x": mirror.ErrInvalid,
		"git.example/acme/con": mirror.ErrInvalid, "git.example/acme/x.lock": mirror.ErrInvalid, "git.example/acme/-x": mirror.ErrInvalid, "git.example/a b/x": mirror.ErrInvalid,
		"git.example/acme/x\x00y": mirror.ErrInvalid, "git.example/acme/x\ny": mirror.ErrInvalid, "git.example/acme/.git/x": mirror.ErrInvalid, "git.example//x": mirror.ErrInvalid,
		"git.example/" + strings.Repeat("x", 500): mirror.ErrInvalid, "git.example" + strings.Repeat("/x", 30): mirror.ErrInvalid, "https://git.example/x/y": mirror.ErrInvalid,
	} {
		if got, err := r.catalog.Rename(t.Context(), repo.ID, mirror.Renaming{Text: to}); !errors.Is(err, want) {
			t.Errorf("Rename(%q) = %s, %v, want %v", to, got.Path, err, want)
		}
	}
	no := &mirror.Problem{Kind: mirror.ErrDenied, What: "no"}
	asked := 0
	for _, to := range []string{"git.example/acme/other", "git.example/acme/free"} { // who may not have it does not hear whether it is taken
		_, err := r.catalog.Rename(t.Context(), repo.ID, mirror.Renaming{Text: to, May: func(context.Context, mirror.Path) error { asked++; return no }})
		if err != error(no) || asked == 0 {
			t.Errorf("Rename(%s) = %v, want what May says", to, err)
		}
	}
	_, err := r.catalog.Rename(t.Context(), repo.ID, mirror.Renaming{Text: "git.example/deep/in/there/x", May: func(_ context.Context, p mirror.Path) error {
		if p == "git.example/deep/in/there" {
			return no
		}
		return nil
	}})
	if !errors.Is(err, mirror.ErrInvalid) || strings.Contains(mirror.AsProblem(err).Why, "deep") {
		t.Errorf("Rename below what one may not see = %v, want a refusal that does not name it", err)
	}
	if _, err := r.catalog.Rename(t.Context(), repo.ID, mirror.Renaming{Text: "git.example/acme/free", Agree: func(context.Context, mirror.Repo, mirror.Path) error { return no }}); err != error(no) {
		t.Errorf("Rename = %v, want what Agree says", err)
	}
	if _, err := r.catalog.Rename(t.Context(), repo.ID, mirror.Renaming{Text: "git.example/acme/free", Version: 9}); !errors.Is(err, mirror.ErrExists) {
		t.Errorf("Rename of another version = %v, want ErrExists", err)
	}
	if _, err := r.catalog.Rename(t.Context(), mirror.NewID(), mirror.Renaming{Text: "git.example/acme/free"}); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("Rename of nothing = %v, want ErrNotFound", err)
	}
	if got := r.repo(t, repo.ID); got.Path != repo.Path || got.Version != repo.Version {
		t.Errorf("after refusals it is %s, version %d", got.Path, got.Version)
	}
	// One's own alias may become the path, and without the old path it may lie deeper.
	for _, to := range []string{"go.example/own", "go.example/own/tool"} {
		if _, err := r.catalog.Rename(t.Context(), repo.ID, mirror.Renaming{Text: to, NoAlias: true}); err != nil {
			t.Errorf("Rename(%s) = %v", to, err)
		}
	}
}

// TestRenameKeepsCredential: a mirror that was added with a password keeps it, and
// nothing that is at its old path later replaces it.
func TestRenameKeepsCredential(t *testing.T) {
	r := newRig(t)
	repo, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "https://robot:first-secret@git.example/team/tool"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.catalog.Rename(t.Context(), repo.ID, mirror.Renaming{Text: "git.example/team/other", NoAlias: true}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "https://robot:second-secret@git.example/team/tool"}); !errors.Is(err, mirror.ErrExists) {
		t.Errorf("Add with a password at the old path = %v, want ErrExists", err)
	}
	second, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "git.example/team/tool"})
	if err != nil {
		t.Fatal(err)
	}
	upstream := "https://robot:second-secret@git.example/team/tool"
	if _, err := r.catalog.Edit(t.Context(), second.ID, mirror.Edit{Upstream: &upstream}); !errors.Is(err, mirror.ErrExists) {
		t.Errorf("Edit with a password at the old path = %v, want ErrExists", err)
	}
	cred, err := r.catalog.OpenCredential(t.Context(), r.repo(t, repo.ID).Credential)
	if err != nil || cred.Secret.Reveal() != "first-secret" {
		t.Errorf("its credential = %+v, %v", cred, err)
	}
}

// TestRenameUnderRules: neither a rule for first use nor the next listing of an
// owner makes a second mirror at the path that a mirror had.
func TestRenameUnderRules(t *testing.T) {
	r := newRig(t)
	repo, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: "github.com/acme/tool"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.catalog.AddRule(t.Context(), mirror.Rule{Pattern: "github.com/acme/*", Discovery: &mirror.RuleDiscovery{}}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.catalog.Rename(t.Context(), repo.ID, mirror.Renaming{Text: "git.example/team/tool"}); err != nil {
		t.Fatal(err)
	}
	if got, err := r.catalog.Admit(t.Context(), "github.com/acme/tool"); err != nil || got.ID != repo.ID {
		t.Errorf("Admit(old path) = %s, %v", got.Path, err)
	}
	rules, err := r.db.Rules(t.Context())
	if err != nil || len(rules) != 1 || len(rules[0].Discovery.Exclude) != 1 || rules[0].Discovery.Exclude[0] != "tool" {
		t.Errorf("rules = %+v, %v, want the name excluded", rules, err)
	}
}

// TestHostileE15RenameDuringSync: a first clone and a later sync that go on while
// the mirror gets another path end as they would have, and nothing is left over.
func TestHostileE15RenameDuringSync(t *testing.T) {
	r := newRig(t)
	const old = "git.example/acme/big"
	r.up.Commit(t, old, map[string]string{"data": gittest.Noise(300_000, 1)}, "v1.0.0")
	run(t, r.syncer)
	var repo mirror.Repo
	names := []string{"git.example/acme/one", "git.example/acme/two"}
	for i, to := range names {
		mend := r.up.Break(gittest.Fault{Path: "git-upload-pack", After: 200_000, Pause: true})
		if i == 0 {
			repo = r.add(t, old)
		} else {
			r.up.Commit(t, old, map[string]string{"data": gittest.Noise(300_000, 2)}, "v2.0.0")
			if _, err := r.syncer.Ask(t.Context(), repo.ID, mirror.ByHand); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "the transfer goes on", func() bool {
			p, running := r.syncer.Progress(repo.ID)
			return running && (p.Phase == mirror.Negotiating || p.Phase == mirror.Receiving)
		})
		if _, err := r.catalog.Rename(t.Context(), repo.ID, mirror.Renaming{Text: to}); err != nil {
			t.Fatal(err)
		}
		if _, running := r.syncer.Progress(repo.ID); !running {
			t.Error("the renaming ended the transfer")
		}
		mend()
		eventually(t, "it is in step", func() bool {
			now := r.repo(t, repo.ID)
			return now.State.Status == mirror.Ready && now.State.Tags == i+1
		})
	}
	r.sameRefs(t, repo.ID, old)
	if got := r.repo(t, repo.ID); string(got.Path) != names[1] {
		t.Errorf("its path = %s, want %s", got.Path, names[1])
	}
	runs, err := r.db.Runs(t.Context(), repo.ID, 0, 10)
	if err != nil || len(runs) != 2 {
		t.Errorf("runs = %+v, %v, want the two that went on", runs, err)
	}
	for _, run := range runs {
		if run.Outcome != mirror.Updated {
			t.Errorf("run %d ended %q, %v", run.ID, run.Outcome, run.Problem)
		}
	}
	for _, dir := range []string{"repos", "staging", "trash"} {
		want := 0
		if dir == "repos" {
			want = 1
		}
		if found, _ := os.ReadDir(filepath.Join(r.dir, dir)); len(found) != want {
			t.Errorf("%s/ = %v, want %d", dir, found, want)
		}
	}
	for _, path := range append([]string{old}, names...) {
		if got, err := r.catalog.Serve(t.Context(), mirror.Path(path)); err != nil || got.ID != repo.ID {
			t.Errorf("Serve(%s) = %s, %v", path, got.Path, err)
		}
	}
}
