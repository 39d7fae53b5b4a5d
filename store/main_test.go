package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/gitmirror/gitmirror/internal/pgtest"
	"github.com/gitmirror/gitmirror/store"
)

// postgres is the server of this test process; it starts when a test needs it.
var postgres pgtest.Server

func TestMain(m *testing.M) {
	code := m.Run()
	if err := postgres.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop postgres:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// each runs a test on both databases. location is for opening it once more.
func each(t *testing.T, test func(t *testing.T, db *store.DB, location string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		location := filepath.Join(t.TempDir(), "gitmirror.db")
		test(t, open(t, location), location)
	})
	t.Run("postgres", func(t *testing.T) {
		location := postgres.Database(t)
		test(t, open(t, location), location)
	})
}

func open(t testing.TB, location string) *store.DB {
	t.Helper()
	db, err := store.Open(context.Background(), location, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}
