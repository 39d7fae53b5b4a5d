package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

type moduleRulesPage struct {
	page
	Rules    []moduleRuleRow
	Modes    []mirror.ModuleMode
	Refusals []mirror.ModuleRefusal
	// What was typed into the form that failed, and why.
	Wrong *mirror.Problem
	New   moduleRuleForm
}

// moduleRuleRow is a rule in the list.
type moduleRuleRow struct {
	mirror.ModuleRule
	Value string // its versions, age or mode
	Seen  string
}

// moduleRuleForm is a rule as somebody typed it.
type moduleRuleForm struct{ Action, Pattern, Value, Reason, Before string }

func (c *console) moduleRules(g *gin.Context) error {
	return c.renderModuleRules(g, http.StatusOK, moduleRulesPage{})
}

func (c *console) renderModuleRules(g *gin.Context, status int, data moduleRulesPage) error {
	if c.ModuleCache == nil {
		return noModules()
	}
	var err error
	if data.page, err = c.page(g, "Rules for modules", "/modules"); err != nil {
		return err
	}
	for _, r := range c.ModuleCache.ModuleRules() {
		data.Rules = append(data.Rules, moduleRuleRow{r, ruleValue(r), moduleRuleJSON(r).Version})
	}
	data.Modes = mirror.ModuleModes()
	if data.Refusals, err = c.Store.ModuleRefusals(g.Request.Context(), mirror.RefusalQuery{Limit: rowsPerPage}); err != nil {
		return err
	}
	return c.render(g, status, "module-rules", data)
}

func ruleValue(r mirror.ModuleRule) string {
	switch r.Action {
	case mirror.ActionAge:
		if days := r.Age / (24 * time.Hour); days > 0 && r.Age%(24*time.Hour) == 0 {
			return strconv.FormatInt(int64(days), 10) + "d"
		}
		return intervalText(r.Age)
	case mirror.ActionMode:
		return string(r.Mode)
	}
	return r.Versions
}

// rule is what was typed, or a Problem.
func (f moduleRuleForm) rule() (mirror.ModuleRule, error) {
	r := mirror.ModuleRule{Action: mirror.ModuleAction(f.Action), Pattern: f.Pattern, Reason: f.Reason}
	switch r.Action {
	case mirror.ActionDeny, mirror.ActionAllow:
		r.Versions = f.Value
	case mirror.ActionMode:
		r.Mode = mirror.ModuleMode(f.Value)
	case mirror.ActionAge:
		text, days := strings.CutSuffix(f.Value, "d")
		if n, err := strconv.ParseUint(text, 10, 16); days && err == nil {
			r.Age = time.Duration(n) * 24 * time.Hour
			break
		}
		age, err := time.ParseDuration(f.Value)
		if err != nil {
			return r, &mirror.Problem{Kind: mirror.ErrInvalid, What: "this is no length of time", Do: "write 7d or 12h"}
		}
		r.Age = age
	}
	return r, nil
}

func (c *console) addModuleRule(g *gin.Context) error {
	if c.ModuleCache == nil {
		return noModules()
	}
	field := func(name string) string { return strings.TrimSpace(g.PostForm(name)) }
	form := moduleRuleForm{Action: field("action"), Pattern: field("pattern"), Value: field("value"), Reason: field("reason"), Before: field("before")}
	r, err := form.rule()
	if err == nil {
		before, _ := strconv.ParseInt(form.Before, 10, 64)
		r.By = c.identity(g).Name
		_, err = c.putModuleRule(g.Request.Context(), r, before)
	}
	wrong, err := told(err)
	if err != nil {
		return err
	}
	if wrong != nil {
		return c.renderModuleRules(g, newProblem(g.Request.Context(), wrong).Status, moduleRulesPage{Wrong: wrong, New: form})
	}
	return c.then(g, nil, "The rule about {1} is in force.", "/modules/rules", r.Pattern)
}

func (c *console) removeModuleRule(g *gin.Context) error {
	if c.ModuleCache == nil {
		return noModules()
	}
	id, err := strconv.ParseInt(g.PostForm("rule"), 10, 64)
	if err != nil {
		return &mirror.Problem{Kind: mirror.ErrInvalid, What: "this is not the id of a rule"}
	}
	return c.orTell(g, c.dropModuleRule(g.Request.Context(), id, formVersion(g)), "The rule is removed.", "/modules/rules")
}

// refusal is the one an address names.
func (c *console) refusal(g *gin.Context) (mirror.ModuleRefusal, error) {
	id, err := strconv.ParseInt(g.Param("refusal"), 10, 64)
	if err != nil {
		return mirror.ModuleRefusal{}, &mirror.Problem{Kind: mirror.ErrNotFound, What: "there is no such refusal"}
	}
	return c.Store.ModuleRefusal(g.Request.Context(), id)
}

type moduleTestPage struct {
	page
	Asked   string // MODULE or MODULE@VERSION
	Verdict *mirror.ModuleVerdict
	Outcome stateView
	Steps   []verdictRow
	Wrong   *mirror.Problem
}

// verdictRow is a step of a decision.
type verdictRow struct {
	mirror.VerdictStep
	Name  string
	Look  stateView
	Value string // of the rule
}

// moduleTest says what would happen to a module version.
func (c *console) moduleTest(g *gin.Context) error {
	if c.ModuleCache == nil {
		return noModules()
	}
	w := c.words(g)
	data := moduleTestPage{Asked: strings.TrimSpace(g.Query("module"))}
	var err error
	if data.page, err = c.page(g, "What would happen?", "/modules"); err != nil {
		return err
	}
	status := http.StatusOK
	if data.Asked != "" {
		module, version, _ := strings.Cut(data.Asked, "@")
		v, err := c.ModuleCache.Explain(g.Request.Context(), module, version)
		if data.Wrong, err = told(err); err != nil {
			return err
		}
		if data.Wrong != nil {
			status = newProblem(g.Request.Context(), data.Wrong).Status
		} else {
			data.Verdict, data.Outcome = &v, w.moduleOutcome(v.Outcome)
			for _, s := range v.Steps {
				row := verdictRow{VerdictStep: s, Name: w.stepName(s.About), Look: w.stepResult(s.Result)}
				if s.Rule != nil {
					row.Value = ruleValue(*s.Rule)
				}
				data.Steps = append(data.Steps, row)
			}
		}
	}
	return c.render(g, status, "module-test", data)
}

func (w *words) moduleOutcome(o mirror.ModuleOutcome) stateView {
	switch o {
	case mirror.ModuleServed:
		return stateView{Word: w.t("Served"), Look: "good"}
	case mirror.ModuleRefused:
		return stateView{Word: w.t("Refused"), Look: "bad"}
	case mirror.ModuleMissing:
		return stateView{Word: w.t("Not found"), Look: "warn"}
	}
	return stateView{Word: w.t("Failed"), Look: "bad"}
}

func (w *words) stepResult(result string) stateView {
	switch result {
	case "pass":
		return stateView{Word: w.t("goes on"), Look: "good"}
	case "stop":
		return stateView{Word: w.t("stops"), Look: "bad"}
	}
	return stateView{Word: w.t("note"), Look: "wait"}
}

func (w *words) stepName(about string) string {
	switch about {
	case "mode":
		return w.t("Mode")
	case "rule":
		return w.t("Rule")
	case "vulnerabilities":
		return w.t("Vulnerabilities")
	case "age":
		return w.t("Age")
	case "mirror":
		return w.t("Mirror")
	case "kept":
		return w.t("What is kept")
	case "verification":
		return w.t("Verification")
	}
	return w.t("Module proxies")
}
