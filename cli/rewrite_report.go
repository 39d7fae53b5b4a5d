package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/semver"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

// rewriteDoc is the JSON of "rewrite".
type rewriteDoc struct {
	*rewrite.Plan
	// Proofs counts the modules that are replaced by how they were proven.
	Proofs map[rewrite.Proof]int `json:"proofs"`
	Diff   string                `json:"diff,omitempty"` // with --check and --diff
	// Fix is the command that makes the changes of Diff.
	Fix      string            `json:"fix,omitempty"`
	Added    []*asked          `json:"added,omitempty"` // with --add-missing, as "mirror add" has them
	Applied  bool              `json:"applied"`
	Settings []rewrite.Setting `json:"settings"` // what must be set where the go command runs
	Advice   []*mirror.Problem `json:"advice,omitempty"`
	Exit     int               `json:"exit_code"`
	Reason   string            `json:"exit_reason"`
}

// leftBehind is the error of a plan that leaves modules out which it should not:
// all of them, those that --add-missing was to bring, or any at all for a client
// that is to ask nobody but the mirror. Otherwise a module that is not mirrored is
// found where it always was, and the rest uses the mirror.
func leftBehind(plan *rewrite.Plan, f *rewriteFlags) error {
	c := plan.Coverage
	switch {
	case c.Complete():
		return nil
	case f.sealed, len(c.Missing) == len(plan.Modules):
		return silent{mirror.ErrNotFound}
	case !f.addMissing:
		return nil
	}
	built := map[string]string{} // versions of required modules: of several the newest counts
	for _, m := range plan.Modules {
		if m.Direct && semver.Compare(m.Version, built[m.Path]) > 0 {
			built[m.Path] = m.Version
		}
	}
	for _, m := range c.Missing {
		if built[m.Path] == m.Version {
			return silent{mirror.ErrNotFound}
		}
	}
	return nil
}

// rerun is the command that does what --check found to do.
func rerun(cmd *cobra.Command, args []string) string {
	words := []string{"gitmirror", "rewrite"}
	for _, name := range []string{"mode", "form", "scope"} {
		if flag := cmd.Flags().Lookup(name); flag.Changed {
			words = append(words, "--"+name, flag.Value.String())
		}
	}
	if cmd.Flags().Changed("trust-mirror") {
		words = append(words, "--trust-mirror")
	}
	return strings.Join(append(words, args...), " ")
}

// tellPlan prints a plan for people: with a diff that and nothing else on stdout.
func (p *program) tellPlan(doc rewriteDoc, f *rewriteFlags, where string) {
	onlyDiff := f.check || f.diff
	if onlyDiff {
		fmt.Fprint(p.stdout, doc.Diff)
	} else {
		p.table("the project uses no modules", row{"MODULE", "REPLACED BY", "PROVEN BY"}, moduleRows(doc.Modules))
	}
	for _, w := range doc.Warnings {
		p.say("warning: %s", printable(w))
	}
	if doc.Coverage.Modules > 0 {
		p.say("%s", printable(doc.Coverage.String()))
	}
	if !doc.Coverage.Complete() && !f.addMissing {
		p.say("both at once: %s", words("gitmirror rewrite --add-missing", where))
	}
	none := len(doc.Modules) > 0 && !slices.ContainsFunc(doc.Modules, func(m rewrite.Module) bool { return m.Replacement.Path != "" })
	switch replace := doc.Mode == rewrite.Replace; {
	case none && doc.Empty() && replace:
		p.say("nothing was changed: the mirror has none of the modules")
		return
	case doc.Empty() && replace && onlyDiff:
		p.say("nothing to do")
	case doc.Empty() && replace:
		p.say("nothing to do; the project uses the mirror already")
	case doc.Applied:
		p.tellWritten(doc)
	}
	if !onlyDiff || !doc.Empty() {
		p.tellProofs(doc)
	}
	if len(doc.Settings) > 0 && !onlyDiff {
		p.say("\nwhere the go command runs, set (or run: eval \"$(gitmirror env)\"):")
		for _, s := range doc.Settings {
			p.say("  %s", printable(s.String()))
		}
	}
	p.advise(doc.Advice)
	switch {
	case doc.Applied:
		p.say("\nnext: build and commit it; in CI: %s; back to before: %s", words("gitmirror rewrite --check", where), words("gitmirror rewrite --revert", where))
	case f.check && !doc.Empty():
		p.say("the project does not use the mirror as it should; run: %s", doc.Fix)
	}
}

// maxWritten is how many files are named one by one.
const maxWritten = 20

func (p *program) tellWritten(doc rewriteDoc) {
	for i, e := range doc.Edits {
		if i == maxWritten {
			p.say("… and %s (--json has all)", count(len(doc.Edits)-i, "more file", "more files"))
			break
		}
		p.say("wrote %s", printable(e.Name))
	}
}

// tellProofs sums up why the hashes may be believed.
func (p *program) tellProofs(doc rewriteDoc) {
	var parts []string
	for _, proof := range []struct {
		by   rewrite.Proof
		text string
	}{
		{rewrite.BySum, "by go.sum"},
		{rewrite.ByDatabase, "by the checksum database " + doc.Database},
		{rewrite.ByTrust, "by nothing but your word (--trust-mirror)"},
		{rewrite.Unused, "need no proof: their content is not used"},
	} {
		if n := doc.Proofs[proof.by]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, proof.text))
		}
	}
	if len(parts) > 0 {
		p.say("proven: %s", strings.Join(parts, ", "))
	}
}

// moduleRows say of each module where it comes from and how that was proven.
func moduleRows(modules []rewrite.Module) []row {
	rows := make([]row, 0, len(modules))
	for _, m := range modules {
		to, proof := "-", "not mirrored"
		switch {
		case m.Replacement.Path != "":
			to, proof = m.Replacement.String(), string(m.Proof)
		case m.Problem == nil:
			proof = "as before"
		case m.Repo != "" && errors.Is(m.Problem, mirror.ErrNotFound):
			proof = "version not mirrored"
		case !errors.Is(m.Problem, mirror.ErrNotFound):
			proof = m.Problem.Error()
		}
		rows = append(rows, row{m.Path + "@" + m.Version, to, proof})
	}
	return rows
}

func (p *program) advise(advice []*mirror.Problem) {
	for _, a := range advice {
		if !p.quiet && !p.json {
			p.tell(a)
		}
	}
}
