package oidctest

import (
	"bufio"
	"crypto/sha256"
	_ "embed" // the program that node runs
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	//go:embed provider/provider.js
	program []byte
	//go:embed provider/package-lock.json
	lock []byte
)

// Setup is what a Provider is told.
type Setup struct {
	Path      string `json:"path"`      // of the issuer: "" or "/realms/x"
	Client    string `json:"client"`    // id of who signs people in
	Secret    string `json:"secret"`    // empty = a public client
	Method    string `json:"method"`    // how Client shows it; empty = client_secret_basic
	Redirect  string `json:"redirect"`  // where people come back after signing in
	SignedOut string `json:"signedOut"` // and after signing out
	Alg       string `json:"alg"`       // RS256 or ES256; empty = RS256
	// InToken puts the claims of people into the ID token; else only the userinfo
	// endpoint tells them.
	InToken bool `json:"inToken"`
	// People are claims by login; any password will do. Job are those of tokens that
	// Mint makes. Both count from Tell on.
	People map[string]map[string]any `json:"people"`
	Job    map[string]any            `json:"job"`
}

// Provider is oidc-provider, a certified OpenID provider, run by node. It listens on
// another loopback address than servers of tests do: to a browser it is another site.
type Provider struct {
	URL string // of the issuer

	t     *testing.T
	setup Setup
	dir   string
	port  int
	stop  func()
}

const providerHost = "127.0.0.2"

// StartProvider runs a provider until the test ends.
func StartProvider(t *testing.T, s Setup) *Provider {
	t.Helper()
	modules, err := installed()
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{t: t, dir: t.TempDir(), stop: func() {}}
	// Node looks for modules where the program is.
	if err := errors.Join(os.Symlink(modules, filepath.Join(p.dir, "node_modules")),
		os.WriteFile(filepath.Join(p.dir, "provider.mjs"), program, 0o600)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.stop() })
	p.Restart(s)
	return p
}

// Restart runs it again, on the port it had, with new keys and with nobody signed in.
func (p *Provider) Restart(s Setup) {
	p.t.Helper()
	p.Stop()
	p.Tell(s)
	cmd := exec.Command("node", "provider.mjs", "setup.json")
	cmd.Dir, cmd.Env = p.dir, []string{"PATH=" + os.Getenv("PATH"), "NODE_ENV=production"}
	var said strings.Builder
	cmd.Stderr = &said
	in, err := cmd.StdinPipe() // its end, ours included, is the provider's
	if err != nil {
		p.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.stop = func() {
		in.Close()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
		p.stop = func() {}
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if issuer, err := url.Parse(lines.Text()); err == nil && issuer.Hostname() == providerHost {
			p.URL = issuer.String()
			p.port, _ = strconv.Atoi(issuer.Port())
			return
		}
	}
	p.stop()
	p.t.Fatalf("the provider ended at its start:\n%s", &said)
}

// Stop ends it; Restart brings it back.
func (p *Provider) Stop() { p.stop() }

// Tell changes People and Job; the rest counts from the next Restart on.
func (p *Provider) Tell(s Setup) {
	p.t.Helper()
	if s.Alg == "" {
		s.Alg = "RS256"
	}
	switch {
	case s.Secret == "":
		s.Method = "none"
	case s.Method == "":
		s.Method = "client_secret_basic"
	}
	p.setup = s
	text, err := json.Marshal(struct {
		Setup
		Host string `json:"host"`
		Port int    `json:"port"` // 0 = any
	}{s, providerHost, p.port})
	if err == nil {
		err = os.WriteFile(filepath.Join(p.dir, "setup.json"), text, 0o600)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

var formAction = regexp.MustCompile(`<form[^>]* action="([^"]+)"`)

// SignIn goes to the address our server sends a browser to, fills in the forms for
// somebody and returns what the browser is sent back with.
func (p *Provider) SignIn(to, login string) url.Values {
	p.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	client := &http.Client{Jar: jar, CheckRedirect: func(req *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(req.URL.String(), p.setup.Redirect) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	resp, err := client.Get(to)
	for _, form := range []url.Values{{"prompt": {"login"}, "login": {login}, "password": {"any"}}, {"prompt": {"consent"}}} {
		page := p.read(resp, err)
		action := formAction.FindStringSubmatch(page)
		if action == nil {
			p.t.Fatalf("the provider shows no form to sign in at %s: %d\n%s", to, resp.StatusCode, page)
		}
		resp, err = client.PostForm(html.UnescapeString(action[1]), form)
	}
	page := p.read(resp, err)
	back, err := resp.Location()
	if err != nil {
		p.t.Fatalf("the provider does not send %s back: %d\n%s", login, resp.StatusCode, page)
	}
	return back.Query()
}

// Mint is a token of a CI job for an audience, with the claims of Job.
func (p *Provider) Mint(audience string) string {
	p.t.Helper()
	resp, err := http.PostForm(p.URL+"/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"ci"}, "client_secret": {"secret of ci"}, "resource": {audience},
	})
	var got struct {
		Token string `json:"access_token"`
	}
	text := p.read(resp, err)
	if err := json.Unmarshal([]byte(text), &got); err != nil || got.Token == "" {
		p.t.Fatalf("the provider mints no token: %s", text)
	}
	return got.Token
}

func (p *Provider) read(resp *http.Response, err error) string {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

// installed is where deploy/test-deps.sh puts what provider/package-lock.json names.
func installed() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(lock)
	dir := filepath.Join(cache, "gitmirror-test", "oidc-provider-"+hex.EncodeToString(sum[:6]), "node_modules")
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("oidc-provider is not installed, and this test needs it: run `make test-deps`: %w", err)
	}
	return dir, nil
}
