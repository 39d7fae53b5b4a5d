package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/store"
)

// raw opens the database of a location without package store.
func raw(t testing.TB, location string) *sql.DB {
	t.Helper()
	driver := "sqlite"
	if strings.HasPrefix(location, "postgres:") {
		driver = "pgx"
	}
	db, err := sql.Open(driver, location)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func problemOf(t testing.TB, location string) *mirror.Problem {
	t.Helper()
	db, err := store.Open(t.Context(), location, nil)
	if err == nil {
		db.Close()
		t.Fatalf("Open(%q) succeeds", location)
	}
	var p *mirror.Problem
	if !errors.As(err, &p) || p.What == "" || p.Why == "" || p.Do == "" {
		t.Fatalf("Open(%q) = %#v, want a Problem with what, why and do", location, err)
	}
	return p
}

func TestOpenRefusesLocations(t *testing.T) {
	for _, location := range []string{
		"", ":memory:", "sqlite://", "sqlite::memory:", "mysql://h/db", "a\x00b", "postgres://u:s3cr3t@h:99999999/db", "postgres://u:s3cr3t@%zz/db",
	} {
		p := problemOf(t, location)
		if !errors.Is(p, mirror.ErrInvalid) || strings.Contains(p.Error()+p.Do, "s3cr3t") {
			t.Errorf("Open(%q) = %v, want ErrInvalid without the password", location, p)
		}
	}
}

func TestOpenFileNames(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a b?c=1&_pragma=x#f%41.db", "ünï/日本.db", "sqlite:" + dir + "/one.db", "sqlite://" + dir + "/two.db"} {
		location := name
		if !strings.HasPrefix(name, "sqlite:") {
			location = filepath.Join(dir, name)
		}
		add(t, open(t, location), "github.com/o/r")
		if _, err := open(t, location).Repo(t.Context(), "github.com/o/r"); err != nil {
			t.Errorf("Open(%q) twice: %v", location, err)
		}
		file := strings.TrimPrefix(strings.TrimPrefix(location, "sqlite://"), "sqlite:")
		for _, f := range []string{file, file + "-wal", file + "-shm"} {
			if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%q: %v, %v, want mode 0600", f, info, err)
			}
		}
	}
}

func TestOpenDamagedFiles(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.db")
	db := open(t, good)
	for range 50 {
		add(t, db, "github.com/o/"+string(mirror.NewID()))
	}
	db.Close()
	content, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{
		"text.db":      []byte(strings.Repeat("this is no database\n", 500)),
		"truncated.db": content[:5000],
		"zeroed.db":    append(bytes.Clone(content[:100]), make([]byte, len(content)-100)...),
	}
	for name, data := range files {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		p := problemOf(t, file)
		if !strings.Contains(p.What, file) || !strings.Contains(p.Why, "damaged") || !strings.Contains(p.Do, "backup") {
			t.Errorf("Open(%s) = %+v, want it called damaged", name, p)
		}
		if after, err := os.ReadFile(file); err != nil || !bytes.Equal(after, data) {
			t.Errorf("Open(%s) changed the file", name)
		}
	}
	if p := problemOf(t, dir); !strings.Contains(p.Error(), "is a directory") {
		t.Errorf("Open(directory) = %v, want that said", p)
	}
	if p := problemOf(t, filepath.Join(good, "sub.db")); !strings.Contains(p.Error(), "not a directory") {
		t.Errorf("Open(below a file) = %v, want that said", p)
	}
}

func TestOpenUnreachable(t *testing.T) {
	u, err := url.Parse(postgres.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	wrong := *u
	wrong.User = url.UserPassword("postgres", "wr0ng-s3cr3t")
	missing := *u
	missing.Path = "/nope"
	closed := *u
	closed.Host = "127.0.0.1:1"
	secret, _ := u.User.Password()
	for _, location := range []string{wrong.String(), missing.String(), closed.String()} {
		p := problemOf(t, location)
		if p.Code != "E5101" {
			t.Errorf("Open = %+v, want E5101", p)
		}
		for _, s := range []string{"wr0ng-s3cr3t", secret} {
			if strings.Contains(p.Error()+p.Do+p.Raw, s) {
				t.Errorf("Open = %v, which holds the password", p)
			}
		}
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, location string) {
		r := add(t, db, "github.com/o/r")
		db.Close()
		other := raw(t, location)
		if _, err := other.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)"); err != nil {
			t.Fatal(err)
		}
		p := problemOf(t, location)
		if p.Code != "E5103" || !strings.Contains(p.Error(), "9999") {
			t.Errorf("Open = %+v, want E5103 with the version", p)
		}
		if _, err := other.Exec("DELETE FROM goose_db_version WHERE version_id = 9999"); err != nil {
			t.Fatal(err)
		}
		if got := mustRepo(t, open(t, location), r.ID); got.Path != r.Path {
			t.Errorf("the repository is %s afterwards, want %s", got.Path, r.Path)
		}
	})
}

// Servers that start at the same time on an empty database take turns.
func TestOpenAtOnce(t *testing.T) {
	each(t, func(t *testing.T, _ *store.DB, location string) {
		if strings.HasPrefix(location, "postgres:") {
			location = postgres.Database(t)
		} else {
			location += "2"
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				db, err := store.Open(context.Background(), location, nil)
				if err != nil {
					t.Error(err)
					return
				}
				defer db.Close()
				if err := db.Ping(context.Background()); err != nil {
					t.Errorf("Ping = %v", err)
				}
			})
		}
		wg.Wait()
	})
}

func TestClosedAndCancelled(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := db.Repos(ctx, mirror.RepoQuery{}); !errors.Is(err, context.Canceled) {
			t.Errorf("Repos(cancelled) = %v, want context.Canceled", err)
		}
		if _, err := db.Claim(ctx, "n", base(), lease, mirror.Room{News: 1}); !errors.Is(err, context.Canceled) {
			t.Errorf("Claim(cancelled) = %v, want context.Canceled", err)
		}
		if err := db.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
		if err := db.Ping(t.Context()); err == nil {
			t.Error("Ping(closed) = nil, want an error")
		}
		for _, kind := range []error{mirror.ErrNotFound, mirror.ErrExists} {
			if _, err := db.User(t.Context(), "x"); err == nil || errors.Is(err, kind) {
				t.Errorf("User(closed) = %v, want an error without a kind", err)
			}
		}
	})
}

// The log shows statements, at level debug only, and no value of any.
func TestLogHoldsNoValues(t *testing.T) {
	for _, location := range []string{filepath.Join(t.TempDir(), "x.db"), postgres.Database(t)} {
		for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo} {
			var out bytes.Buffer
			db, err := store.Open(t.Context(), location, slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level})))
			if err != nil {
				t.Fatal(err)
			}
			user := auth.User{ID: string(mirror.NewID()), Name: "n4me-" + level.String(), PasswordHash: "h4sh", Created: base()}
			for range 2 { // the second fails: its error is not for the log either
				_ = db.AddUser(t.Context(), user)
			}
			_, _ = db.UserByName(t.Context(), "n4me-unknown")
			db.Close()
			text := out.String()
			if strings.Contains(text, "n4me") || strings.Contains(text, "h4sh") || strings.Contains(text, user.ID) {
				t.Errorf("the log holds a value:\n%s", text)
			}
			if level == slog.LevelInfo && text != "" || level == slog.LevelDebug && !strings.Contains(text, "INSERT INTO") {
				t.Errorf("log at level %s:\n%s", level, text)
			}
		}
	}
}
