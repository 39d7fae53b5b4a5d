package web

import (
	"context"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

type rulesPage struct {
	page
	Rules       []ruleRow
	Aliases     []aliasRow
	Window      window // of Aliases
	Credentials []credentialRow
	// What was typed into the form that failed, and why; the secret is not
	// sent back.
	Form          string // "rule", "alias" or "credential"
	Wrong         *mirror.Problem
	NewRule       mirror.Rule
	NewAlias      mirror.Alias
	NewCredential mirror.Credential
}

// ruleRow is a rule with the version its forms bring back.
type ruleRow struct {
	mirror.Rule
	Seen  string
	Owner string // that is followed; empty = none is
}

type aliasRow struct {
	mirror.Alias
	Seen string
}

type credentialRow struct {
	mirror.SealedCredential
	Seen string
}

// formVersion is the version of a thing that a form was made of.
func formVersion(g *gin.Context) MatchParam { return MatchParam{IfMatch: g.PostForm("version")} }

func (c *console) rules(g *gin.Context) error {
	return c.renderRules(g, http.StatusOK, rulesPage{})
}

func (c *console) renderRules(g *gin.Context, status int, data rulesPage) error {
	var err error
	if data.page, err = c.page(g, "Mapping rules", "/rules"); err != nil {
		return err
	}
	ctx := g.Request.Context()
	rules, err := c.Store.Rules(ctx)
	if err != nil {
		return err
	}
	aliases, err := c.Store.Aliases(ctx)
	if err != nil {
		return err
	}
	credentials, err := c.Store.Credentials(ctx)
	if err != nil {
		return err
	}
	data.Rules = each(rules, func(r mirror.Rule) ruleRow {
		row := ruleRow{Rule: r, Seen: ruleVersion(r)}
		if r.Discovery != nil {
			row.Owner = strings.TrimSuffix(r.Pattern, "/*")
		}
		return row
	})
	aliases, data.Window = windowOf(g, "/rules", aliases, func(a mirror.Alias) string { return a.Prefix + " " + string(a.Repo) })
	data.Aliases = each(aliases, func(a mirror.Alias) aliasRow { return aliasRow{a, aliasVersion(a)} })
	data.Credentials = each(credentials, func(s mirror.SealedCredential) credentialRow { return credentialRow{s, credentialVersion(s)} })
	return c.render(g, status, "rules", data)
}

// rulesAgain shows the page with what is wrong, or goes back to it when nothing is.
func (c *console) rulesAgain(g *gin.Context, err error, message string, data rulesPage, args ...any) error {
	if data.Wrong, err = told(err); err != nil {
		return err
	}
	if data.Wrong != nil {
		return c.renderRules(g, newProblem(g.Request.Context(), data.Wrong).Status, data)
	}
	return c.then(g, nil, message, "/rules", args...)
}

func (c *console) addRule(g *gin.Context) error {
	r := mirror.Rule{
		Pattern: strings.TrimSpace(g.PostForm("pattern")), Credential: g.PostForm("credential"), Private: g.PostForm("private") == "yes",
	}
	message := "Repositories that match {1} are now mirrored when somebody first asks for them."
	if g.PostForm("discover") == "yes" {
		r.Discovery = &mirror.RuleDiscovery{
			Archived: g.PostForm("archived") == "yes", Forks: g.PostForm("forks") == "yes",
			Exclude: names(g.PostForm("exclude")),
		}
		message = "What matches {1} is listed now and every hour, and added."
	}
	err := c.Catalog.AddRule(g.Request.Context(), r)
	return c.rulesAgain(g, err, message, rulesPage{Form: "rule", NewRule: r}, r.Pattern)
}

func (c *console) addAlias(g *gin.Context) error {
	a := mirror.Alias{Prefix: strings.TrimSpace(g.PostForm("prefix")), Dir: strings.TrimSpace(g.PostForm("dir")), Repo: mirror.Path(strings.TrimSpace(g.PostForm("repo")))}
	data := rulesPage{Form: "alias", NewAlias: a}
	path, err := mirror.ParsePath(string(a.Repo))
	if err == nil {
		a.Repo = path
		err = c.Catalog.AddAlias(g.Request.Context(), a)
	}
	return c.rulesAgain(g, err, "Import paths under {1} are now served from {2}.", data, a.Prefix, string(a.Repo))
}

func (c *console) addCredential(g *gin.Context) error {
	cred := mirror.Credential{
		Name: strings.TrimSpace(g.PostForm("name")), Host: strings.TrimSpace(g.PostForm("host")),
		User: strings.TrimSpace(g.PostForm("user")), Secret: mirror.Secret(strings.TrimSpace(g.PostForm("secret"))),
	}
	err := c.Catalog.AddCredential(g.Request.Context(), cred)
	return c.rulesAgain(g, err, "Credential {1} is stored, encrypted. It is only ever sent to {2}.", rulesPage{Form: "credential", NewCredential: cred}, cred.Name, cred.Host)
}

func (c *console) removeRule(g *gin.Context) error {
	return c.removeNamed(g, "pattern", c.dropRule)
}

func (c *console) removeAlias(g *gin.Context) error {
	return c.removeNamed(g, "prefix", c.dropAlias)
}

func (c *console) removeCredential(g *gin.Context) error {
	return c.removeNamed(g, "name", c.dropCredential)
}

func (c *console) removeNamed(g *gin.Context, field string, remove func(context.Context, string, MatchParam) error) error {
	name := g.PostForm(field)
	return c.orTell(g, remove(g.Request.Context(), name, formVersion(g)), "{1} was removed.", "/rules", name)
}
