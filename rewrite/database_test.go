package rewrite_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

// publicLog is a checksum database with a log and a key of its own, that knows
// what a library has: golang.org/x/mod's server.
type publicLog struct {
	signer, key string
	sums        func(path, version string) string // go.sum lines; empty = unknown
	server      *sumdb.Server
	asked       atomic.Int64
	spoil       func(name, text string) string
	down        error
}

const logName = "sum.corp.test"

func newPublicLog(t *testing.T, sums func(path, version string) string) *publicLog {
	t.Helper()
	l := &publicLog{sums: sums}
	var err error
	if l.signer, l.key, err = note.GenerateKey(rand.Reader, logName); err != nil {
		t.Fatal(err)
	}
	l.restart()
	return l
}

// restart begins another log with the same key.
func (l *publicLog) restart() {
	l.server = sumdb.NewServer(sumdb.NewTestServer(l.signer, func(path, version string) ([]byte, error) {
		text := l.sums(path, version)
		if text == "" {
			return nil, os.ErrNotExist
		}
		return []byte(text), nil
	}))
}

func (l *publicLog) database(t *testing.T) *rewrite.SumDB {
	t.Helper()
	db, err := mirror.ParseSumDB(l.key)
	if err != nil {
		t.Fatal(err)
	}
	return &rewrite.SumDB{DB: db, Dir: t.TempDir(), Fetch: l.fetch}
}

func (l *publicLog) fetch(_ context.Context, name string) ([]byte, error) {
	l.asked.Add(1)
	switch {
	case l.down != nil:
		return nil, l.down
	case name == "/supported":
		return nil, nil
	}
	rec := httptest.NewRecorder()
	l.server.ServeHTTP(rec, httptest.NewRequest("GET", name, nil))
	switch {
	case rec.Code == 404:
		return nil, &mirror.Problem{Kind: mirror.ErrNotFound, What: "no such thing"}
	case rec.Code != 200:
		return nil, &mirror.Problem{Kind: mirror.ErrUpstream, What: fmt.Sprint("status ", rec.Code)}
	case l.spoil != nil:
		return []byte(l.spoil(name, rec.Body.String())), nil
	}
	return rec.Body.Bytes(), nil
}

// of are the lines the library has of a module.
func (l *library) of(path, version string) string {
	if l.gomods[path+"@"+version] == "" {
		return ""
	}
	return l.sumLines(path + "@" + version)
}

func TestProvenByDatabase(t *testing.T) {
	lib, files := pflag(t)
	want := roundTrip(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files)["go.sum"]
	delete(files, "go.sum")
	log := newPublicLog(t, lib.of)
	planner := &rewrite.Planner{Resolver: lib, Site: testSite, Database: log.database(t)}
	got := roundTrip(t, planner, files)
	if got["go.sum"] != want {
		t.Errorf("go.sum = %q, want %q", got["go.sum"], want)
	}
	plan, _ := planOf(t, planner, files)
	if m := plan.Modules[0]; m.Proof != rewrite.ByDatabase || plan.Database != logName {
		t.Errorf("Proof = %q by %q, want %q by %s", m.Proof, plan.Database, rewrite.ByDatabase, logName)
	}
	asked := log.asked.Load()
	planOf(t, planner, files)
	if more := log.asked.Load() - asked; more > 1 { // "/supported"
		t.Errorf("a second plan asked %d times, want what is remembered to be enough", more)
	}
}

// A graph of modules none of which go.sum knows: every line is proven by itself.
func TestWholeGraphProvenByDatabase(t *testing.T) {
	lib := made(t, "a@v1.0.0: go 1.20; require example.org/b v1.0.0; require example.org/c v1.1.0", "b@v1.0.0: go 1.20; require example.org/c v1.0.0",
		"c@v1.0.0: go 1.20", "c@v1.1.0: go 1.20")
	files := map[string]string{"go.mod": "module example.com/x\n\ngo 1.22\n\nrequire example.org/a v1.0.0\n\nrequire (\n\texample.org/b v1.0.0 // indirect\n\texample.org/c v1.1.0 // indirect\n)\n"}
	planner := &rewrite.Planner{Resolver: lib, Site: testSite, Database: newPublicLog(t, lib.of).database(t)}
	got := roundTrip(t, planner, files)
	for _, m := range []string{"a v1.0.0", "b v1.0.0", "c v1.1.0"} {
		has(t, "go.sum", got["go.sum"], "git.corp.test/github.com/o/"+m+" h1:", "git.corp.test/github.com/o/"+m+"/go.mod h1:")
	}
	// One of them unknown is enough to stop.
	planner.Database = newPublicLog(t, func(path, version string) string {
		if path == "example.org/c" {
			return ""
		}
		return lib.of(path, version)
	}).database(t)
	dir := t.TempDir()
	write(t, dir, files)
	_, err := planner.Plan(t.Context(), openRoot(t, dir).FS())
	if p := mirror.AsProblem(err); err == nil || p.Code != rewrite.CodeUnproven || strings.Contains(p.What, "example.org/a") || !strings.Contains(p.What, "example.org/c@v1.1.0") {
		t.Errorf("Plan() error = %v, want %s for example.org/c alone", err, rewrite.CodeUnproven)
	}
}

func TestDatabaseDoesNotProve(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare func(l *publicLog, d *rewrite.SumDB)
		why     string
	}{
		"unknown": {func(l *publicLog, _ *rewrite.SumDB) { l.sums = func(string, string) string { return "" } }, "does not know it"},
		"unreachable": {func(l *publicLog, _ *rewrite.SumDB) {
			l.down = &mirror.Problem{Kind: mirror.ErrUpstream, What: "no road"}
		}, "no road"},
		"not passed on": {func(l *publicLog, _ *rewrite.SumDB) {
			l.down = &mirror.Problem{Kind: mirror.ErrNotFound, What: "not here"}
		}, "does not pass on the checksum database"},
		"off":     {func(_ *publicLog, d *rewrite.SumDB) { d.DB = mirror.SumDB{} }, "GOSUMDB=off"},
		"private": {func(_ *publicLog, d *rewrite.SumDB) { d.Private = "github.com/spf13,*.corp.test" }, "GONOSUMDB"},
	} {
		t.Run(name, func(t *testing.T) {
			lib, files := pflag(t)
			delete(files, "go.sum")
			log := newPublicLog(t, lib.of)
			db := log.database(t)
			tt.prepare(log, db)
			planner := &rewrite.Planner{Resolver: lib, Site: testSite, Database: db}
			dir := t.TempDir()
			write(t, dir, files)
			root := openRoot(t, dir)
			_, err := planner.Plan(t.Context(), root.FS())
			if p := mirror.AsProblem(err); !errors.Is(err, mirror.ErrHeld) || p.Code != rewrite.CodeUnproven || !strings.Contains(p.Why, tt.why) {
				t.Errorf("Plan() error = %v, want %s because %q", err, rewrite.CodeUnproven, tt.why)
			}
			if name == "private" && log.asked.Load() > 1 {
				t.Errorf("a private module was asked about")
			}
			planner.TrustMirror = true
			plan, err := planner.Plan(t.Context(), root.FS())
			if err != nil || plan.Modules[0].Proof != rewrite.ByTrust {
				t.Errorf("Plan() with trust = %+v, %v, want proof %q", plan, err, rewrite.ByTrust)
			}
		})
	}
}

func TestDatabaseContradictsTheMirror(t *testing.T) {
	lib, files := pflag(t)
	delete(files, "go.sum")
	other := hashMod("what was published")
	log := newPublicLog(t, func(path, version string) string {
		return strings.Replace(lib.of(path, version), lib.zip("github.com/spf13/pflag v1.0.5"), other, 1)
	})
	dir := t.TempDir()
	write(t, dir, files)
	for _, trust := range []bool{false, true} {
		planner := &rewrite.Planner{Resolver: lib, Site: testSite, Database: log.database(t), TrustMirror: trust}
		_, err := planner.Plan(t.Context(), openRoot(t, dir).FS())
		p := mirror.AsProblem(err)
		if !errors.Is(err, mirror.ErrIntegrity) || !strings.Contains(p.What, "mirror: "+lib.zip("github.com/spf13/pflag v1.0.5")) || !strings.Contains(p.What, logName+": "+other) || !strings.Contains(p.Why, "moved") {
			t.Errorf("Plan() with trust %v = %v, want ErrIntegrity with both hashes and what it means", trust, err)
		}
	}
}

// When go.sum and the mirror differ, the database tells who is wrong.
func TestThirdWitness(t *testing.T) {
	lib, files := pflag(t)
	ours := lib.zip("github.com/spf13/pflag v1.0.5")
	theirs := hashMod("something else")
	files["go.sum"] = strings.Replace(files["go.sum"], ours, theirs, 1)
	dir := t.TempDir()
	write(t, dir, files)
	for third, why := range map[string]string{
		ours:                    "the mirror has what was published",
		theirs:                  "the mirror's content is not what was published",
		hashMod("a third"):      "three different contents",
		"":                      "or somebody tampered",
		"h1:not a hash at all=": "or somebody tampered",
	} {
		log := newPublicLog(t, func(path, version string) string {
			if third == "" {
				return ""
			}
			return strings.Replace(lib.of(path, version), ours, third, 1)
		})
		planner := &rewrite.Planner{Resolver: lib, Site: testSite, Database: log.database(t)}
		_, err := planner.Plan(t.Context(), openRoot(t, dir).FS())
		p := mirror.AsProblem(err)
		if !errors.Is(err, mirror.ErrIntegrity) || !strings.Contains(p.What, "mirror: "+ours+"\n\tgo.sum: "+theirs) || !strings.Contains(p.Why, why) {
			t.Errorf("Plan() with %q in the database = %v (%s), want ErrIntegrity and %q", third, err, p.Why, why)
		}
	}
}

func TestDatabaseThatLies(t *testing.T) {
	for name, spoil := range map[string]func(l *publicLog){
		"record": func(l *publicLog) {
			l.spoil = func(name, text string) string {
				if strings.HasPrefix(name, "/lookup/") {
					return strings.Replace(text, "h1:", "h1:A", 1)
				}
				return text
			}
		},
		"tiles": func(l *publicLog) {
			l.spoil = func(name, text string) string {
				if strings.HasPrefix(name, "/tile/") {
					return strings.Repeat("x", len(text))
				}
				return text
			}
		},
		"portal": func(l *publicLog) { l.spoil = func(string, string) string { return "<html>" } },
		"fork":   func(l *publicLog) { l.restart() },
	} {
		t.Run(name, func(t *testing.T) {
			lib, files := pflag(t)
			delete(files, "go.sum")
			log := newPublicLog(t, lib.of)
			db := log.database(t)
			for _, m := range []string{"v0.9.1", "v0.8.0"} { // the log was seen before
				lib.gomods["github.com/pkg/errors@"+m] = "module github.com/pkg/errors\n"
				if _, err := db.Sums(t.Context(), []mirror.ModuleVersion{{Path: "github.com/pkg/errors", Version: m}}); err != nil {
					t.Fatal(err)
				}
			}
			spoil(log)
			dir := t.TempDir()
			write(t, dir, files)
			_, err := (&rewrite.Planner{Resolver: lib, Site: testSite, Database: db}).Plan(t.Context(), openRoot(t, dir).FS())
			if !errors.Is(err, mirror.ErrIntegrity) {
				t.Errorf("Plan() error = %v, want ErrIntegrity", err)
			}
		})
	}
}

// A mirror that moved to another address without a record of the rewrite: go.sum
// knows the old replacements only, and the database proves the new ones.
func TestMovedMirrorProvenByDatabase(t *testing.T) {
	lib, files := pflag(t)
	plan, root := planOf(t, &rewrite.Planner{Resolver: lib, Site: testSite, Form: mirror.DotGit}, files)
	if err := rewrite.Apply(root, plan); err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	write(t, other, read(t, root.Name()))
	planner := &rewrite.Planner{Resolver: lib, Site: testSite, Database: newPublicLog(t, lib.of).database(t)}
	plan, err := planner.Plan(t.Context(), openRoot(t, other).FS())
	if err != nil || plan.Empty() || plan.Modules[0].Proof != rewrite.ByDatabase {
		t.Fatalf("Plan() on another clone = %v, %v, want changes proven by the database", plan, err)
	}
}
