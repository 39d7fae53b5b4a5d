package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

const refsAPage = 100

// refsPage is the refs of a mirror: by kind, by name, a page at a time.
type refsPage struct {
	page
	ID     mirror.ID
	Path   mirror.Path
	Served bool
	Kinds  []link
	Kind   string
	Search string
	Refs   []refRow
	Found  int
	Next   string // URL of the next page; empty = this is the last
	First  string // URL of the first page; empty = this is it
	Head   string // full name
}

// refRow is a ref of any kind.
type refRow struct {
	Name    string // short
	Full    string
	Commit  string
	At      time.Time // of the commit; zero = not read
	IsHead  bool
	Ours    bool
	Why     string    // of a kept or held one
	Kept    time.Time // of a kept one
	Compare string    // URL of the difference to what is served; empty = there is none
}

// refSet is a kind of refs, in the order of the page.
type refSet struct {
	name string
	has  func(mirror.Ref) bool
}

func refSets() []refSet {
	under := func(prefix string) func(mirror.Ref) bool {
		return func(r mirror.Ref) bool { return strings.HasPrefix(r.Name, prefix) }
	}
	return []refSet{
		{"branch", under("refs/heads/")}, {"tag", under("refs/tags/")},
		{"other", func(r mirror.Ref) bool {
			return !strings.HasPrefix(r.Name, "refs/heads/") && !strings.HasPrefix(r.Name, "refs/tags/") && !strings.HasPrefix(r.Name, "refs/gitmirror/")
		}},
		{"kept", under(mirror.KeptPrefix)}, {"held", under(mirror.HeldPrefix)},
	}
}

func (w *words) refSet(name string) string {
	switch name {
	case "branch":
		return w.t("Branches")
	case "tag":
		return w.t("Tags")
	case "other":
		return w.t("Others")
	case "kept":
		return w.t("Kept")
	}
	return w.t("Held")
}

func (c *console) refs(g *gin.Context) error {
	repo, err := c.repo(g)
	if err != nil {
		return err
	}
	ctx, w := g.Request.Context(), c.words(g)
	p, err := c.page(g, w.t("Branches and tags of {1}", string(repo.Path)), "/mirrors")
	if err != nil {
		return err
	}
	data := refsPage{page: p, ID: repo.ID, Path: repo.Path, Served: true, Search: strings.TrimSpace(g.Query("q"))}
	listing, err := c.Reader.Refs(ctx, repo.ID)
	if errors.Is(err, mirror.ErrNotFound) {
		data.Served = false
		return c.render(g, http.StatusOK, "refs", data)
	}
	if err != nil {
		return err
	}
	data.Head = listing.Head
	sets := refSets()
	set := sets[0]
	counts := map[string]int{}
	for _, s := range sets {
		if s.name == g.Query("kind") {
			set = s
		}
	}
	for _, r := range listing.Refs {
		for _, s := range sets {
			if s.has(r) {
				counts[s.name]++
				break
			}
		}
	}
	data.Kind = set.name
	at := "/mirrors/" + string(repo.ID) + "/refs?"
	for _, s := range sets {
		if counts[s.name] > 0 || s.name == set.name || s.name == "branch" || s.name == "tag" {
			q := url.Values{"kind": {s.name}}
			if data.Search != "" {
				q.Set("q", data.Search)
			}
			data.Kinds = append(data.Kinds, link{Name: w.refSet(s.name), URL: at + q.Encode(), Here: s.name == set.name, Count: counts[s.name]})
		}
	}
	rows := pickRefs(listing, set, data.Search)
	data.Found = len(rows)
	if after := g.Query("after"); after != "" {
		rows = behind(rows, after, set.name == "kept")
		data.First = at + url.Values{"kind": {set.name}, "q": {data.Search}}.Encode()
	}
	if len(rows) > refsAPage {
		rows = rows[:refsAPage]
		data.Next = at + url.Values{"kind": {set.name}, "q": {data.Search}, "after": {rows[refsAPage-1].Name}}.Encode()
	}
	for _, r := range rows {
		row, err := c.refRow(ctx, w, repo.ID, listing, r)
		if err != nil {
			return err
		}
		data.Refs = append(data.Refs, row)
	}
	return c.render(g, http.StatusOK, "refs", data)
}

// pickRefs are the refs of a set whose name holds the text, or whose commit begins
// with it; by name, kept ones the newest first.
func pickRefs(l mirror.Listing, set refSet, search string) []mirror.Ref {
	search = strings.ToLower(search)
	var out []mirror.Ref
	for _, r := range l.Refs {
		if set.has(r) && (search == "" || strings.Contains(strings.ToLower(r.Name), search) || len(search) >= 7 && (strings.HasPrefix(r.Commit(), search) || strings.HasPrefix(r.Hash, search))) {
			out = append(out, r)
		}
	}
	if set.name == "kept" {
		for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
			out[i], out[j] = out[j], out[i]
		}
	}
	return out
}

// behind are the refs that follow a name, whether it is there still or not.
func behind(refs []mirror.Ref, after string, down bool) []mirror.Ref {
	for i, r := range refs {
		if !down && r.Name > after || down && r.Name < after {
			return refs[i:]
		}
	}
	return nil
}

func (c *console) refRow(ctx context.Context, w *words, id mirror.ID, l mirror.Listing, r mirror.Ref) (refRow, error) {
	row := refRow{Name: r.Short(), Full: r.Name, Commit: r.Commit(), IsHead: r.Name == l.Head, Ours: l.Ours(r.Name)}
	commit, err := c.Reader.Commit(ctx, id, r.Commit())
	if err != nil && !errors.Is(err, mirror.ErrNotFound) { // a tag may lead to something else
		return row, err
	}
	row.At = commit.Time
	old, new := "", ""
	if kept, ok := mirror.ParseKept(r); ok {
		row.Name, row.Why, row.Kept = strings.TrimPrefix(kept.Name, "refs/"), w.kept(kept.Why), kept.At
		old, new = r.Name, kept.Name
	} else if name, held := strings.CutPrefix(r.Name, mirror.HeldPrefix); held {
		if gone, ok := strings.CutPrefix(name, "gone/"); ok {
			row.Name, row.Why = gone, w.t("dropped by the original, served here until somebody decides")
			return row, nil
		}
		row.Name, row.Why = name, w.t("what the original has; ours is served until somebody decides")
		old, new = "refs/"+name, r.Name
	} else if head, ok := l.Ref(l.Head); ok && !row.IsHead && head.Commit() != row.Commit && !commit.Time.IsZero() {
		row.Compare = compareURL(id, l.Head, r.Name)
		return row, nil
	}
	if _, ok := l.Ref(new); ok && old != "" {
		if _, ok := l.Ref(old); ok {
			row.Compare = compareURL(id, old, new)
		}
	}
	return row, nil
}

func compareURL(id mirror.ID, old, new string) string {
	return "/mirrors/" + string(id) + "/compare?" + url.Values{"old": {old}, "new": {new}}.Encode()
}
