package git

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/bits"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/xid"

	"github.com/gitmirror/gitmirror/mirror"
)

// Disk is the repositories of one data directory, and the road to their
// upstreams. Use Open. It implements mirror.Fetcher, mirror.Reader,
// mirror.Remover and mirror.Keeper, and may be used by many goroutines.
type Disk struct {
	// Root is the data directory; repos/, staging/ and trash/ are below it.
	Root string
	// AllowPrivate lets upstreams be on loopback and private addresses.
	AllowPrivate bool
	// SSHDir holds id_ed25519 and known_hosts for ssh upstreams; empty = Root/ssh.
	SSHDir string
	// CAFile is a PEM bundle to trust instead of the system's; empty = the system's.
	CAFile string
	// API is where the REST API of a host is, by host or host:port, when it is not
	// https://HOST/api/v3: {"git.corp.example": "https://api.corp.example"}.
	API map[string]string
	// Proxy is the URL of the company's proxy for outgoing connections: http,
	// https or socks5, perhaps with user and password; empty = none. It resolves
	// the names of upstreams itself, so the guard judges addresses in URLs alone,
	// and the proxy must keep us off private networks. ssh never takes it.
	Proxy string
	// NoProxy are the hosts that are reached without it, as in the usual variable
	// no_proxy: "corp.example,10.0.0.0/8". Loopback never takes the proxy.
	NoProxy string
	// StallAfter ends a fetch that brings no byte and no progress for so long, a
	// first clone after three times that; zero = 5 minutes. There is no limit on
	// the whole: a slow upstream converges.
	StallAfter time.Duration
	// IdleTimeout ends an upload-pack whose client neither sends nor takes
	// anything; zero = 10 minutes.
	IdleTimeout time.Duration
	// Log may be nil.
	Log *slog.Logger

	state *state
}

var (
	_ mirror.Fetcher = (*Disk)(nil)
	_ mirror.Reader  = (*Disk)(nil)
	_ mirror.Remover = (*Disk)(nil)
	_ mirror.Keeper  = (*Disk)(nil)

	_ mirror.RefKeeper = (*Disk)(nil)
)

// state is what an open Disk knows beyond its settings.
type state struct {
	binary  string // git
	ssh     string // empty when there is none
	path    string
	version version
	threads int
	client  *http.Client
	wire    *wire
	tls     *tls.Config // for outgoing connections; cloned, never changed
	company *company    // nil without Proxy

	bandwidths bandwidths
	versions   versions

	owned   *os.File // locked as long as this process lives
	refs    *recent[*snapshot]
	served  *recent[*served]
	objects *recent[*objects]
	// generation is that of the latest mirror.Snapshot.
	generation atomic.Uint64

	publishing turns // whose refs are being written

	mu          sync.Mutex
	fetching    map[mirror.ID]bool // an Incoming is open
	alone       map[mirror.ID]*holder
	maintaining map[mirror.ID]bool
	mended      map[mirror.ID]bool // see Mended
}

// oldest is the first git whose behaviour we rely on: core.fsync (2.36), and
// tested from Debian 12's on.
var oldest = version{2, 39}

type version struct{ major, minor int }

func (v version) before(w version) bool {
	return v.major < w.major || v.major == w.major && v.minor < w.minor
}

// Open finds git, checks its version, makes the directories and clears away
// what a killed process left. A Root that another process has open is refused
// with mirror.ErrBusy. It needs no network.
func Open(ctx context.Context, d Disk) (*Disk, error) {
	root, err := filepath.Abs(d.Root)
	if err != nil || d.Root == "" {
		return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: "the data directory " + strconv.Quote(d.Root) + " cannot be used"}
	}
	d.Root = root
	if d.SSHDir == "" {
		d.SSHDir = filepath.Join(d.Root, "ssh")
	}
	if d.StallAfter <= 0 {
		d.StallAfter = 5 * time.Minute
	}
	if d.IdleTimeout <= 0 {
		d.IdleTimeout = 10 * time.Minute
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	binary, err := exec.LookPath("git")
	if err != nil {
		return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: "git was not found",
			Why: "no program called git is in PATH", Do: "install git 2.39 or newer"}
	}
	if binary, err = filepath.Abs(binary); err != nil {
		return nil, fmt.Errorf("find git: %w", err)
	}
	reportFileSize()
	d.state = &state{
		binary: binary, path: searchPath(binary), threads: max(1, bits.Len(uint(runtime.NumCPU()))-1),
		wire: newWire(), fetching: map[mirror.ID]bool{}, alone: map[mirror.ID]*holder{},
		maintaining: map[mirror.ID]bool{}, mended: map[mirror.ID]bool{},
		refs: newRecent[*snapshot](keptRefs, nil), served: newRecent[*served](keptRefs, nil), objects: newRecent(openObjects, (*objects).close),
	}
	if ssh, err := exec.LookPath("ssh"); err == nil {
		d.state.ssh, _ = filepath.Abs(ssh)
	}
	for _, dir := range []string{"", "repos", "staging", "trash"} {
		if err := os.MkdirAll(filepath.Join(d.Root, dir), 0o755); err != nil {
			return nil, d.local("make the data directory", err)
		}
	}
	if err := d.checkVersion(ctx); err != nil {
		return nil, err
	}
	if err := d.own(); err != nil {
		return nil, err
	}
	if d.state.company, err = newCompany(d.Proxy, d.NoProxy); err != nil {
		return nil, err
	}
	if d.state.client, err = d.httpClient(); err != nil {
		return nil, err
	}
	if err := d.sweep(); err != nil {
		return nil, err
	}
	return &d, nil
}

// own keeps a second server off the data directory, whose sweep would tear down
// what this one is doing.
func (d *Disk) own() error {
	f, err := os.OpenFile(filepath.Join(d.Root, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return d.local("lock the data directory", err)
	}
	if err := own(f); err != nil {
		_ = f.Close()
		return &mirror.Problem{Code: mirror.CodeLocal, Kind: mirror.ErrBusy, What: "another gitmirror uses the data directory " + d.Root,
			Why: "only one process may have it open", Do: "stop the other one or choose another data directory"}
	}
	d.state.owned = f
	return nil
}

// Close gives the data directory back for another process, or another Open, to
// take. Nothing may be going on in d, and nothing may be asked of it afterwards.
func (d *Disk) Close() error {
	d.state.objects.clear()
	d.state.refs.clear()
	d.state.served.clear()
	d.state.client.CloseIdleConnections()
	return d.state.owned.Close()
}

func (d *Disk) checkVersion(ctx context.Context) error {
	out, err := d.output(ctx, 1<<10, command{args: []string{"version"}})
	if err != nil {
		return &mirror.Problem{Kind: mirror.ErrInvalid, What: d.state.binary + " does not run", Why: err.Error(), Do: "install git 2.39 or newer"}
	}
	text := strings.TrimPrefix(strings.TrimSpace(string(out)), "git version ")
	if n, _ := fmt.Sscanf(text, "%d.%d", &d.state.version.major, &d.state.version.minor); n != 2 || d.state.version.before(oldest) {
		return &mirror.Problem{Kind: mirror.ErrInvalid, What: "git " + clean(text, nil) + " is too old",
			Why: d.state.binary + " is that version; 2.39 or newer is needed", Do: "install a newer git"}
	}
	return nil
}

// GitVersion is the version of the git in use, "2.39".
func (d *Disk) GitVersion() string {
	return fmt.Sprintf("%d.%d", d.state.version.major, d.state.version.minor)
}

// repo is the directory of a repository. Only an id leads to a path.
func (d *Disk) repo(id mirror.ID) (string, error) {
	if _, err := mirror.ParseID(string(id)); err != nil {
		return "", err
	}
	return filepath.Join(d.Root, "repos", string(id)+".git"), nil
}

// existing is repo for one that was cloned.
func (d *Disk) existing(id mirror.ID) (string, error) {
	dir, err := d.repo(id)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(dir); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("repository %s is not on disk: %w", id, mirror.ErrNotFound)
		}
		return "", d.local("open the repository", err)
	}
	return dir, nil
}

// Bytes is the size of all files of the repository.
func (d *Disk) Bytes(ctx context.Context, id mirror.ID) (int64, error) {
	dir, err := d.existing(id)
	if err != nil {
		return 0, err
	}
	var sum int64
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				sum += info.Size()
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // git tidies up while we look
			return err
		}
		return ctx.Err()
	})
	return sum, err
}

// Remove makes the repository invisible by one rename, then frees its space.
func (d *Disk) Remove(_ context.Context, id mirror.ID) error {
	dir, err := d.repo(id)
	if err != nil {
		return err
	}
	d.state.objects.forget(id) // open packs keep their space, on Windows their names
	defer d.state.objects.forget(id)
	defer d.forgetRefs(id)
	return errors.Join(d.discard(dir), d.discard(d.stepsDir(id)))
}

// discard moves a directory to the trash and deletes it there. Nothing outside
// of trash/ is ever deleted as a tree.
func (d *Disk) discard(dir string) error {
	trash := filepath.Join(d.Root, "trash")
	name := filepath.Base(dir) + "-" + xid.New().String()
	if filepath.Dir(dir) != trash {
		err := os.Rename(dir, filepath.Join(trash, name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return d.local("move to the trash", err)
		}
		if err := syncDir(filepath.Dir(dir)); err != nil {
			return d.local("move to the trash", err)
		}
	} else {
		name = filepath.Base(dir)
	}
	root, err := os.OpenRoot(trash)
	if err != nil {
		return d.local("open the trash", err)
	}
	defer root.Close()
	if err := root.RemoveAll(name); err != nil {
		return d.local("empty the trash", err)
	}
	return nil
}

// syncDir makes the names in a directory survive a power cut.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // directories cannot be flushed there
		return nil
	}
	return syncFile(dir)
}

func syncFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
