package modproxy_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
)

// The 72 flows of testdata/flows.sh, each of which is a thing people do with the
// go command and a module proxy. Behind ours are the torture repositories, a
// mirror of cobra, and for the rest the module proxies of the go command that
// runs the test; so it runs only with GITMIRROR_FLOWS=all. TestFlows has what
// needs nobody else. GITMIRROR_FLOWS_ONLY is a pattern of names.
func TestFlowScript(t *testing.T) {
	if os.Getenv("GITMIRROR_FLOWS") != "all" {
		t.Log("GITMIRROR_FLOWS=all runs it, with the module proxies of the environment")
		return
	}
	w := tortureWorld(t)
	const cobra = "github.com/spf13/cobra"
	var mods []gittest.Module
	for _, v := range []string{"v1.4.0", "v1.5.0", "v1.7.0", "v1.8.0"} {
		mods = append(mods, gittest.Module{Path: cobra, Version: v})
	}
	for _, fix := range w.up.AddModules(t, mods...) {
		w.known(t, fix)
	}
	out, err := exec.Command("go", "env", "GOPROXY").Output()
	list := strings.TrimSpace(string(out))
	if err != nil || list == "" {
		t.Fatalf("go env GOPROXY = %q, %v", list, err)
	}
	w.behind(t, list)
	// Where tests run the proxy of the environment may have an address that our guard
	// does not connect to.
	if w.handler.Proxies, err = modproxy.OpenProxies(&modproxy.Proxies{List: list, Client: http.DefaultClient}); err != nil {
		t.Fatal(err)
	}
	db, err := mirror.ParseSumDB("")
	if err != nil {
		t.Fatal(err)
	}
	w.handler.SumDB = &modproxy.SumDB{DB: db, Proxies: list, Client: http.DefaultClient, Dir: t.TempDir()}
	w.handler.NoSum = "example.com"
	w.handler.Accounts = accounts{}
	closed := &modproxy.Handler{Repos: w.repos, Policy: auth.Policy{}, Accounts: accounts{}, SumDB: w.handler.SumDB, Proxies: w.handler.Proxies, Store: w.handler.Store}
	plain := httptest.NewServer(w.handler)
	defer plain.Close()
	prefixed := httptest.NewServer(http.StripPrefix("/tools/go", w.handler))
	defer prefixed.Close()
	guarded := httptest.NewTLSServer(closed)
	defer guarded.Close()
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: guarded.Certificate().Raw})
	oracle, err := filepath.Abs("testdata/oracle.tsv")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "testdata/flows.sh", plain.URL+"/proxy", "gitmirror")
	cmd.Env = append(os.Environ(),
		"ORACLE="+oracle, "GITHASH="+w.up.Rev(t, "example.com/torture", "main"), "PUBHASH="+w.up.Rev(t, cobra, "main")[:12],
		"PREFIX_PX="+prefixed.URL+"/tools/go/proxy",
		"AUTH_PX="+strings.Replace(guarded.URL, "://", "://ann:right@", 1)+"/proxy", "NETRC_PX="+guarded.URL+"/proxy",
		"NETRC="+write("netrc", "machine "+guarded.Listener.Addr().String()+" login ann password right\n"),
		"CA="+write("ca.pem", string(ca)), "ONLY="+os.Getenv("GITMIRROR_FLOWS_ONLY"),
	)
	text, err := cmd.Output()
	if err != nil {
		t.Errorf("flows.sh: %v", err)
	}
	passed := 0
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if t.Log(strings.Join(f[1:], "  ")); f[2] == "PASS" {
			passed++
		} else {
			t.Errorf("flow %s = %s", f[1], f[2])
		}
	}
	if want := 72; passed != want && os.Getenv("GITMIRROR_FLOWS_ONLY") == "" {
		t.Errorf("%d flows passed, want %d", passed, want)
	}
}
