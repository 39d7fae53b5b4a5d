package git_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// serveHTTP is the least a smart http server needs, to try UploadPack with a real git.
func (h *house) serveHTTP(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u := git.UploadPack{Repo: h.id, Protocol: r.Header.Get("Git-Protocol"), Stateless: true, In: r.Body, Out: w}
		if strings.HasSuffix(r.URL.Path, "/info/refs") {
			u.Advertise = true
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			_, _ = io.WriteString(w, "001e# service=git-upload-pack\n0000")
		} else {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
			if r.Header.Get("Content-Encoding") == "gzip" {
				t.Error("the client compresses; this test server does not understand that")
			}
		}
		_ = h.UploadPack(r.Context(), u)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/r"
}

func TestServe(t *testing.T) {
	h := newHouse(t)
	first := h.up.Commit(t, project, map[string]string{"a": "1", "large": gittest.Noise(100_000, 1)}, "v1.0.0")
	h.up.Commit(t, project, map[string]string{"a": "2"})
	h.up.CommitTo(t, project, "dev", files(3, 1))
	h.mustSync(t)
	in, tx, err := h.fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tx.Updates = append(tx.Updates, mirror.RefUpdate{Name: mirror.KeptPrefix + "x/heads/old", New: first})
	if err := in.Publish(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	url := h.serveHTTP(t)
	dir := t.TempDir()
	for _, version := range []string{"0", "2"} {
		v := "protocol.version=" + version
		clone := filepath.Join(dir, "clone"+version)
		gittest.Git(t, dir, "-c", v, "clone", "-q", url, clone)
		gittest.Git(t, clone, "fsck", "--full")
		if got, want := gittest.Git(t, clone, "rev-parse", "origin/dev"), h.up.Rev(t, project, "dev"); got != want {
			t.Errorf("v%s: dev = %s, want %s", version, got, want)
		}
		shallow := filepath.Join(dir, "shallow"+version)
		gittest.Git(t, dir, "-c", v, "clone", "-q", "--depth=1", url, shallow)
		if got := gittest.Git(t, shallow, "rev-list", "--count", "HEAD"); got != "1" {
			t.Errorf("v%s: clone --depth=1 has %s commits, want 1", version, got)
		}
		partial := filepath.Join(dir, "partial"+version)
		gittest.Git(t, dir, "-c", v, "clone", "-q", "--bare", "--filter=blob:none", url, partial)
		if got := gittest.Git(t, partial, "rev-list", "--objects", "--missing=print", "--all"); !strings.Contains(got, "?") {
			t.Errorf("v%s: clone --filter=blob:none lacks nothing", version)
		}
		if got := gittest.Git(t, dir, "-c", v, "ls-remote", url); strings.Contains(got, "gitmirror") || !strings.Contains(got, "refs/tags/v1.0.0") {
			t.Errorf("v%s: ls-remote = %s, want tags and nothing of refs/gitmirror", version, got)
		}
		gittest.Git(t, clone, "-c", v, "fetch", "-q", url, first) // by id
	}
}

func TestServeFullDuplex(t *testing.T) {
	h := newHouse(t)
	h.up.Commit(t, project, files(3, 1))
	h.mustSync(t)
	client, server := net.Pipe()
	var errs bytes.Buffer
	done := make(chan error, 1)
	go func() {
		done <- h.UploadPack(t.Context(), git.UploadPack{Repo: h.id, In: server, Out: server, Err: &errs})
		server.Close()
	}()
	head := make([]byte, 4)
	if _, err := io.ReadFull(client, head); err != nil {
		t.Fatalf("first packet: %v", err)
	}
	go func() { _, _ = io.Copy(io.Discard, client) }()
	if _, err := io.WriteString(client, "0000"); err != nil { // wants nothing
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("UploadPack = %v, want nil", err)
	}
}

func TestServeUnknown(t *testing.T) {
	h := newHouse(t)
	err := h.UploadPack(t.Context(), git.UploadPack{Repo: h.id, Out: io.Discard})
	if !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("UploadPack of what was never cloned = %v, want ErrNotFound", err)
	}
	err = h.UploadPack(t.Context(), git.UploadPack{Repo: "../../etc", Out: io.Discard})
	if !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("UploadPack of a path = %v, want ErrNotFound", err)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	h := newHouse(t)
	h.up.Commit(t, project, files(3, 1))
	h.mustSync(t)
	ctx, cancel := context.WithCancel(t.Context())
	client, server := net.Pipe()
	defer client.Close()
	done := make(chan error, 1)
	go func() {
		done <- h.UploadPack(ctx, git.UploadPack{Repo: h.id, In: server, Out: io.Discard})
	}()
	eventually(t, "upload-pack runs", func() bool { return len(processes(t, h.dir())) > 0 })
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("UploadPack = %v, want context.Canceled", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("UploadPack still runs a minute after its context ended")
	}
	eventually(t, "git is gone", func() bool { return len(processes(t, h.dir())) == 0 })
}

func TestMaintain(t *testing.T) {
	h := newHouse(t)
	for i := range 6 {
		h.up.Commit(t, project, files(4, uint64(i+1)))
		h.mustSync(t)
	}
	gittest.Git(t, h.dir(), "update-ref", "refs/gitmirror/kept/x/heads/y", h.up.Rev(t, project, "main~1"))
	packs := func() int {
		found, _ := filepath.Glob(filepath.Join(h.dir(), "objects", "pack", "*.pack"))
		return len(found)
	}
	before := packs()
	if _, err := h.Maintain(t.Context(), h.id); err != nil {
		t.Fatal(err)
	}
	if after := packs(); after >= before {
		t.Errorf("packs = %d after Maintain, want less than %d", after, before)
	}
	for _, want := range []string{"objects/pack/multi-pack-index", "objects/pack/multi-pack-index-*.bitmap", "objects/info/commit-graphs/commit-graph-chain"} {
		if found, _ := filepath.Glob(filepath.Join(h.dir(), want)); len(found) == 0 {
			t.Errorf("no %s after Maintain", want)
		}
	}
	h.whole(t)
	h.same(t)
	// Little has changed: nothing to do.
	mark, err := os.Stat(filepath.Join(h.dir(), "objects/pack/multi-pack-index"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Maintain(t.Context(), h.id); err != nil {
		t.Fatal(err)
	}
	again, err := os.Stat(filepath.Join(h.dir(), "objects/pack/multi-pack-index"))
	if err != nil || !again.ModTime().Equal(mark.ModTime()) {
		t.Errorf("a second Maintain wrote the index again (%v)", err)
	}
	h.up.Commit(t, project, files(3, 50))
	h.mustSync(t)
	h.same(t)
}

func TestMaintainFirstClone(t *testing.T) {
	h := newHouse(t)
	h.up.Commit(t, project, files(4, 1))
	h.mustSync(t)
	if _, err := h.Maintain(t.Context(), h.id); err != nil {
		t.Fatal(err)
	}
	if found, _ := filepath.Glob(filepath.Join(h.dir(), "objects/pack/*.bitmap")); len(found) == 0 {
		t.Error("no bitmap after the first Maintain")
	}
	h.whole(t)
}
