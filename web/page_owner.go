package web

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

// ownerPage adds what an organisation has: named, looked at, chosen, added.
type ownerPage struct {
	page
	Owner       string // as it was typed
	Credential  string
	Credentials []mirror.SealedCredential
	Private     bool
	Archived    bool
	Forks       bool
	Exclude     string
	Follow      bool // new ones are added, too
	Most        int
	Wrong       *mirror.Problem

	Checked bool
	Pattern string
	Seen    string // version of the rule that follows the owner; empty = none does
	Summary string
	Fresh   int // lines that would add a mirror
	Lines   []ownerLine
	More    int // new ones that are not shown
	Listing mirror.RuleListing
}

// ownerLine is a repository of the owner.
type ownerLine struct {
	Name    string // below the owner
	Path    mirror.Path
	ID      mirror.ID // of the mirror that is there
	Private bool
	Word    string
	Look    string
	Problem *mirror.Problem
}

// ownerForm shows the form; an owner that is followed is shown as its rule has it.
func (c *console) ownerForm(g *gin.Context) error {
	data := ownerPage{Owner: g.Query("owner"), Follow: true}
	if data.Owner != "" {
		pattern, err := mirror.OwnerPattern(data.Owner)
		if data.Wrong, err = told(err); err != nil {
			return err
		}
		rule, known, err := c.ruleOf(g.Request.Context(), pattern)
		if err != nil {
			return err
		}
		if known {
			data.Credential, data.Private = rule.Credential, rule.Private
		}
		if d := rule.Discovery; d != nil {
			data.Archived, data.Forks, data.Exclude = d.Archived, d.Forks, strings.Join(d.Exclude, " ")
		}
	}
	return c.renderOwner(g, http.StatusOK, data)
}

func (c *console) renderOwner(g *gin.Context, status int, data ownerPage) error {
	var err error
	if data.page, err = c.page(g, "Add mirrors", "/mirrors"); err != nil {
		return err
	}
	data.Narrow, data.Most = true, maxPaste
	if data.Credentials, err = c.Store.Credentials(g.Request.Context()); err != nil {
		return err
	}
	return c.render(g, status, "owner", data)
}

// ruleOf is the rule of a pattern, if there is one.
func (c *console) ruleOf(ctx context.Context, pattern string) (mirror.Rule, bool, error) {
	all, err := c.Store.Rules(ctx)
	i := slices.IndexFunc(all, func(r mirror.Rule) bool { return strings.EqualFold(r.Pattern, pattern) })
	if err != nil || i < 0 {
		return mirror.Rule{}, false, err
	}
	return all[i], true, nil
}

// addOwner answers both buttons of the form. Both ask the host: what is added is
// what it has now, without what the person has taken the mark off.
func (c *console) addOwner(g *gin.Context) error {
	data := ownerPage{
		Owner: strings.TrimSpace(g.PostForm("owner")), Credential: g.PostForm("credential"), Private: g.PostForm("private") == "yes",
		Archived: g.PostForm("archived") == "yes", Forks: g.PostForm("forks") == "yes", Exclude: strings.TrimSpace(g.PostForm("exclude")), Follow: g.PostForm("follow") == "yes",
	}
	adds := g.PostForm("do") == "add"
	var rule mirror.Rule
	plan, err := c.ownerPlan(g, &data, &rule, adds)
	if err == nil && adds && data.Follow {
		if err = c.followOwner(g, rule); err == nil {
			data.Seen = ruleVersion(rule)
		}
	}
	if data.Wrong, err = told(err); err != nil {
		return err
	}
	if data.Wrong != nil {
		return c.renderOwner(g, newProblem(g.Request.Context(), data.Wrong).Status, data)
	}
	if adds && data.Listing.Failed == 0 {
		return c.ownerAdded(g, data, rule)
	}
	data.view(c.words(g), plan, adds)
	return c.renderOwner(g, http.StatusOK, data)
}

// ownerPlan reads the rule the form stands for, and looks at the owner, or adds.
func (c *console) ownerPlan(g *gin.Context, data *ownerPage, rule *mirror.Rule, adds bool) (mirror.Plan, error) {
	ctx := g.Request.Context()
	owners, err := c.owners()
	if err != nil {
		return mirror.Plan{}, err
	}
	if data.Pattern, err = mirror.OwnerPattern(data.Owner); err != nil {
		return mirror.Plan{}, err
	}
	*rule = mirror.Rule{Pattern: data.Pattern, Credential: data.Credential, Private: data.Private || data.Credential != "", Discovery: &mirror.RuleDiscovery{
		Archived: data.Archived, Forks: data.Forks, Exclude: names(data.Exclude),
	}}
	stored, known, err := c.ruleOf(ctx, data.Pattern)
	if err != nil {
		return mirror.Plan{}, err
	}
	if known {
		rule.Pattern, data.Seen = stored.Pattern, ruleVersion(stored)
		if stored.Credential != rule.Credential || stored.Private != rule.Private {
			return mirror.Plan{}, &mirror.Problem{
				Kind: mirror.ErrExists, What: stored.Pattern + " has a rule with another credential, or another choice of who may read", Do: "choose the same here, or remove that rule under Mapping rules",
			}
		}
	}
	look := owners.Plan
	if adds {
		look = owners.Take
		taken := g.PostFormArray("take")
		for _, name := range g.PostFormArray("shown") {
			if !slices.Contains(taken, name) && !slices.Contains(rule.Discovery.Exclude, name) {
				rule.Discovery.Exclude = append(rule.Discovery.Exclude, name)
			}
		}
		data.Exclude = strings.Join(rule.Discovery.Exclude, " ")
	}
	plan, listing, err := look(ctx, *rule)
	data.Listing = listing
	return plan, err
}

// names are what a field for patterns of names holds.
func names(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", \n\r\t", r) })
}

// followOwner stores the rule that adds new ones. A rule that is there is changed,
// unless somebody else has changed it since the form was made.
func (c *console) followOwner(g *gin.Context, rule mirror.Rule) error {
	ctx, seen := g.Request.Context(), formVersion(g)
	if seen.IfMatch == "" {
		return c.Catalog.AddRule(ctx, rule)
	}
	return c.edits(ctx, seen, c.ruleThing(ctx, rule.Pattern), [][2]string{{"discover", discoveryText(rule.Discovery)}}, func() error {
		_, err := c.Catalog.EditRule(ctx, rule.Pattern, rule.Discovery)
		return err
	})
}

// ownerAdded leads to the mirrors of the owner.
func (c *console) ownerAdded(g *gin.Context, data ownerPage, rule mirror.Rule) error {
	w, owner := c.words(g), strings.TrimSuffix(rule.Pattern, "/*")
	message := w.t("There was nothing new to add.")
	switch n := data.Listing.Added; {
	case n == 1:
		message = w.t("Mirror added. Its first clone has begun.")
	case n > 1:
		message = w.t("{1} mirrors added. Their first clones have begun.", n)
	}
	if data.Follow {
		message += " " + w.t("What is made at {1} from now on is added within the hour.", owner)
	}
	c.flash(g, "done", message)
	g.Redirect(http.StatusSeeOther, listing{Search: owner + "/"}.url())
	return nil
}

// view fills in what the page shows of a plan, at most so many lines of it.
func (data *ownerPage) view(w *words, plan mirror.Plan, added bool) {
	data.Checked = true
	fresh := isNew
	if added { // what is left is wrong
		fresh = isAdded
	} else {
		data.Fresh = plan.New
	}
	counts := map[fate]int{}
	for _, item := range plan.Items {
		f := map[mirror.PlanState]fate{mirror.PlanNew: fresh, mirror.PlanPresent: isHere, mirror.PlanImpossible: isWrong}[item.State]
		counts[f]++
		if len(data.Lines) >= maxPaste {
			if f == isNew {
				data.More++
			}
			continue
		}
		l := ownerLine{Path: item.Repo.Path, Private: item.Repo.Private}
		if l.Path == "" {
			l.Path = mirror.Path(item.Asked[0])
		}
		l.Word, l.Look, _ = w.fate(f, 0)
		switch f {
		case isNew:
			l.Name = l.Path.Base()
		case isHere, isAdded:
			l.ID = item.Repo.ID
		case isWrong:
			l.Problem = mirror.AsProblem(item.Err)
		}
		data.Lines = append(data.Lines, l)
	}
	data.Summary = w.fates(counts)
	if n := data.Listing.Skipped; n > 0 {
		data.Summary = strings.TrimPrefix(data.Summary+" · "+w.t("{1} left out", n), " · ")
	}
	if data.Summary == "" {
		data.Summary = w.t("There is nothing.")
	}
}
