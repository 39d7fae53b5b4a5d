//go:build unix

package bench_test

import (
	"bufio"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/gitserver"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/store"
)

// The servers are children of the benchmark, which are this program again: so
// their CPU time can be told from that of the clients.
const (
	roleVar = "GITMIRROR_BENCH_ROLE" // "ours", "peer", "files", "modules" or "quiet"; unset = the benchmarks
	taskVar = "GITMIRROR_BENCH_TASK"
)

// task is what a child serves.
type task struct {
	Root string
	TLS  bool // by a certificate of its own
	// HTTP2 lets clients choose it; they do when they can. With TLS only.
	HTTP2 bool
	// Mirrors are fetched first, path → upstream; of "ours" only.
	Mirrors map[string]string
}

// ready is what a child says when it serves.
type ready struct {
	URL string
	CA  []byte // what signs its certificate, PEM; of TLS only
	// Dirs are the directories of the mirrors, by path.
	Dirs map[string]string
}

func TestMain(m *testing.M) {
	role := os.Getenv(roleVar)
	if role == "" {
		os.Exit(m.Run())
	}
	var t task
	if err := json.Unmarshal([]byte(os.Getenv(taskVar)), &t); err != nil {
		log.Fatal(err)
	}
	if err := serve(context.Background(), role, t); err != nil {
		log.Fatal(err)
	}
}

// serve runs in the child until its standard input ends.
func serve(ctx context.Context, role string, t task) error {
	say := ready{Dirs: map[string]string{}}
	var handler http.Handler
	switch role {
	case "quiet":
		handler = quietHandler()
	case "peer":
		handler = peerHandler(t.Root)
	case "modules":
		handler = newModuleHost(t.Root)
	case "files":
		handler = http.FileServer(http.Dir(t.Root))
	case "ours":
		var err error
		if handler, err = ourHandler(ctx, t, say.Dirs); err != nil {
			return err
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/cpu", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, int64(usedCPU())) })
	mux.Handle("/", handler)
	server := httptest.NewUnstartedServer(mux)
	if server.EnableHTTP2 = t.HTTP2; t.TLS {
		server.StartTLS()
		say.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	} else {
		server.Start()
	}
	say.URL = server.URL
	if err := json.NewEncoder(os.Stdout).Encode(say); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// peerHandler is git http-backend, one process per request, below root.
func peerHandler(root string) http.Handler {
	core, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		log.Fatal(err)
	}
	return &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(core)), "git-http-backend"), Dir: root,
		Env: append(gittest.Env(root), "GIT_PROJECT_ROOT="+root, "GIT_HTTP_EXPORT_ALL=1",
			"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"),
		Stderr: io.Discard, Logger: log.New(io.Discard, "", 0),
	}
}

// packs is how the program joins git.Disk to gitserver.
type packs struct{ *git.Disk }

func (p packs) UploadPack(ctx context.Context, id mirror.ID, protocol string, stateless, advertise bool, in io.Reader, out, errOut io.Writer) error {
	return p.Disk.UploadPack(ctx, git.UploadPack{
		Repo: id, Protocol: protocol, Stateless: stateless, Advertise: advertise, In: in, Out: out, Err: errOut,
	})
}

// ourHandler mirrors the repositories and serves them as the program does.
func ourHandler(ctx context.Context, t task, dirs map[string]string) (http.Handler, error) {
	db, err := store.Open(ctx, filepath.Join(t.Root, "mirror.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	disk, err := git.Open(ctx, git.Disk{Root: t.Root, AllowPrivate: true})
	if err != nil {
		return nil, err
	}
	for path, url := range t.Mirrors {
		repo, err := add(ctx, db, path, url)
		if err != nil {
			return nil, err
		}
		if err := sync(ctx, disk, repo); err != nil {
			return nil, err
		}
		if _, err := disk.Maintain(ctx, repo.ID); err != nil {
			return nil, err
		}
		dirs[path] = filepath.Join(t.Root, "repos", string(repo.ID)+".git")
	}
	cache, err := gitserver.OpenCache(&gitserver.Cache{Dir: filepath.Join(t.Root, "answers"), MaxBytes: 4 << 30})
	if err != nil {
		return nil, err
	}
	return &gitserver.HTTP{
		Catalog: &mirror.Catalog{Store: db, Disk: disk}, Packs: packs{disk},
		Front:    &gitserver.Front{Packs: packs{disk}, Cache: cache},
		Accounts: &auth.Accounts{Store: db}, Policy: auth.Policy{AnonymousRead: true},
	}, nil
}

// add maps a repository that is synced by hand.
func add(ctx context.Context, db *store.DB, path, url string) (mirror.Repo, error) {
	p, err := mirror.ParsePath(path)
	if err != nil {
		return mirror.Repo{}, err
	}
	up, _, err := mirror.ParseUpstream(url)
	if err != nil {
		return mirror.Repo{}, err
	}
	now := time.Now().UTC()
	r := mirror.Repo{ID: mirror.NewID(), Path: p, Upstream: up, Version: 1,
		State: mirror.State{Status: mirror.Ready, LastSuccess: now, NextSync: now.Add(24 * time.Hour)}}
	return r, db.AddRepo(ctx, r)
}

// sync is a first clone.
func sync(ctx context.Context, disk *git.Disk, repo mirror.Repo) error {
	from := mirror.Remote{Upstream: repo.Upstream}
	list, err := disk.List(ctx, from)
	if err != nil {
		return err
	}
	in, err := disk.Fetch(ctx, repo.ID, from, list.Refs, func(mirror.Progress) {})
	if err != nil {
		return err
	}
	defer in.Discard()
	tx := mirror.Transaction{Head: list.Head}
	for _, ref := range list.Refs {
		tx.Updates = append(tx.Updates, mirror.RefUpdate{Name: ref.Name, New: ref.Hash})
	}
	return in.Publish(ctx, tx)
}

// child is a running server.
type child struct {
	ready
}

// start runs a server until the benchmark ends.
func start(b *testing.B, role string, t task) *child {
	b.Helper()
	text, err := json.Marshal(t)
	if err != nil {
		b.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), roleVar+"="+role, taskVar+"="+string(text))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	c := &child{}
	if err := json.NewDecoder(bufio.NewReader(out)).Decode(&c.ready); err != nil {
		b.Fatalf("server %s: %v", role, err)
	}
	return c
}

// cpu is the CPU time that the server and its children have used.
func (c *child) cpu() time.Duration {
	res, err := http.Get(c.URL + "/cpu")
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	var ns int64
	fmt.Fscan(res.Body, &ns)
	return time.Duration(ns)
}
