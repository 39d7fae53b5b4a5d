// Package pgtest runs a real PostgreSQL for tests: one server per test process,
// one fresh database per test.
package pgtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a PostgreSQL server that starts when the first test asks for a
// database. The zero value is ready to use; TestMain calls Stop behind m.Run.
type Server struct {
	mu     sync.Mutex
	failed error
	dir    string // holds data, socket and log; empty = not started
	port   int
	secret string
	pid    int
	exited chan struct{}
	made   int
}

// patience bounds every wait for the server, on a machine that is busy.
const patience = 2 * time.Minute

// Database makes an empty database and returns its URL, which holds a password.
// The database is dropped when the test ends. Without PostgreSQL the test fails.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name, err := s.create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop database %s: %v", name, err)
		}
	})
	return s.url(name)
}

func (s *Server) create(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir == "" && s.failed == nil {
		s.failed = s.start(ctx)
	}
	if s.failed != nil {
		return "", s.failed
	}
	s.made++
	name := "test" + strconv.Itoa(s.made)
	return name, s.exec(ctx, "CREATE DATABASE "+name+" TEMPLATE template0")
}

// Crash ends the server as a power cut would; its databases stay. Up starts it
// again, on the same address; the test's end does so too.
func (s *Server) Crash(t testing.TB) (up func()) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signal(syscall.SIGQUIT)
	<-s.exited
	up = sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := s.again(); err != nil {
			t.Errorf("start PostgreSQL again: %v", err)
		}
	})
	t.Cleanup(up)
	return up
}

// again starts the server on the data and the port it had.
func (s *Server) again() error {
	bin, err := binaries()
	if err != nil {
		return err
	}
	owner, err := account()
	if err != nil {
		return err
	}
	// Somebody's connection may have the port for a moment.
	for deadline := time.Now().Add(patience); ; <-time.After(200 * time.Millisecond) {
		if err = s.run(context.Background(), bin, s.dir, owner, s.port); err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// Stop ends the server and removes its files. Without a server it does nothing.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir == "" {
		return nil
	}
	s.signal(syscall.SIGINT) // "fast": ends sessions, then itself
	select {
	case <-s.exited:
	case <-time.After(10 * time.Second):
		s.signal(syscall.SIGQUIT)
		<-s.exited
	}
	err := os.RemoveAll(s.dir)
	s.dir = ""
	return err
}

func (s *Server) signal(sig syscall.Signal) {
	select {
	case <-s.exited: // the pid may be somebody else's by now
	default:
		_ = syscall.Kill(s.pid, sig)
	}
}

// URL of a database of this server, over TCP on loopback.
func (s *Server) url(database string) string {
	return (&url.URL{
		Scheme: "postgres", User: url.UserPassword("postgres", s.secret),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), Path: "/" + database, RawQuery: "sslmode=disable",
	}).String()
}

func (s *Server) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

func (s *Server) start(ctx context.Context) (err error) {
	bin, err := binaries()
	if err != nil {
		return err
	}
	owner, err := account()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
			s.dir = ""
		}
	}()
	if owner != nil {
		if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	s.secret = rand.Text()
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(s.secret), 0o644); err != nil { // dir is 0700
		return err
	}
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "--pgdata="+filepath.Join(dir, "data"),
		"--username=postgres", "--auth=scram-sha-256", "--pwfile="+password, "--encoding=UTF8", "--no-locale",
		"--no-sync", "--no-instructions")
	initdb.Dir = dir
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	for range 5 { // the port may be taken between the choice and the start
		if err = s.run(ctx, bin, dir, owner, 0); err == nil {
			return nil
		}
	}
	return err
}

// run starts the server and waits until it answers; port zero = a free one.
func (s *Server) run(ctx context.Context, bin, dir string, owner *syscall.Credential, port int) error {
	free, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	s.port = free.Addr().(*net.TCPAddr).Port
	free.Close()
	var log bytes.Buffer
	cmd := exec.Command(filepath.Join(bin, "postgres"), "-D", filepath.Join(dir, "data"),
		"-c", "listen_addresses=127.0.0.1", "-c", "port="+strconv.Itoa(s.port), "-c", "unix_socket_directories="+dir,
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off",
		"-c", "shared_buffers=32MB", "-c", "max_connections=100", "-c", "autovacuum=off")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &log, &log
	// A killed test process takes the server along. The kernel watches the
	// thread that started it, so that thread waits for it and does nothing else.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: owner, Pdeathsig: syscall.SIGQUIT}
	started, exited := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(exited)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	s.dir, s.pid, s.exited = dir, cmd.Process.Pid, exited
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		err := s.exec(ctx, "SELECT 1")
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			return fmt.Errorf("postgres ended at its start:\n%s", &log)
		case <-deadline.C:
			s.signal(syscall.SIGQUIT)
			<-exited
			return fmt.Errorf("postgres does not answer: %w\n%s", err, &log)
		case <-poll.C:
		}
	}
}

// binaries is the directory with initdb and postgres: the newest version
// installed, or where PATH says.
func binaries() (string, error) {
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	slices.SortFunc(dirs, func(a, b string) int { return version(b) - version(a) })
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if initdb, err = filepath.EvalSymlinks(initdb); err == nil {
			dirs = append([]string{filepath.Dir(initdb)}, dirs...)
		}
	}
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, "postgres")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("PostgreSQL is not installed, and this test needs it: " +
		"run `make test`, which installs what the tests need, or apt-get install postgresql")
}

func version(bin string) int {
	n, _ := strconv.Atoi(strings.Split(filepath.Base(filepath.Dir(bin)), ".")[0])
	return n
}

// account is who runs the server: PostgreSQL refuses to be root. Nil means the
// user of the tests.
func account() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL cannot run as root and there is no user postgres; `make test` installs what the tests need: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
