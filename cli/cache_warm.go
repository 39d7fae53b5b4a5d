package cli

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// warmed is what "cache warm" has done, for --json.
type warmed struct {
	Kept    int                   `json:"kept"`
	Fetched int                   `json:"fetched"`
	Made    int                   `json:"made"`
	Failed  []mirror.ModuleWarmed `json:"failed"`
	Bytes   int64                 `json:"bytes"`
	Exit    int                   `json:"exit_code"`
	Reason  string                `json:"exit_reason,omitempty"`
}

func (w *warmed) add(all []mirror.ModuleWarmed) {
	for _, m := range all {
		w.Bytes += m.Bytes
		switch m.Result {
		case mirror.WarmKept:
			w.Kept++
		case mirror.WarmFetched:
			w.Fetched++
		case mirror.WarmMade:
			w.Made++
		default:
			w.Failed = append(w.Failed, m)
		}
	}
}

// warmBatch is how many module versions are asked for in one question.
const warmBatch = 16

func (p *program) cacheWarm() *cobra.Command {
	var from string
	cmd := p.withJSON(&cobra.Command{
		Use: "warm --from FILE", Short: "Have the server fetch what a project needs", Args: args(0, 0),
		Long: "Have the server fetch, or make of its mirrors, the modules that a file names: a go.sum, a\n" +
			"go.mod, or a list with one PATH VERSION or PATH@VERSION a line, as \"go list -m all\" prints\n" +
			"it; - is standard input. What is there already is left as it is: after an interruption, run\n" +
			"it again. Rules, and what you may read, count as for the go command.",
		Example: "  gitmirror cache warm --from go.sum\n  go list -m all | gitmirror cache warm --from -",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from == "" {
				return wrongUsage("it is not clear what to warm", "give --from go.sum")
			}
			wishes, err := p.wishesOf(from)
			if err != nil {
				return err
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			done, err := p.warm(cmd.Context(), c, wishes)
			if err != nil {
				return err
			}
			n := len(done.Failed)
			var failed error
			if n > 0 {
				first := done.Failed[0]
				failed = &mirror.Problem{Kind: first.Problem.Kind, What: count(n, "module version", "module versions") + " could not be had",
					Why: first.Path + "@" + first.Version + ": " + first.Problem.What, Do: "run it again when that is mended"}
				done.Exit, done.Reason = exitCode(failed)
			}
			if p.json {
				if err := p.emit(done); err != nil || n == 0 {
					return err
				}
				return silent{failed}
			}
			for _, m := range done.Failed {
				p.say("%s@%s: %v", m.Path, m.Version, m.Problem)
			}
			p.say("%d kept, %d fetched, %d made of mirrors, %d failed; %s", done.Kept, done.Fetched, done.Made, n, size(done.Bytes))
			return failed
		},
	})
	cmd.Flags().StringVar(&from, "from", "", "go.sum, go.mod, a list, or - for standard input")
	return cmd
}

// warm asks for batch after batch, and shows how far it is.
func (p *program) warm(ctx context.Context, c *client, wishes []mirror.ModuleWish) (warmed, error) {
	done := warmed{Failed: []mirror.ModuleWarmed{}}
	var bar *mpb.Bar
	if p.progress() && len(wishes) > 0 {
		bars := mpb.New(mpb.WithOutput(p.stderr), mpb.WithWidth(30))
		bar = bars.AddBar(int64(len(wishes)), mpb.BarRemoveOnComplete(), mpb.PrependDecorators(decor.CountersNoUnit("%d of %d module versions")))
		defer bars.Wait()
		defer bar.Abort(true)
	}
	for batch := range slices.Chunk(wishes, warmBatch) {
		var out web.WarmedModules
		if err := c.call(ctx, http.MethodPost, api+"/modules/cache/warm", web.WarmModules{Modules: batch}, &out); err != nil {
			return done, err
		}
		done.add(out.Items)
		if bar != nil {
			bar.IncrBy(len(batch))
		}
	}
	return done, nil
}

// wishesOf reads the module versions that a file names.
func (p *program) wishesOf(name string) ([]mirror.ModuleWish, error) {
	text, err := p.readList(name)
	if err != nil {
		return nil, err
	}
	var all []mirror.ModuleWish
	kind := listKind(name, text)
	switch kind {
	case "go.work":
		return nil, wrongUsage("--from: a go.work names no versions", "give the go.sum beside it")
	case "go.mod":
		f, err := modfile.Parse(name, text, nil)
		if err != nil {
			return nil, wrongUsage("--from: "+clipped(err.Error()), "mend go.mod; \"go mod tidy\" tells more")
		}
		for _, r := range f.Require {
			all = append(all, mirror.ModuleWish{Path: r.Mod.Path, Version: r.Mod.Version})
		}
		for _, r := range f.Replace {
			if r.New.Version != "" {
				all = append(all, mirror.ModuleWish{Path: r.New.Path, Version: r.New.Version})
			}
		}
	default:
		number := 0
		for line := range strings.Lines(string(text)) {
			number++
			line, _, _ = strings.Cut(line, " #")
			line, _, _ = strings.Cut(strings.TrimSpace(line), "//")
			fields := strings.Fields(strings.Replace(line, "@", " ", 1))
			if len(fields) == 0 || strings.HasPrefix(fields[0], "#") || len(fields) == 1 && kind == "list" {
				continue // the main module of "go list -m all" has no version
			}
			if len(fields) == 5 && fields[2] == "=>" {
				fields = fields[3:] // replaced
			}
			version, gomod := fields[1], false
			if kind == "go.sum" {
				version, gomod = strings.CutSuffix(version, "/go.mod")
			}
			if !semver.IsValid(version) || len(line) > maxLine {
				return nil, wrongUsage(fmt.Sprintf("--from: %s:%d: no module version", name, number), "write PATH VERSION")
			}
			all = append(all, mirror.ModuleWish{Path: fields[0], Version: version, GoMod: gomod})
		}
	}
	return oneEach(all), nil
}

// oneEach drops repetitions, and the go.mod of what is wanted whole.
func oneEach(all []mirror.ModuleWish) []mirror.ModuleWish {
	whole := map[module.Version]bool{}
	for _, w := range all {
		if !w.GoMod {
			whole[module.Version{Path: w.Path, Version: w.Version}] = true
		}
	}
	seen := map[module.Version]bool{}
	return slices.DeleteFunc(all, func(w mirror.ModuleWish) bool {
		m := module.Version{Path: w.Path, Version: w.Version}
		again := seen[m] || w.GoMod && whole[m]
		seen[m] = seen[m] || !again
		return again
	})
}
