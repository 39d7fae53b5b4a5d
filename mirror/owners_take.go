package mirror

import (
	"context"
	"strings"
)

// defOwnerHost is where an owner is that is named without a host.
const defOwnerHost = "github.com"

// OwnerPattern is the pattern of everything an owner has: the owner is a name, a
// host and a name, or their URL.
func OwnerPattern(text string) (string, error) {
	owner := strings.TrimSpace(text)
	owner = strings.TrimSuffix(strings.TrimPrefix(owner, "https://"), "/")
	owner = strings.TrimSuffix(owner, "/*")
	if owner != "" && !strings.Contains(owner, "/") {
		owner = defOwnerHost + "/" + owner
	}
	path, err := ParsePath(owner)
	if err == nil {
		owner = string(path)
	}
	if err != nil || strings.Count(owner, "/") != 1 || strings.Contains(owner, "*") {
		return "", &Problem{
			Code: CodeBadPath, Kind: ErrInvalid, What: quote(text) + " is not the name of an organisation or user",
			Do: "write it as in its address, for example github.com/acme",
		}
	}
	return owner + "/*", nil
}

// Plan tells what the first listing of a rule would add, and adds nothing. Of the
// listing it has what was found and left out.
func (o *Owners) Plan(ctx context.Context, rule Rule) (Plan, RuleListing, error) {
	plan, _, listing, err := o.plan(ctx, rule)
	return plan, listing, err
}

// Take adds what the owner of a rule has now, whether the rule is stored or not.
// What could not be added is impossible in the plan that is returned.
func (o *Owners) Take(ctx context.Context, rule Rule) (Plan, RuleListing, error) {
	plan, list, listing, err := o.plan(ctx, rule)
	if err == nil {
		o.add(ctx, rule, list, plan, &listing)
	}
	return plan, listing, err
}

func (o *Owners) plan(ctx context.Context, rule Rule) (Plan, []NewMirror, RuleListing, error) {
	o.init()
	if err := rule.check(); err != nil {
		return Plan{}, nil, RuleListing{}, err
	}
	found, list, err := o.ask(ctx, rule, "")
	if err != nil {
		return Plan{}, nil, RuleListing{}, err
	}
	plan, err := o.Catalog.PlanAll(ctx, list, nil)
	return plan, list, RuleListing{Found: len(found.Repos), Cut: found.Cut, Skipped: len(found.Repos) - len(list)}, err
}

// add adds what the plan has as new, and counts in the listing how it went.
func (o *Owners) add(ctx context.Context, rule Rule, list []NewMirror, plan Plan, done *RuleListing) {
	byText := make(map[string]NewMirror, len(list))
	for _, m := range list {
		byText[m.Text] = m
	}
	for i := range plan.Items {
		item := &plan.Items[i]
		if item.State == PlanPresent {
			continue
		}
		if item.Err == nil {
			var repo Repo
			if repo, _, item.Err = o.Catalog.Add(ctx, byText[item.Asked[0]]); item.Err == nil {
				item.Repo = repo
			}
		}
		if item.Err != nil {
			done.Failed++
			item.State = PlanImpossible
			o.Log.Warn("add a listed repository", "rule", rule.Pattern, "repo", item.Asked[0], "err", item.Err)
			continue
		}
		done.Added++
	}
}
