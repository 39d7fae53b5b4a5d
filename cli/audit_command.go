package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// auditCommand is about the trail of who did what.
func (p *program) auditCommand() *cobra.Command {
	g := p.group("audit", "See who did what, and prove that nothing was changed afterwards",
		p.auditList(), p.auditExport(), p.auditVerify())
	p.withServer(g)
	return g
}

// auditFilter are the flags that select entries.
type auditFilter struct{ actor, action, object, outcome, since, until string }

func (f *auditFilter) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.actor, "actor", "", "only what this user did (\"-\": nobody who signed in, and the server)")
	cmd.Flags().StringVar(&f.action, "action", "", "only this action, such as edit-mirror")
	cmd.Flags().StringVar(&f.object, "object", "", "only what was done to something with this in its name")
	cmd.Flags().StringVar(&f.outcome, "outcome", "", "only done, refused or failed")
	cmd.Flags().StringVar(&f.since, "since", "", "not before: 2006-01-02, RFC 3339, or how long ago (24h, 7d)")
	cmd.Flags().StringVar(&f.until, "until", "", "before that time")
}

func (f *auditFilter) values() (url.Values, error) {
	q := url.Values{}
	for name, value := range map[string]string{"actor": f.actor, "action": f.action, "object": f.object, "outcome": f.outcome} {
		if value != "" {
			q.Set(name, value)
		}
	}
	for name, text := range map[string]string{"since": f.since, "until": f.until} {
		if text == "" {
			continue
		}
		at, err := moment(text, time.Now())
		if err != nil {
			return nil, wrongUsage(fmt.Sprintf("--%s %q is no time", name, text), "give a date (2006-01-02), a time (2006-01-02T15:04:05Z) or how long ago (24h, 7d)")
		}
		q.Set(name, at.UTC().Format(time.RFC3339))
	}
	return q, nil
}

// moment reads a time as people type it.
func moment(text string, now time.Time) (time.Time, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil {
		return now.Add(-ago), nil
	}
	if day, err := time.ParseInLocation(time.DateOnly, text, time.Local); err == nil {
		return day, nil
	}
	return time.Parse(time.RFC3339, text)
}

func (p *program) auditList() *cobra.Command {
	var f auditFilter
	limit := 50
	cmd := p.withJSON(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List what was done, newest first", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := f.values()
			if err != nil {
				return err
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			all, err := pagesOf[web.AuditEntry](cmd.Context(), c, "/audit", q, limit)
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(all)
			}
			rows := make([]row, len(all))
			for i, e := range all {
				who := e.Actor
				if who == "" {
					who = "–"
				}
				rows[i] = row{strconv.FormatInt(e.Seq, 10), e.At.Local().Format(time.DateTime), who, e.Action, string(e.Outcome), strings.Join(e.Objects, ", "), changesText(e.Changes), e.Addr}
			}
			p.table("nothing was done that this selects", row{"SEQ", "WHEN", "WHO", "ACTION", "OUTCOME", "OBJECT", "CHANGES", "FROM"}, rows)
			return nil
		},
	})
	f.flags(cmd)
	cmd.Flags().IntVar(&limit, "limit", limit, "at most so many")
	return cmd
}

func changesText(list []web.AuditChange) string {
	words := make([]string, len(list))
	for i, c := range list {
		words[i] = c.Field + ": " + c.Before + " → " + c.After
		if c.Before == "" {
			words[i] = c.Field + ": " + c.After
		}
	}
	if len(words) > 3 {
		words = append(words[:3], fmt.Sprintf("and %d more", len(words)-3))
	}
	return strings.Join(words, "; ")
}

func (p *program) auditExport() *cobra.Command {
	var f auditFilter
	format := "jsonl"
	cmd := &cobra.Command{
		Use: "export", Short: "Write the trail to stdout, oldest first", Args: args(0, 0),
		Long: "Write the trail to stdout, oldest first, as JSON lines or CSV. JSON lines without a filter\n" +
			"can be checked later, and elsewhere: gitmirror audit verify FILE.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := f.values()
			if err != nil {
				return err
			}
			q.Set("format", format)
			c, err := p.client()
			if err != nil {
				return err
			}
			resp, err := c.send(cmd.Context(), http.MethodGet, api+"/audit/export?"+q.Encode(), nil, "*/*")
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if _, err := io.Copy(p.stdout, resp.Body); err != nil {
				return c.unreachable(cmd.Context(), err)
			}
			return nil
		},
	}
	f.flags(cmd)
	cmd.Flags().StringVar(&format, "format", format, "jsonl or csv")
	return cmd
}

func (p *program) auditVerify() *cobra.Command {
	noted := ""
	cmd := p.withJSON(&cobra.Command{
		Use: "verify [FILE]", Short: "Check that no entry was changed, removed or put in", Args: args(0, 1),
		Long: "Read the whole trail, on the server or in a file that \"audit export\" wrote (\"-\" is stdin),\n" +
			"and check that each entry follows from the one before. Exit status 9 says that it does not.\n\n" +
			"Who can write to the database could write the whole trail anew. Keep the end that this\n" +
			"prints somewhere else, and give it as --noted the next time: it must be on the way.",
		RunE: func(cmd *cobra.Command, args []string) error {
			kept, err := notedEnd(noted)
			if err != nil {
				return err
			}
			var v web.AuditVerdict
			if len(args) == 1 {
				v, err = p.verifyFile(args[0], kept)
			} else {
				v, err = p.verifyServer(cmd, kept)
			}
			if err != nil {
				return err
			}
			if p.json {
				if err := p.emit(v); err != nil {
					return err
				}
			}
			if !v.Intact {
				if v.Problem != nil {
					return v.Problem
				}
				return &mirror.Problem{Kind: mirror.ErrIntegrity, What: "the audit trail is broken"}
			}
			if !p.json {
				p.facts([2]string{"intact", fmt.Sprintf("yes, %s", count(int(v.Entries), "entry", "entries"))}, [2]string{"end", fmt.Sprintf("%d:%s", v.Entries, v.Hash)})
			}
			return nil
		},
	})
	cmd.Flags().StringVar(&noted, "noted", "", "an end that was printed earlier, NUMBER:HASH")
	return cmd
}

func notedEnd(text string) (auth.Chain, error) {
	if text == "" {
		return auth.Chain{}, nil
	}
	number, hash, ok := strings.Cut(text, ":")
	n, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || n < 1 || len(hash) != 64 {
		return auth.Chain{}, wrongUsage("--noted is not NUMBER:HASH", "copy it from what \"gitmirror audit verify\" printed")
	}
	return auth.Chain{Seq: n, Hash: hash}, nil
}

func (p *program) verifyServer(cmd *cobra.Command, kept auth.Chain) (web.AuditVerdict, error) {
	c, err := p.client()
	if err != nil {
		return web.AuditVerdict{}, err
	}
	path := api + "/audit/verify"
	if kept.Seq > 0 {
		path += "?" + url.Values{"entries": {strconv.FormatInt(kept.Seq, 10)}, "hash": {kept.Hash}}.Encode()
	}
	var v web.AuditVerdict
	err = c.exchange(cmd.Context(), http.MethodGet, path, nil, &v)
	return v, err
}

// verifyFile checks an export of the whole trail; kept must be in it.
func (p *program) verifyFile(name string, kept auth.Chain) (web.AuditVerdict, error) {
	in := p.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return web.AuditVerdict{}, &mirror.Problem{Kind: mirror.ErrNotFound, What: "the export cannot be read", Why: err.Error()}
		}
		defer f.Close()
		in = f
	}
	var chain auth.Chain
	met := kept.Seq == 0
	d := json.NewDecoder(bufio.NewReader(in))
	for n := int64(1); ; n++ {
		var l web.AuditLine
		err := d.Decode(&l)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return web.AuditVerdict{}, &mirror.Problem{Kind: mirror.ErrInvalid, What: fmt.Sprintf("line %d is not one of an export as JSON lines", n), Why: err.Error()}
		}
		if err := chain.Next(auth.AuditRecord{Seq: l.Seq, Hash: l.Hash, Entry: l.Entry}); err != nil {
			return web.AuditVerdict{Entries: chain.Seq, Hash: chain.Hash, Problem: mirror.AsProblem(err)}, nil
		}
		if chain == kept {
			met = true
		}
	}
	v := web.AuditVerdict{Intact: met, Entries: chain.Seq, Hash: chain.Hash}
	if !met {
		v.Problem = &mirror.Problem{Code: "E5201", Kind: mirror.ErrIntegrity, What: "the end that was noted is not in the export", Do: "export the whole trail; if it is the whole, it was written anew"}
	}
	return v, nil
}
