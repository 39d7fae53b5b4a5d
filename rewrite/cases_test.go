package rewrite_test

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

// rewriteCase is a project before and after, proven with the real go command;
// the header, sections and rules are those of the files themselves.
type rewriteCase struct {
	mode    rewrite.Mode
	form    mirror.Form
	scope   rewrite.Scope
	trust   bool
	dirs    []string
	sealed  bool
	mapping map[string]string
	in      map[string]string
	want    map[string]string // only what differs
	env     []string
	fails   string
	warns   []string
}

func readCase(t *testing.T, name string) rewriteCase {
	t.Helper()
	a, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	c := rewriteCase{mapping: map[string]string{}, in: map[string]string{}, want: map[string]string{}}
	noEOL := ""
	for line := range strings.Lines(string(a.Comment)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "mode":
			c.mode = rewrite.Mode(value)
		case "public-proxy":
			c.sealed = value == "no"
		case "note":
			noEOL = strings.TrimSuffix(strings.TrimPrefix(value, "in/"), " has no final newline")
		}
	}
	for _, f := range a.Files {
		text := string(f.Data)
		switch {
		case f.Name == "mapping":
			for line := range strings.Lines(text) {
				prefix, repo, _ := strings.Cut(strings.TrimSpace(line), " ")
				c.mapping[prefix] = repo
			}
		case f.Name == "args":
			c.args(t, strings.Fields(text))
		case f.Name == "want/env":
			c.env = strings.Split(strings.TrimSpace(text), "\n")
		case f.Name == "want/error":
			c.fails = strings.TrimSpace(text)
		case f.Name == "want/warnings":
			c.warns = strings.Split(strings.TrimSpace(text), "\n")
		case strings.HasPrefix(f.Name, "in/"):
			c.in[strings.TrimPrefix(f.Name, "in/")] = text
		case strings.HasPrefix(f.Name, "want/"):
			c.want[strings.TrimPrefix(f.Name, "want/")] = text
		}
	}
	if noEOL != "" {
		c.in[noEOL] = strings.TrimSuffix(c.in[noEOL], "\n")
	}
	return c
}

// args are further flags and arguments of the command line.
func (c *rewriteCase) args(t *testing.T, args []string) {
	t.Helper()
	flags := flag.NewFlagSet("args", flag.ContinueOnError)
	flags.StringVar((*string)(&c.form), "form", "", "")
	flags.StringVar((*string)(&c.scope), "scope", "", "")
	flags.StringVar((*string)(&c.mode), "mode", string(c.mode), "")
	flags.BoolVar(&c.trust, "trust-mirror", false, "")
	for len(args) > 0 {
		if err := flags.Parse(args); err != nil {
			t.Fatal(err)
		}
		if args = flags.Args(); len(args) > 0 {
			c.dirs, args = append(c.dirs, args[0]), args[1:]
		}
	}
	if c.form == "auto" {
		c.form = ""
	}
}

// TestCases runs every case of a folder: GITMIRROR_REWRITE_CASES, else the one
// beside the repository, else our copy of that; and those of our own. The
// modules are whatever the module proxy of the environment has, under the
// mapping of the case.
func TestCases(t *testing.T) {
	known := &publicModules{}
	for _, name := range append(foreignCases(t), ownCases(t)...) {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			c := readCase(t, name)
			planner := &rewrite.Planner{
				Resolver: newPublicMirror(c.mapping, known), Site: testSite, Mode: c.mode, Form: c.form, Scope: c.scope, TrustMirror: c.trust,
			}
			dir := t.TempDir()
			write(t, dir, c.in)
			root := openRoot(t, dir)

			plan, err := planner.Plan(t.Context(), root.FS(), c.dirs...)
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("Plan() error = %v, want %s", err, c.fails)
				}
				same(t, "files after the refusal", read(t, dir), c.in)
				return
			}
			if err != nil {
				t.Fatalf("Plan() error = %v", err)
			}
			if !slices.Equal(plan.Warnings, c.warns) {
				t.Errorf("Plan().Warnings = %q, want %q", plan.Warnings, c.warns)
			}
			env := rewrite.Environment{
				Site: testSite, Mode: c.mode, Form: plan.Form, Coverage: plan.Coverage, Sealed: c.sealed, SSH: c.form == mirror.DotGit,
			}
			settings, problems := env.Settings()
			var got []string
			for _, s := range settings {
				got = append(got, s.String())
			}
			if !slices.Equal(got, c.env) {
				t.Errorf("Settings() = %q, want %q", got, c.env)
			}
			for _, p := range problems {
				if p.Kind != "" {
					t.Errorf("Settings() problem = %v", p)
				}
			}

			if err := rewrite.Apply(root, plan); err != nil {
				t.Fatalf("Apply() = %v", err)
			}
			want := maps.Clone(c.in)
			maps.Copy(want, c.want)
			same(t, "rewritten files", read(t, dir), want)

			again, err := planner.Plan(t.Context(), root.FS(), c.dirs...)
			if err != nil || !again.Empty() {
				t.Errorf("second Plan() = %v, %v, want nothing to do", diffOf(again), err)
			}
			revertCase(t, root, planner, c, want)
			otherClone(t, planner, c, want)
		})
	}
}

// foreignCases are the files of the folder that GITMIRROR_REWRITE_CASES names,
// by default "../shared/cases" seen from the root of the repository, where that
// is, or the copy of it that we keep.
func foreignCases(t *testing.T) []string {
	t.Helper()
	folders := []string{"../../shared/cases", "testdata/cases"}
	if dir := os.Getenv("GITMIRROR_REWRITE_CASES"); dir != "" {
		folders = []string{dir}
		if !filepath.IsAbs(dir) { // most likely seen from the root of the repository
			folders = []string{filepath.Join("..", dir), dir}
		}
	}
	for _, dir := range folders {
		if names, err := filepath.Glob(filepath.Join(dir, "*.txtar")); err == nil && len(names) > 0 {
			return names
		}
	}
	t.Fatalf("no *.txtar in %s; set GITMIRROR_REWRITE_CASES to a folder of cases", strings.Join(folders, " or "))
	return nil
}

// ownCases are of the same kind; each was proven by running its commands.
func ownCases(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("testdata/own/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// revertCase reverts on the checkout that was rewritten.
func revertCase(t *testing.T, root *os.Root, planner *rewrite.Planner, c rewriteCase, rewritten map[string]string) {
	t.Helper()
	done, err := rewrite.Reverter{}.Revert(root)
	if err != nil {
		t.Fatalf("Revert() = %v", err)
	}
	if earlier := strings.Contains(c.in["go.mod"], "written by"); earlier {
		if got := read(t, root.Name())["go.mod"]; strings.Contains(got, testHost) {
			t.Errorf("Revert() left the mirror in go.mod:\n%s", got)
		}
		return
	}
	same(t, "reverted files", read(t, root.Name()), c.in)
	if _, err := root.Lstat(".gitmirror"); err == nil {
		t.Errorf("Revert() left .gitmirror behind")
	}
	if len(done.Notes) > 0 {
		t.Errorf("Revert().Notes = %q, want none", done.Notes)
	}
}

// otherClone rewrites and reverts a project whose record is elsewhere: there is
// nothing to do, and with the server's help all of it can be taken back.
func otherClone(t *testing.T, planner *rewrite.Planner, c rewriteCase, rewritten map[string]string) {
	t.Helper()
	if c.mode != rewrite.Replace || len(c.want) == 0 {
		return
	}
	dir := t.TempDir()
	write(t, dir, rewritten)
	root := openRoot(t, dir)
	plan, err := planner.Plan(t.Context(), root.FS(), c.dirs...)
	if err != nil || !plan.Empty() {
		t.Fatalf("Plan() on another clone = %v, %v, want nothing to do", diffOf(plan), err)
	}
	if _, err := (rewrite.Reverter{Host: testHost, Known: plan}).Revert(root); err != nil {
		t.Fatalf("Revert() on another clone = %v", err)
	}
	got := read(t, dir)
	for name, text := range got {
		if strings.Contains(text, testHost) {
			t.Errorf("Revert() on another clone left the mirror in %s:\n%s", name, text)
		}
	}
	if !strings.Contains(c.in["go.mod"], "written by") {
		if mod := c.in["go.mod"]; mod != "" { // a final newline that was added stays
			c.in["go.mod"] = strings.TrimSuffix(mod, "\n") + "\n"
		}
		same(t, "files reverted on another clone", got, c.in)
	}
}

func diffOf(p *rewrite.Plan) string {
	if p == nil {
		return "nil"
	}
	return p.Diff()
}

func same(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if text, ok := got[name]; !ok || text != want[name] {
			t.Errorf("%s: %s =\n%q\nwant\n%q\n%s", what, name, text, want[name], rewrite.Diff([]rewrite.Edit{{Name: name, Before: []byte(want[name]), After: []byte(text)}}))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: unexpected file %s", what, name)
		}
	}
}
