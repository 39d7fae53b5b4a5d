package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/modfile"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

// TestSealedCases plays every rewrite case with the whole program: its mapped
// modules are repositories of a real git host, mirrored by a server at
// https://git.corp.test that is all there is in the network. The project is
// rewritten, compared byte for byte, and then the commands of the case are run
// in it with an empty module cache. See gittest.Universe for what pseudo-versions
// are there. Where a case says that a public proxy can be reached, that is a
// directory: what the go command once downloaded from one.
func TestSealedCases(t *testing.T) {
	files := gittest.CaseFiles(t, ".")
	if os.Getenv(inside) == "" { // while the module proxy can be reached
		fetchCases(t, files)
	}
	sealed(t, 2, func(t *testing.T, p part) {
		if os.Getenv(inside) == "" {
			t.Log("cases want a name and port 443 of their own: not run without namespaces")
			return
		}
		w := &caseWorld{server: startCorp(t), up: gittest.NewUpstream(t)}
		for i, file := range files {
			if !p.mine(i) {
				continue
			}
			name := strings.TrimSuffix(filepath.Base(file), ".txtar")
			t.Run(name, func(t *testing.T) { w.run(t, fmt.Sprintf("case%02d", i), gittest.ReadCase(t, file)) })
		}
	})
}

// fetchCases brings into the module cache what cases need, a few at a time: most
// of it is waiting.
func fetchCases(t *testing.T, files []string) {
	t.Helper()
	var all sync.WaitGroup
	places := make(chan struct{}, 4)
	errs := make([]error, len(files))
	for i, file := range files {
		c, dir := gittest.ReadCase(t, file), t.TempDir()
		if c.PublicProxy {
			writeFiles(t, dir, c.In)
		}
		places <- struct{}{}
		all.Go(func() {
			errs[i] = fetchCase(c, dir)
			<-places
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// fetchCase fetches the zips of mapped modules, and whatever the go command reads
// of the others in the project, which lies in dir.
func fetchCase(c gittest.RewriteCase, dir string) error {
	all, err := gittest.ListPublic(gittest.CaseModules(c))
	if err != nil {
		return err
	}
	var mapped []*gittest.Public
	for _, p := range all {
		if _, repo := c.Prefix(p.Path); repo != "" && p.Err == nil {
			mapped = append(mapped, p)
		}
	}
	if err := gittest.FetchPublic(mapped...); err != nil || !c.PublicProxy {
		return err
	}
	for _, args := range [][]string{{"list", "-m", "all"}, {"mod", "download"}, {"mod", "tidy", "-diff"}, {"list", "-deps", "-test", "all"}} {
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "PWD="+dir)
		_ = cmd.Run() // what it did not get will be missed below
	}
	return nil
}

// caseWorld is what all cases share.
type caseWorld struct {
	server *corpServer
	up     *gittest.Upstream
}

// caseRun is one case being played.
type caseRun struct {
	*caseWorld
	gittest.RewriteCase
	dir  string   // the project
	home string   // of who works in it
	env  []string // for the go command
}

func (w *caseWorld) run(t *testing.T, name string, c gittest.RewriteCase) {
	u := w.up.AddCase(t, name, c)
	w.server.mirrorsOf(t, c, u.Upstreams)
	for _, files := range []map[string]string{c.In, c.Want} {
		for name, text := range files {
			files[name] = u.Text(text)
		}
	}
	c.Error = u.Text(c.Error)
	r := &caseRun{caseWorld: w, RewriteCase: c, dir: filepath.Join(t.TempDir(), "project"), home: t.TempDir()}
	r.settle(t, u)
	writeFiles(t, r.dir, c.In)
	r.vendor(t, u)
	before := r.files(t)

	args := append([]string{"rewrite", "--mode", c.Mode}, c.Args...)
	code, _, stderr := r.gitmirror(t, args...)
	if c.Error != "" {
		if code == 0 || !strings.Contains(stderr, c.Error) {
			t.Errorf("rewrite = exit code %d, %s, want a refusal that says %s", code, stderr, c.Error)
		}
		sameFiles(t, "after the refusal", r.files(t), before)
		return
	}
	if code != r.done() {
		t.Fatalf("rewrite = exit code %d, want %d\n%s", code, r.done(), stderr)
	}
	for _, warning := range c.Warnings {
		if !strings.Contains(stderr, warning) {
			t.Errorf("rewrite says %s, want %s", stderr, warning)
		}
	}
	want := maps.Clone(before)
	maps.Copy(want, c.Want)
	sameFiles(t, "rewritten", r.files(t), want)
	r.again(t, args)
	sameFiles(t, "rewritten twice", r.files(t), want)

	for _, line := range c.Verify {
		r.verify(t, line)
	}
	r.again(t, args)
	if code, _, stderr := r.gitmirror(t, append(args, "--revert")...); code != 0 {
		t.Errorf("rewrite --revert = exit code %d\n%s", code, stderr)
	}
	r.reverted(t, before)
}

// settle makes the home directory and the environment of the case.
func (r *caseRun) settle(t *testing.T, u *gittest.Universe) {
	t.Helper()
	cert := filepath.Join(r.server.dir, "cert.pem")
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	known := filepath.Join(t.TempDir(), "modules")
	r.env = []string{ // -trimpath: what was built of a module version is good for every module cache
		"PATH=" + os.Getenv("PATH"), "HOME=" + r.home, "TMPDIR=" + t.TempDir(), "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GOCACHE=" + filepath.Join(cache, "go-build"), "GOMODCACHE=" + known, "GOFLAGS=-modcacherw -trimpath", "GOTOOLCHAIN=local", "SSL_CERT_FILE=" + cert, gittest.QuickExit,
	}
	if r.PublicProxy {
		r.env = append(r.env, "GOPROXY="+publicProxy(t, u))
		noDatabase := []string{} // the one thing a directory cannot do
		for _, p := range u.Public {
			noDatabase = append(noDatabase, p.Path)
		}
		for _, line := range r.Env {
			if host, ok := strings.CutPrefix(line, "GOPRIVATE="); ok {
				noDatabase = append(noDatabase, host)
			}
		}
		r.env = append(r.env, "GONOSUMDB="+strings.Join(noDatabase, ","))
	}
	config := fmt.Sprintf("[http \"https://%s/\"]\n\tsslCAInfo = %s\n[user]\n\tname = case\n\temail = case@example.com\n", corp, cert)
	if err := os.WriteFile(filepath.Join(r.home, ".gitconfig"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, line := range r.Env {
		if strings.HasPrefix(line, "git config ") {
			r.shell(t, r.home, line)
			if strings.Contains(line, "ssh://") {
				if err := os.MkdirAll(filepath.Join(r.home, ".ssh"), 0o700); err != nil {
					t.Fatal(err)
				}
				r.server.sshFor(t, r.home)
				r.env = append(r.env, "GIT_SSH_COMMAND=ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile="+
					filepath.Join(r.home, ".ssh", "known_hosts")+" -i "+filepath.Join(r.home, ".ssh", "id_ed25519"))
			}
		}
	}
}

// publicProxy is a GOPROXY that has what was downloaded, and what is different here.
func publicProxy(t *testing.T, u *gittest.Universe) string {
	t.Helper()
	cmd := exec.Command("go", "env", "GOMODCACHE")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return "file://" + u.Proxy + ",file://" + filepath.Join(strings.TrimSpace(string(out)), "cache", "download")
}

// vendor makes the vendored sources of a case, which it does not bring.
func (r *caseRun) vendor(t *testing.T, u *gittest.Universe) {
	t.Helper()
	for name, text := range r.In {
		if filepath.Base(name) != "modules.txt" {
			continue
		}
		command := "go mod vendor"
		if strings.HasPrefix(text, "## workspace") {
			command = "go work vendor"
		}
		dir := filepath.Join(r.dir, filepath.Dir(filepath.Dir(name)))
		r.shell(t, dir, "GOPROXY=https://"+corp+"/proxy,"+publicProxy(t, u)+" GONOSUMDB=* GOMODCACHE="+t.TempDir()+" "+command)
		made, err := os.ReadFile(filepath.Join(r.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(made); got != strings.ReplaceAll(text, "\r\n", "\n") {
			t.Errorf("%s makes modules.txt\n%s\nthe case has\n%s", command, got, text)
		}
	}
	writeFiles(t, r.dir, r.In)
}

// again rewrites what is rewritten: there is nothing to do.
func (r *caseRun) again(t *testing.T, args []string) {
	t.Helper()
	before := r.files(t)
	if code, _, stderr := r.gitmirror(t, args...); code != r.done() {
		t.Errorf("a second rewrite = exit code %d, want %d\n%s", code, r.done(), stderr)
	}
	sameFiles(t, "after a second rewrite", r.files(t), before)
	if code, stdout, stderr := r.gitmirror(t, append(args, "--check")...); code != r.done() {
		t.Errorf("rewrite --check = exit code %d, want %d\n%s%s", code, r.done(), stdout, stderr)
	}
}

// done is the exit code when there is nothing (more) to do: 5 says that the
// mirror has nothing of what the project requires.
func (r *caseRun) done() int {
	var files []*modfile.File
	local := map[string]bool{} // main modules, and what leads to a directory
	for name, text := range r.In {
		if f, err := modfile.Parse(name, []byte(text), nil); err == nil && filepath.Base(name) == "go.mod" {
			files = append(files, f)
			local[f.Module.Mod.Path] = true
			for _, replace := range f.Replace {
				local[replace.Old.Path] = true
			}
		}
	}
	code := 0
	for _, f := range files {
		for _, m := range f.Require {
			if _, repo := r.Prefix(m.Mod.Path); repo != "" {
				return 0
			}
			if !local[m.Mod.Path] {
				code = 5
			}
		}
	}
	return code
}

// reverted looks that the bytes from before are there. What a command made
// meanwhile (go mod vendor does) stays, and must not name the mirror.
func (r *caseRun) reverted(t *testing.T, before map[string]string) {
	t.Helper()
	got := r.files(t)
	for name, text := range got {
		_, was := before[name]
		if strings.Contains(text, corp) && (filepath.Base(name) == "modules.txt" || r.Rewritten() && !strings.Contains(name, "vendor/")) {
			t.Errorf("reverted: %s names the mirror:\n%s", name, text)
		}
		if !was && strings.Contains("/"+name, "/vendor/") {
			delete(got, name)
		}
	}
	delete(got, "go.work.sum") // go work sync may make one
	want := maps.Clone(before)
	delete(want, "go.work.sum")
	if !r.Rewritten() {
		sameFiles(t, "reverted", got, want)
	}
}

// verify runs a line of the case in the project, with the settings of the case.
func (r *caseRun) verify(t *testing.T, line string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir, cmd.Env = r.dir, slices.Clone(r.env)
	for _, setting := range r.Env {
		if !strings.HasPrefix(setting, "git config ") {
			cmd.Env = append(cmd.Env, setting)
		}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", line, err, out)
	}
}

func (r *caseRun) shell(t *testing.T, dir, line string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir, cmd.Env = dir, r.env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
}

// gitmirror runs the program in the project, without the settings of the case.
func (r *caseRun) gitmirror(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command("gitmirror", args...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = r.dir, append(slices.Clone(r.env), "GITMIRROR_SERVER=https://"+corp, "GITMIRROR_TOKEN="+r.server.token), &out, &errs
	_ = cmd.Run() // the exit code says all
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// files of the project, without our own directory.
func (r *caseRun) files(t *testing.T) map[string]string {
	t.Helper()
	files, err := readTree(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(files, func(name, text string) bool {
		return strings.HasPrefix(name, ".gitmirror/") || strings.HasPrefix(text, "\x7fELF") // ours, or what go build made
	})
	return files
}

func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func sameFiles(t *testing.T, when string, got, want map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			t.Errorf("%s: %s =\n%s\nwant\n%s", when, name, got[name], want[name])
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: unexpected file %s", when, name)
		}
	}
}
