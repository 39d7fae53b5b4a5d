package rewrite_test

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

// plannerOf is the planner that the flags of a case ask for, and its directories.
func plannerOf(t *testing.T, c gittest.RewriteCase) (planner *rewrite.Planner, dirs []string) {
	t.Helper()
	planner = &rewrite.Planner{Site: testSite, Mode: rewrite.Mode(c.Mode)}
	flags := flag.NewFlagSet("args", flag.ContinueOnError)
	flags.StringVar((*string)(&planner.Form), "form", "", "")
	flags.StringVar((*string)(&planner.Scope), "scope", "", "")
	flags.StringVar((*string)(&planner.Mode), "mode", c.Mode, "")
	flags.BoolVar(&planner.TrustMirror, "trust-mirror", false, "")
	for args := c.Args; len(args) > 0; {
		if err := flags.Parse(args); err != nil {
			t.Fatal(err)
		}
		if args = flags.Args(); len(args) > 0 {
			dirs, args = append(dirs, args[0]), args[1:]
		}
	}
	if planner.Form == "auto" {
		planner.Form = ""
	}
	return planner, dirs
}

// TestCases runs every case (see gittest.CaseFiles for where they are). The
// modules are whatever the module proxy of the environment has, under the
// mapping of the case.
func TestCases(t *testing.T) {
	known := &publicModules{}
	for _, name := range gittest.CaseFiles(t, "..") {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			c := gittest.ReadCase(t, name)
			planner, dirs := plannerOf(t, c)
			planner.Resolver = newPublicMirror(c.Mapping, known)
			dir := t.TempDir()
			write(t, dir, c.In)
			root := openRoot(t, dir)

			plan, err := planner.Plan(t.Context(), root.FS(), dirs...)
			if c.Error != "" {
				if err == nil || !strings.Contains(err.Error(), c.Error) {
					t.Errorf("Plan() error = %v, want %s", err, c.Error)
				}
				same(t, "files after the refusal", read(t, dir), c.In)
				return
			}
			if err != nil {
				t.Fatalf("Plan() error = %v", err)
			}
			env := rewrite.Environment{
				Site: testSite, Mode: planner.Mode, Form: plan.Form, Coverage: plan.Coverage, Sealed: !c.PublicProxy, SSH: planner.Form == mirror.DotGit,
			}
			settings, problems := env.Settings()
			var got []string
			for _, s := range settings {
				got = append(got, s.String())
			}
			for _, p := range problems {
				if p.Kind != "" && plan.Coverage.Complete() && len(plan.Coverage.Unreachable) == 0 {
					t.Errorf("Settings() problem = %v", p)
				}
			}

			if err := rewrite.Apply(root, plan); err != nil {
				t.Fatalf("Apply() = %v", err)
			}
			if updateCase(t, name, c.In, read(t, dir), got, plan.Warnings) {
				return
			}
			if !slices.Equal(plan.Warnings, c.Warnings) {
				t.Errorf("Plan().Warnings = %q, want %q", plan.Warnings, c.Warnings)
			}
			if !slices.Equal(got, c.Env) {
				t.Errorf("Settings() = %q, want %q", got, c.Env)
			}
			want := maps.Clone(c.In)
			maps.Copy(want, c.Want)
			same(t, "rewritten files", read(t, dir), want)

			again, err := planner.Plan(t.Context(), root.FS(), dirs...)
			if err != nil || !again.Empty() {
				t.Errorf("second Plan() = %v, %v, want nothing to do", diffOf(again), err)
			}
			revertCase(t, root, c)
			otherClone(t, planner, c, want, dirs)
			editedByHand(t, planner, c, dirs)
		})
	}
}

// revertCase reverts on the checkout that was rewritten.
func revertCase(t *testing.T, root *os.Root, c gittest.RewriteCase) {
	t.Helper()
	done, err := rewrite.Reverter{}.Revert(root)
	if err != nil {
		t.Fatalf("Revert() = %v", err)
	}
	if c.Rewritten() {
		for name, got := range read(t, root.Name()) {
			if strings.Contains(got, testHost) {
				t.Errorf("Revert() left the mirror in %s:\n%s", name, got)
			}
		}
		return
	}
	same(t, "reverted files", read(t, root.Name()), c.In)
	if _, err := root.Lstat(".gitmirror"); err == nil {
		t.Errorf("Revert() left .gitmirror behind")
	}
	if len(done.Notes) > 0 {
		t.Errorf("Revert().Notes = %q, want none", done.Notes)
	}
}

// otherClone rewrites and reverts a project whose record is elsewhere: there is
// nothing to do, and with the server's help all of it can be taken back.
func otherClone(t *testing.T, planner *rewrite.Planner, c gittest.RewriteCase, rewritten map[string]string, dirs []string) {
	t.Helper()
	if c.Mode != string(rewrite.Replace) || len(c.Want) == 0 {
		return
	}
	dir := t.TempDir()
	write(t, dir, rewritten)
	root := openRoot(t, dir)
	plan, err := planner.Plan(t.Context(), root.FS(), dirs...)
	if err != nil || !plan.Empty() {
		t.Fatalf("Plan() on another clone = %v, %v, want nothing to do", diffOf(plan), err)
	}
	if _, err := (rewrite.Reverter{Host: testHost, Known: plan}).Revert(root, dirs...); err != nil {
		t.Fatalf("Revert() on another clone = %v", err)
	}
	got := read(t, dir)
	for name, text := range got {
		if strings.Contains(text, testHost) {
			t.Errorf("Revert() on another clone left the mirror in %s:\n%s", name, text)
		}
	}
	if !c.Rewritten() {
		if mod := c.In["go.mod"]; mod != "" { // a final newline that was added stays
			c.In["go.mod"] = strings.TrimSuffix(mod, "\n") + "\n"
		}
		same(t, "files reverted on another clone", got, c.In)
	}
}

// editedByHand edits each rewritten go.mod and go.work elsewhere before the
// revert, in front of ours, in the middle and behind: what is left are the
// project's bytes with these edits.
func editedByHand(t *testing.T, planner *rewrite.Planner, c gittest.RewriteCase, dirs []string) {
	t.Helper()
	if c.Mode != string(rewrite.Replace) || c.Rewritten() {
		return
	}
	dir := t.TempDir()
	write(t, dir, c.In)
	root := openRoot(t, dir)
	plan, err := planner.Plan(t.Context(), root.FS(), dirs...)
	if err != nil {
		t.Fatal(err)
	}
	if err := rewrite.Apply(root, plan); err != nil {
		t.Fatal(err)
	}
	edit := func(text string) string {
		eol := "\n"
		if strings.Contains(text, "\r\n") {
			eol = "\r\n"
		}
		text = "// by hand" + eol + text
		text = strings.Replace(text, eol+"go 1", eol+"// also by hand"+eol+"go 1", 1)
		if !strings.HasSuffix(text, eol) {
			text += eol
		}
		return text + eol + "replace example.org/by/hand => ./hand // last" + eol
	}
	want, got := maps.Clone(c.In), read(t, dir)
	for _, e := range plan.Edits {
		if base := filepath.Base(e.Name); base == "go.mod" || base == "go.work" {
			want[e.Name], got[e.Name] = edit(want[e.Name]), edit(got[e.Name])
		}
	}
	write(t, dir, got)
	if _, err := (rewrite.Reverter{}).Revert(root, dirs...); err != nil {
		t.Fatalf("Revert() after edits by hand = %v", err)
	}
	same(t, "reverted after edits by hand", read(t, dir), want)
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
			t.Errorf("%s: %s =\n%q\nwant\n%q\n%s", what, name, text, want[name], rewrite.Diff([]rewrite.Edit{{Name: name, Before: rewrite.Text(want[name]), After: rewrite.Text(text)}}))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: unexpected file %s", what, name)
		}
	}
}
