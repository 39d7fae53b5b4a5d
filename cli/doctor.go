package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

// finding is what one check of "doctor" found.
type finding struct {
	Check   string          `json:"check"`
	Status  string          `json:"status"` // ok, warning or failed
	Text    string          `json:"text,omitempty"`
	Problem *mirror.Problem `json:"problem,omitempty"`
}

// doctorDoc is the JSON of "doctor".
type doctorDoc struct {
	Findings []finding `json:"findings"`
	Exit     int       `json:"exit_code"`
	Reason   string    `json:"exit_reason"`
}

// doctor collects findings. It asks what the go command would ask, with its own
// hands and the user's git: neither the go command nor anything a project could
// name is run, since the project may be a stranger's.
type doctor struct {
	*program
	findings []finding
	worst    error // of the first check that failed, but hashes that differ go before

	facts   rewrite.Facts // of the project
	project *project      // nil = none here
	current map[string]string
	git     []rewrite.GitSetting
	byGit   bool // a replacement is fetched by git
}

func (d *doctor) ok(check, format string, args ...any) {
	d.findings = append(d.findings, finding{Check: check, Status: "ok", Text: fmt.Sprintf(format, args...)})
}

func (d *doctor) warn(check string, problem *mirror.Problem) {
	d.findings = append(d.findings, finding{Check: check, Status: "warning", Problem: problem})
}

func (d *doctor) fail(check string, err error) {
	d.findings = append(d.findings, finding{Check: check, Status: "failed", Problem: explain(err)})
	if d.worst == nil || errors.Is(err, mirror.ErrIntegrity) && !errors.Is(d.worst, mirror.ErrIntegrity) {
		d.worst = err
	}
}

// found tells whether a check has found something wrong since there were so
// many findings.
func (d *doctor) found(since int) bool { return len(d.findings) > since }

// step says on a terminal what is going on.
func (d *doctor) step(format string, args ...any) {
	if d.progress() {
		fmt.Fprintf(d.stderr, "\r\033[K"+format, args...)
	}
}

func (p *program) doctorCommand() *cobra.Command {
	var said string
	var within time.Duration
	cmd := p.withJSON(&cobra.Command{
		Use: "doctor [DIR]", Short: "Look for what keeps builds from using the mirror", Args: args(0, 1),
		Long: "Look for what keeps builds from using the mirror: this machine's go, git and settings,\n" +
			"the server, and in a project whether each replacement could be fetched. Each finding says\n" +
			"what is wrong, why, and what to do. Nothing of the project is run, and nothing is changed.\n" +
			"--explain reads what a failed go or git command printed and says what it means.",
		Example: "  gitmirror doctor\n" +
			"  go build ./... 2>&1 | gitmirror doctor --explain -",
		RunE: func(cmd *cobra.Command, args []string) error {
			d := &doctor{program: p, findings: []finding{}}
			if said != "" {
				return d.explainFile(said)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), within)
			defer cancel()
			d.examine(ctx, args)
			if d.project != nil {
				d.project.Close()
			}
			if d.progress() {
				fmt.Fprint(d.stderr, "\r\033[K")
			}
			if cmd.Context().Err() != nil {
				return errInterrupted
			}
			return d.tellAll()
		},
	})
	cmd.Flags().StringVar(&said, "explain", "", "explain what go or git printed into this file (- = standard input)")
	cmd.Flags().DurationVar(&within, "timeout", 2*time.Minute, "longest time it may take")
	p.withServer(cmd)
	return cmd
}

// tellAll prints the findings; the error has the exit code of the worst.
func (d *doctor) tellAll() error {
	doc := doctorDoc{Findings: d.findings}
	doc.Exit, doc.Reason = exitCode(d.worst)
	if d.json {
		if err := d.emit(doc); err != nil {
			return err
		}
	} else {
		d.print()
	}
	if d.worst != nil {
		return silent{d.worst}
	}
	return nil
}

func (d *doctor) print() {
	for _, f := range d.findings {
		mark := map[string]string{"ok": "ok  ", "warning": "warn", "failed": "FAIL"}[f.Status]
		text := f.Text
		if f.Problem != nil {
			text = f.Problem.Error()
		}
		fmt.Fprintf(d.stdout, "%s  %-9s %s\n", mark, f.Check, printable(text))
		if f.Problem != nil && f.Problem.Do != "" {
			fmt.Fprintf(d.stdout, "                do: %s\n", printable(f.Problem.Do))
		}
	}
}

// examine makes all checks, in the order in which one explains the next.
func (d *doctor) examine(ctx context.Context, args []string) {
	d.current = d.goSettings()
	d.step("settings")
	d.git = d.gitSettings(ctx)
	d.openFacts(args)
	d.examineGit(ctx)
	d.examineGo()
	d.step("server")
	c, site := d.examineServer(ctx)
	if d.project != nil {
		if facts, err := rewrite.Inspect(d.project.FS(), site.Root(), d.project.dirs...); err == nil {
			d.facts = facts // now that the mirror is known
		}
	}
	d.examineSettings(site)
	if d.project == nil {
		return
	}
	if len(d.facts.Replaced) > 0 {
		d.examineEnvironment(d.environment(site))
	}
	d.examineModules(ctx, d.facts.Replaced)
	d.examineProxy(ctx, site)
	d.examineRedirected(ctx, site)
	d.examineFilters()
	d.examineFiles()
	if c != nil {
		d.examinePlan(ctx)
	}
}

// openFacts reads the project, if there is one.
func (d *doctor) openFacts(args []string) {
	pr, err := d.openProject(args)
	if errors.Is(err, mirror.ErrNotFound) && len(args) == 0 {
		d.ok("project", "none here")
		return
	}
	if err == nil {
		d.facts, err = rewrite.Inspect(pr.FS(), "", pr.dirs...)
		if err != nil {
			pr.Close()
		}
	}
	if err != nil {
		d.fail("project", err)
		return
	}
	d.project = pr
}

// explainFile explains what go or git printed into a file.
func (d *doctor) explainFile(name string) error {
	in := d.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return &mirror.Problem{Code: codeUsage, Kind: mirror.ErrNotFound, What: name + " cannot be read", Why: err.Error(), Do: "name a file, or - for standard input"}
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, 16<<20))
	if err != nil {
		return err
	}
	const most = 256 << 10 // the end of a log tells why it ended
	text = text[max(0, len(text)-most):]
	d.findings = append(d.findings, explainText(string(text))...)
	if len(d.findings) == 0 {
		return &mirror.Problem{Code: codeGoBuild, Kind: mirror.ErrNotFound, What: "nothing in it is known to come from a mirror", Do: "run \"gitmirror doctor\" in the project"}
	}
	return d.tellAll()
}
