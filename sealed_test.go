package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

// inside says that this process is the one without a network.
const inside = "GITMIRROR_TEST_SEALED"

// TestSealedStories runs testdata/sealed/*.txtar where nothing can be reached
// but loopback: the test starts itself again in a network namespace of its own,
// so what the go command builds there came from the mirror and nowhere else.
func TestSealedStories(t *testing.T) {
	if os.Getenv(inside) != "" {
		sealed(t)
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

	cmd := exec.Command(os.Args[0], "-test.run=^TestSealedStories$", "-test.v", "-test.timeout=15m")
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		t.Log("network namespaces are not allowed here; a proxy setting that lets nothing through has to do")
		sealed(t)
		return
	}
	if err != nil {
		t.Fatalf("in the network namespace: %v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func sealed(t *testing.T) {
	if os.Getenv(inside) != "" {
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			t.Fatalf("ip link set lo up: %v\n%s", err, out)
		}
		if conn, err := net.Dial("udp", "192.0.2.1:443"); err == nil { // a documentation address: is there a route to anywhere?
			conn.Close()
			t.Fatal("the network namespace has a route to the outside")
		}
		nameOurselves(t)
	}
	for _, file := range sealedStories(t) {
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

// corp is the name of this machine in the namespace.
const corp = "git.corp.test"

// nameOurselves lets the name corp lead to loopback, in this mount namespace only.
func nameOurselves(t *testing.T) {
	hosts := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(hosts, []byte("127.0.0.1 localhost "+corp+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatalf("make the mounts private: %v", err)
	}
	if err := syscall.Mount(hosts, "/etc/hosts", "", syscall.MS_BIND, ""); err != nil {
		t.Fatalf("mount our own /etc/hosts: %v", err)
	}
}

// certificateCommand makes a certificate for a host and lets the story trust it:
// certificate HOST. The next "server start" is https://HOST on port 443.
func certificateCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: certificate HOST")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: args[0]}, DNSNames: args, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	ts.Check(err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	cert, keyFile := ts.MkAbs("cert.pem"), ts.MkAbs("key.pem")
	ts.Check(os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	ts.Check(os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	ts.Setenv("TLS_HOST", args[0])
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
