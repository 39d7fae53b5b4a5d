package main_test

import (
	"crypto/rand"
	"fmt"
	"net/http/httptest"
	"os"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"
)

// sumdbCommand is a checksum database that knows the modules of the upstream, in
// a log and with a key of its own: sumdb start | stop | lie PATH. $SUMDB is its
// key, $SUMDB_AT the key with its address.
func (w *world) sumdbCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: sumdb start | stop | lie PATH")
	}
	switch args[0] {
	case "start":
		signer, key, err := note.GenerateKey(rand.Reader, "sum.story.test")
		ts.Check(err)
		w.sums = httptest.NewServer(sumdb.NewServer(sumdb.NewTestServer(signer, w.recorded)))
		w.tb.Cleanup(w.sums.Close)
		ts.Setenv("SUMDB", key)
		ts.Setenv("SUMDB_AT", key+" "+w.sums.URL)
	case "stop":
		w.sums.Close()
	case "lie":
		w.lie = args[1]
	default:
		ts.Fatalf("sumdb %s: unknown", args[0])
	}
}

// recorded is what the database has of a module version.
func (w *world) recorded(path, version string) ([]byte, error) {
	for _, f := range w.fixtures {
		if f.Path == path && f.Version == version {
			zip := f.Sums.Zip
			if path == w.lie {
				zip = f.Sums.Mod
			}
			return fmt.Appendf(nil, "%s %s %s\n%s %s/go.mod %s\n", path, version, zip, path, version, f.Sums.Mod), nil
		}
	}
	return nil, os.ErrNotExist
}
