package cli

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// previewAtOnce is how many one request asks about: few enough that hosts which
// do not answer leave it time, and that progress can be shown.
const previewAtOnce = 100

// previewDoc is the JSON of "mirror add --dry-run".
type previewDoc struct {
	web.MirrorsPreview
	// Rules would be added; with --discover what they would add is among the items.
	Rules  []string `json:"rules,omitempty"`
	Exit   int      `json:"exit_code"`
	Reason string   `json:"exit_reason"`
}

// previewAdd tells what adding the list would do, a repository at a time.
func (p *program) previewAdd(ctx context.Context, c *client, list []named, options web.NewMirror, discover *web.RuleDiscovery) error {
	doc := previewDoc{MirrorsPreview: web.MirrorsPreview{Items: []web.PlannedMirror{}}}
	seen := map[string]int{}
	for _, n := range list {
		if !n.pattern() {
			continue
		}
		doc.Rules = append(doc.Rules, n.text)
		if discover == nil {
			continue
		}
		rule := web.Rule{Pattern: n.text, Credential: options.Credential, Private: options.Private, Discover: discover}
		var got web.MirrorsPreview
		if err := c.exchange(ctx, http.MethodPost, api+"/rules/preview", rule, &got); err != nil {
			return err
		}
		doc.take(seen, got)
	}
	list = slices.DeleteFunc(slices.Clone(list), named.pattern)
	bar := p.counting("looking up", len(list))
	defer bar.close()
	for start := 0; start < len(list); start += previewAtOnce {
		end := min(start+previewAtOnce, len(list))
		in := web.PreviewMirrors{}
		for _, n := range list[start:end] {
			one := options
			one.PathOrURL, one.Module = n.text, n.module
			in.Mirrors = append(in.Mirrors, one)
		}
		var got web.MirrorsPreview
		if err := c.exchange(ctx, http.MethodPost, api+"/mirrors/preview", in, &got); err != nil {
			return err
		}
		doc.take(seen, got)
		bar.set(end)
	}
	bar.close()
	return p.reportPreview(doc)
}

func (d *previewDoc) take(seen map[string]int, got web.MirrorsPreview) {
	d.Asked += got.Asked
	for _, item := range got.Items {
		d.merge(seen, item)
	}
}

// merge adds what one request told to what others have.
func (d *previewDoc) merge(seen map[string]int, item web.PlannedMirror) {
	key := item.Path.Key()
	if i, known := seen[key]; known && item.Path != "" {
		have := &d.Items[i]
		have.Asked = append(have.Asked, item.Asked...)
		have.Prefixes = append(have.Prefixes, item.Prefixes...)
		return
	}
	if item.Path != "" {
		seen[key] = len(d.Items)
	}
	d.Items = append(d.Items, item)
	switch item.State {
	case mirror.PlanNew:
		d.New++
	case mirror.PlanPresent:
		d.Present++
	case mirror.PlanImpossible:
		d.Impossible++
	}
}

func (p *program) reportPreview(doc previewDoc) error {
	var first error
	rows := make([]row, len(doc.Items))
	for i, item := range doc.Items {
		if err := problemOf(item.Error); err != nil && first == nil {
			first = err
		}
		from := item.Upstream
		if from == "https://"+string(item.Path) {
			from = ""
		}
		rows[i] = row{string(item.State), or(string(item.Path), "-"), or(from, "-"), strings.Join(ways(item), " ")}
	}
	doc.Exit, doc.Reason = exitCode(first)
	if p.json {
		if err := p.emit(doc); err != nil {
			return err
		}
	} else {
		p.table("nothing to add", row{"STATE", "MIRROR", "UPSTREAM", "FOR"}, rows)
		for _, item := range doc.Items {
			if item.Error != nil {
				p.tell(item.Error)
			}
		}
		for _, pattern := range doc.Rules {
			p.say("%s: its repositories would be mirrored on first use", pattern)
		}
		p.say("%s", doc.sum())
	}
	if first != nil {
		return silent{first}
	}
	return nil
}

// sum is the preview in one line: "31 asked for → 24 repositories: 18 new, 5
// present, 1 impossible; nothing was added".
func (d previewDoc) sum() string {
	return fmt.Sprintf("%d asked for → %s: %d new, %d present, %d impossible; nothing was added",
		d.Asked, count(len(d.Items), "repository", "repositories"), d.New, d.Present, d.Impossible)
}

// ways are the texts that lead to a repository, but for its own path.
func ways(item web.PlannedMirror) []string {
	const most = 4
	var out []string
	for _, text := range item.Asked {
		if text == string(item.Path) {
			continue
		}
		if len(out) == most {
			return append(out, fmt.Sprintf("and %d more", len(item.Asked)-most))
		}
		out = append(out, text)
	}
	return out
}
