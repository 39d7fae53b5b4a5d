package main_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

// TestSealedStories runs testdata/sealed/*.txtar where nothing can be reached
// but loopback: the test starts itself again in a network namespace of its own,
// so what the go command builds there came from the mirror and nowhere else.
func TestSealedStories(t *testing.T) {
	if os.Getenv(inside) != "" {
		sealed(t, 1, runSealedStories)
		return
	}
	// What needs the module proxy happens before: real modules, into the cache.
	for _, file := range sealedStories(t) {
		up := gittest.NewUpstream(t) // one for each story: the cache holds what a story asks for
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if list, ok := strings.CutPrefix(line, "upstream modules "); ok {
				up.AddModules(t, parseModules(t.Fatalf, strings.Fields(list))...)
			}
		}
	}
	sealed(t, 2, runSealedStories)
}

func runSealedStories(t *testing.T, p part) {
	for i, file := range sealedStories(t) {
		if !p.mine(i) {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if os.Getenv(inside) == "" && strings.Contains(string(text), "\ncertificate ") {
			t.Logf("%s wants a name and port 443 of its own: not run without namespaces", file)
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { runStory(t, file) })
	}
}

// certificateCommand makes a certificate for a host and lets the story trust it:
// certificate HOST[:PORT|:free]. The next "server start" is https://HOST, on port 443 without another.
func certificateCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: certificate HOST[:PORT|:free]")
	}
	host := args[0]
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	cert, keyFile := ts.MkAbs("cert.pem"), ts.MkAbs("key.pem")
	ts.Check(writeCertificate(host, cert, keyFile))
	at := args[0]
	if name, free := strings.CutSuffix(at, ":free"); free {
		_, port, err := net.SplitHostPort(freePort(ts))
		ts.Check(err)
		at = net.JoinHostPort(name, port)
	}
	ts.Setenv("TLS_HOST", at)
	ts.Setenv("SSL_CERT_FILE", cert)
}

func sealedStories(t *testing.T) []string {
	files, err := filepath.Glob("testdata/sealed/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("Glob(testdata/sealed/*.txtar) = %v, %v, want stories", files, err)
	}
	return files
}

// projectCommand makes a Go project that requires modules of the upstream, with
// their true go.sum lines: project DIR PATH[@VERSION]… The story brings the code.
// Without a version the newest the upstream has is meant.
func (w *world) projectCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: project DIR PATH[@VERSION]…")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o777))
	gomod := []string{"module example.com/" + filepath.Base(args[0]), "", "go 1.22", "", "require ("}
	var gosum []string
	graphOnly := false
	for _, arg := range args[1:] {
		if arg == "--" {
			graphOnly = true
			continue
		}
		f := w.fixture(ts, arg)
		gosum = append(gosum, fmt.Sprintf("%s %s/go.mod %s", f.Path, f.Version, f.Sums.Mod))
		if !graphOnly {
			gomod = append(gomod, fmt.Sprintf("\t%s %s", f.Path, f.Version))
			gosum = append(gosum, fmt.Sprintf("%s %s %s", f.Path, f.Version, f.Sums.Zip))
		}
	}
	gomod = append(gomod, ")", "")
	slices.Sort(gosum)
	ts.Check(os.WriteFile(filepath.Join(dir, "go.mod"), []byte(strings.Join(gomod, "\n")), 0o666))
	ts.Check(os.WriteFile(filepath.Join(dir, "go.sum"), []byte(strings.Join(gosum, "\n")+"\n"), 0o666))
}

func (w *world) fixture(ts *testscript.TestScript, arg string) gittest.Fixture {
	path, version, _ := strings.Cut(arg, "@")
	for _, f := range slices.Backward(w.fixtures) {
		if f.Path == path && (version == "" || f.Version == version) {
			return f
		}
	}
	ts.Fatalf("the upstream has no module %s", arg)
	panic("unreachable")
}

// settingsCommand puts what `gitmirror env` says for the project into the story's
// environment, as eval does in a shell: settings [FLAG…]
func settingsCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: settings [FLAG…]")
	}
	ts.Check(ts.Exec("gitmirror", append([]string{"env", "--format", "dotenv"}, args...)...))
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		ts.Setenv(key, strings.Trim(value, `"'`))
	}
}
