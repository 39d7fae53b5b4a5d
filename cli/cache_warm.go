package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

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
	web.ModuleWarming
	Exit   int    `json:"exit_code"`
	Reason string `json:"exit_reason,omitempty"`
}

// warmEvery is how often the server is asked how far it is.
const warmEvery = 500 * time.Millisecond

const warmings = api + "/modules/cache/warmings"

func (p *program) cacheWarm() *cobra.Command {
	var from, follow, cancel string
	var leave bool
	cmd := p.withJSON(&cobra.Command{
		Use: "warm --from FILE", Short: "Have the server fetch what a project needs", Args: args(0, 0),
		Long: "Have the server fetch, or make of its mirrors, the modules that a file names: a go.sum, a\n" +
			"go.mod, or a list with one PATH VERSION or PATH@VERSION a line, as \"go list -m all\" prints\n" +
			"it; - is standard input. What is there already is left as it is: after an interruption, run\n" +
			"it again. Rules, and what you may read, count as for the go command. The server goes on\n" +
			"when nobody waits any more.",
		Example: "  gitmirror cache warm --from go.sum\n  go list -m all | gitmirror cache warm --from - --no-wait\n  gitmirror cache warm --follow ID",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ways := 0
			for _, way := range []string{from, follow, cancel} {
				if way != "" {
					ways++
				}
			}
			if ways != 1 {
				return wrongUsage("it is not clear what to warm", "give --from go.sum, or the --follow or --cancel of a job")
			}
			var wishes []mirror.ModuleWish
			if from != "" {
				var err error
				if wishes, err = p.wishesOf(from); err != nil {
					return err
				}
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			var job web.ModuleWarming
			switch {
			case follow != "":
				err = c.call(cmd.Context(), http.MethodGet, warmings+"/"+url.PathEscape(follow), nil, &job)
			case cancel != "":
				err = c.call(cmd.Context(), http.MethodPost, warmings+"/"+url.PathEscape(cancel)+"/cancel", nil, &job)
			case len(wishes) > 0:
				err = c.call(cmd.Context(), http.MethodPost, warmings, web.StartWarming{Modules: wishes}, &job)
			default:
				job.State = mirror.WarmingDone // of nothing
			}
			if err != nil {
				return err
			}
			if !leave && cancel == "" {
				if job, err = p.followWarming(cmd.Context(), c, job); err != nil {
					return err
				}
			}
			return p.showWarming(job, cancel != "")
		},
	})
	cmd.Flags().StringVar(&from, "from", "", "go.sum, go.mod, a list, or - for standard input")
	cmd.Flags().BoolVar(&leave, "no-wait", false, "print the id of the job and let the server go on with it")
	cmd.Flags().StringVar(&follow, "follow", "", "wait for a job that was begun before")
	cmd.Flags().StringVar(&cancel, "cancel", "", "end a job; what it has fetched stays")
	return cmd
}

// showWarming says how far a job is, and fails when something of it failed.
func (p *program) showWarming(job web.ModuleWarming, asked bool) error {
	out := warmed{ModuleWarming: job}
	var failed error
	switch {
	case job.Failed > 0:
		first := job.Failures[0]
		failed = &mirror.Problem{Kind: first.Problem.Kind, What: count(job.Failed, "module version", "module versions") + " could not be had",
			Why: first.Path + "@" + first.Version + ": " + first.Problem.What, Do: "run it again when that is mended"}
	case job.State == mirror.WarmingCanceled && !asked:
		failed = &mirror.Problem{Kind: mirror.ErrBusy, What: "it was canceled, or the server ended", Do: "run it again: what is there already is left as it is"}
	}
	if failed != nil {
		out.Exit, out.Reason = exitCode(failed)
	}
	if p.json {
		if err := p.emit(out); err != nil || failed == nil {
			return err
		}
		return silent{failed}
	}
	for _, m := range job.Failures {
		p.say("%s@%s: %v", m.Path, m.Version, m.Problem)
	}
	if job.State == mirror.WarmingRuns {
		fmt.Fprintln(p.stdout, job.ID)
		p.say("the server goes on with %s; wait for it with: gitmirror cache warm --follow %s", count(job.Total, "module version", "module versions"), job.ID)
		return nil
	}
	p.say("%d kept, %d fetched, %d made of mirrors, %d failed; %s", job.Kept, job.Fetched, job.Made, job.Failed, size(job.Bytes))
	return failed
}

// followWarming waits until a job has ended, and shows how far it is.
func (p *program) followWarming(ctx context.Context, c *client, job web.ModuleWarming) (web.ModuleWarming, error) {
	if job.State != mirror.WarmingRuns {
		return job, nil
	}
	var bar *mpb.Bar
	if p.progress() {
		bars := mpb.New(mpb.WithOutput(p.stderr), mpb.WithWidth(30))
		bar = bars.AddBar(int64(job.Total), mpb.BarRemoveOnComplete(), mpb.PrependDecorators(decor.CountersNoUnit("%d of %d module versions")))
		defer bars.Wait()
		defer bar.Abort(true)
	}
	tick := time.NewTicker(warmEvery)
	defer tick.Stop()
	for reached := time.Now(); job.State == mirror.WarmingRuns; {
		select {
		case <-ctx.Done():
			p.say("the server goes on; wait for it with: gitmirror cache warm --follow %s", job.ID)
			return job, errInterrupted
		case <-tick.C:
		}
		err := c.call(ctx, http.MethodGet, warmings+"/"+url.PathEscape(job.ID), nil, &job)
		switch {
		case err == nil:
			reached = time.Now()
		case errors.Is(err, mirror.ErrUpstream) && time.Since(reached) < giveUpAfter:
			continue
		case ctx.Err() == nil:
			return job, err
		}
		if bar != nil {
			bar.SetCurrent(int64(job.Done))
		}
	}
	return job, nil
}

// wishesOf reads the module versions that a file names.
func (p *program) wishesOf(name string) ([]mirror.ModuleWish, error) {
	text, err := p.readList(name)
	if err != nil {
		return nil, err
	}
	return wishesIn(name, text)
}

// wishesOf is wishesIn for the console: problems are about what was pasted.
func wishesOf(text string) ([]mirror.ModuleWish, error) {
	all, err := wishesIn("pasted text", []byte(text))
	if err != nil {
		p := *mirror.AsProblem(err)
		p.What = strings.TrimPrefix(p.What, "--from: ")
		return nil, &p
	}
	return all, nil
}

func wishesIn(name string, text []byte) ([]mirror.ModuleWish, error) {
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
			if len(fields) < 2 {
				return nil, wrongUsage(fmt.Sprintf("--from: %s:%d: no module version", name, number), "write PATH VERSION")
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
