package cli

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

func (p *program) mirrorCheck() *cobra.Command {
	var full, wait bool
	cmd := p.withJSON(&cobra.Command{
		Use: "check PATH", Short: "Check the copy of a mirror on the server's disk; damage is repaired", Args: args(1, 1), ValidArgsFunction: p.completeMirrors,
		Long: "Check that everything branches and tags lead to is on the server's disk. --full also reads\n" +
			"every object and compares it with its hash. What is missing or damaged is fetched from the\n" +
			"upstream again; refs that only the mirror has are kept.",
		RunE: func(cmd *cobra.Command, args []string) error {
			job := mirror.CheckJob
			if full {
				job = mirror.VerifyJob
			}
			return p.upkeep(cmd.Context(), args[0], job, wait)
		},
	})
	cmd.Flags().BoolVar(&full, "full", false, "read every object")
	cmd.Flags().BoolVar(&wait, "wait", false, "return when it has ended; exit 9 if the copy is damaged")
	return cmd
}

func (p *program) mirrorRepair() *cobra.Command {
	var wait bool
	cmd := p.withJSON(&cobra.Command{
		Use: "repair PATH", Short: "Clone a mirror anew beside the old copy, then replace that", Args: args(1, 1), ValidArgsFunction: p.completeMirrors,
		Long: "Clone the upstream again beside the copy on the server's disk, carry over the refs that only\n" +
			"the mirror has, check the result and put it in place of the old copy, which is served until\n" +
			"then. Damage that a check finds is repaired by itself; this does so whatever a check says.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.upkeep(cmd.Context(), args[0], mirror.RepairJob, wait)
		},
	})
	cmd.Flags().BoolVar(&wait, "wait", false, "return when it has ended; fail if it failed")
	return cmd
}

// upkeep asks for a job and says how it went.
func (p *program) upkeep(ctx context.Context, text string, job mirror.Job, wait bool) error {
	c, m, err := p.clientAndMirror(ctx, text)
	if err != nil {
		return err
	}
	is, err := c.startUpkeep(ctx, m.ID, job, wait)
	for wait && err == nil && is.Job != "" {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Second):
			is, err = c.upkeep(ctx, m.ID)
		}
	}
	if now, asked := c.upkeep(ctx, m.ID); wait && err != nil && asked == nil && now.Error != nil {
		is, err = now, nil // it could not be repaired: what is wrong with it says why
	}
	if err != nil {
		return err
	}
	switch {
	case p.json:
		err = p.emit(is)
	case !wait:
		p.say("asked for: %s; \"gitmirror mirror show %s\" tells how it went", job, m.Path)
	case is.Condition == mirror.Fine:
		p.say("%s is fine", m.Path)
	}
	if err == nil && wait && is.Error != nil {
		return is.Error
	}
	return err
}

// startUpkeep asks for a job; with wait it returns when that has ended, or after
// a minute.
func (c *client) startUpkeep(ctx context.Context, id mirror.ID, job mirror.Job, wait bool) (web.Upkeep, error) {
	path := api + "/mirrors/" + segment(string(id)) + "/upkeep"
	if wait {
		path += "?wait_s=60"
	}
	var is web.Upkeep
	err := c.call(ctx, http.MethodPost, path, web.StartUpkeep{Job: string(job)}, &is)
	return is, err
}

func (c *client) upkeep(ctx context.Context, id mirror.ID) (web.Upkeep, error) {
	var is web.Upkeep
	err := c.call(ctx, http.MethodGet, api+"/mirrors/"+segment(string(id))+"/upkeep", nil, &is)
	return is, err
}

// showUpkeep prints how the copy on disk is.
func (p *program) showUpkeep(is *web.Upkeep) {
	if is == nil {
		return
	}
	state := string(is.Condition)
	if is.Job != "" {
		state += fmt.Sprintf(" (%s is under way)", is.Job)
	}
	p.facts([2]string{"on disk", state}, [2]string{"tidied", ago(is.TidiedAt)}, [2]string{"checked", ago(is.CheckedAt)},
		[2]string{"verified", ago(is.VerifiedAt)})
	if is.Error != nil {
		p.facts([2]string{"damage", is.Error.Error()}, [2]string{"  do", is.Error.Do})
	}
}
