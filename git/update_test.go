package git_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

func TestUpdate(t *testing.T) {
	h := newHouse(t)
	first := h.up.Commit(t, project, map[string]string{"a": "1"}, "v1.0.0")
	second := h.up.Commit(t, project, map[string]string{"a": "2"})
	h.up.AnnotateTag(t, project, "v2.0.0", "main")
	if err := h.Update(t.Context(), h.id, mirror.Transaction{}); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("Update of what was never cloned = %v, want ErrNotFound", err)
	}
	h.mustSync(t)
	const back = "refs/heads/restored/main"
	tx := mirror.Transaction{Updates: []mirror.RefUpdate{{Name: back, New: first}, {Name: mirror.OursPrefix + "heads/restored/main", New: first}}, Head: back}
	if err := h.Update(t.Context(), h.id, tx); err != nil {
		t.Fatalf("Update = %v", err)
	}
	l, err := h.Refs(t.Context(), h.id)
	if got, _ := l.Ref(back); err != nil || got.Hash != first || l.Head != back {
		t.Errorf("after Update: %s = %+v, HEAD = %s, %v, want %s and HEAD there", back, got, l.Head, err, first)
	}
	annotated, _ := l.Ref("refs/tags/v2.0.0")
	for name, c := range map[string]struct {
		tx   mirror.Transaction
		want error
	}{
		"a stale old value":    {mirror.Transaction{Updates: []mirror.RefUpdate{{Name: back, New: second}}}, mirror.ErrExists},
		"a name below a ref":   {mirror.Transaction{Updates: []mirror.RefUpdate{{Name: back + "/x", New: second}}}, mirror.ErrExists},
		"a missing object":     {mirror.Transaction{Updates: []mirror.RefUpdate{{Name: "refs/heads/x", New: strings.Repeat("12", 20)}}}, mirror.ErrIntegrity},
		"a tag as a branch":    {mirror.Transaction{Updates: []mirror.RefUpdate{{Name: "refs/heads/x", New: annotated.Hash}}}, mirror.ErrIntegrity},
		"a foreign name space": {mirror.Transaction{Updates: []mirror.RefUpdate{{Name: "refs/notes/x", New: first}}}, mirror.ErrInvalid},
		"a bad default branch": {mirror.Transaction{Head: "refs/tags/v1.0.0"}, mirror.ErrInvalid},
	} {
		if err := h.Update(t.Context(), h.id, c.tx); !errors.Is(err, c.want) {
			t.Errorf("Update with %s = %v, want %v", name, err, c.want)
		}
	}
	after, err := h.Refs(t.Context(), h.id)
	if err != nil || after.Digest() != l.Digest() {
		t.Errorf("refused updates changed the refs: %+v, %v, want %+v", after, err, l)
	}
	if err := h.Update(t.Context(), h.id, mirror.Transaction{Updates: []mirror.RefUpdate{{Name: back, Old: first}}, Head: "refs/heads/main"}); err != nil {
		t.Errorf("Update that deletes = %v", err)
	}
	h.whole(t)
}

// A sync and local changes of refs wait for each other; neither is lost.
func TestUpdateBesideSyncs(t *testing.T) {
	h := newHouse(t)
	first := h.up.Commit(t, project, map[string]string{"a": "0"})
	h.mustSync(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 5 {
				name := fmt.Sprintf("%s20260101T000000Z/heads/%d-%d", mirror.KeptPrefix, i, j)
				if err := h.Update(t.Context(), h.id, mirror.Transaction{Updates: []mirror.RefUpdate{{Name: name, New: first}}}); err != nil {
					t.Errorf("Update = %v", err)
				}
			}
		})
	}
	for i := range 4 {
		h.up.Commit(t, project, map[string]string{"a": fmt.Sprint(i + 1)})
		h.mustSync(t)
	}
	wg.Wait()
	h.same(t)
	l, err := h.Refs(t.Context(), h.id)
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for _, r := range l.Refs {
		if strings.HasPrefix(r.Name, mirror.KeptPrefix) {
			kept++
		}
	}
	if kept != 20 {
		t.Errorf("kept refs = %d, want 20", kept)
	}
	h.whole(t)
}

// Heads of pull requests are there for whoever knows their commits, and no
// client is told of them.
func TestPullsAreHidden(t *testing.T) {
	h := newHouse(t)
	h.up.Commit(t, project, map[string]string{"a": "1"})
	pull := h.up.CommitTo(t, project, "topic", map[string]string{"a": "2"})
	h.mustSync(t)
	tx := mirror.Transaction{Updates: []mirror.RefUpdate{{Name: "refs/pull/7/head", New: pull}, {Name: "refs/heads/topic", Old: pull}}}
	if err := h.Update(t.Context(), h.id, tx); err != nil {
		t.Fatal(err)
	}
	if got := h.revOf(t, "refs/pull/7/head"); got != pull {
		t.Errorf("refs/pull/7/head = %s, want %s", got, pull)
	}
	url := h.serveHTTP(t)
	for _, version := range []string{"0", "1", "2"} {
		out := gittest.Git(t, t.TempDir(), "-c", "protocol.version="+version, "ls-remote", url)
		if strings.Contains(out, "pull") || !strings.Contains(out, "refs/heads/main") {
			t.Errorf("v%s: ls-remote = %s, want main and no pull request", version, out)
		}
	}
}
