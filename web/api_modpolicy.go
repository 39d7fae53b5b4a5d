package web

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// ModuleRule is a rule about modules.
type ModuleRule struct {
	ID       int64               `json:"id,omitempty" doc:"Missing = it is of the file of modules.rules, which is changed there"`
	Line     int                 `json:"line,omitempty" doc:"In that file"`
	Action   mirror.ModuleAction `json:"action" enum:"deny,allow,age,mode,pin"`
	Pattern  string              `json:"pattern" doc:"A prefix of module paths, as in GOPRIVATE"`
	Versions string              `json:"versions,omitempty" doc:"Of deny and allow: >=v1.0.0,<v1.4.0, or one version; missing = all"`
	AgeS     int64               `json:"age_s,omitempty" doc:"Of age: how old a version must be, in seconds"`
	Mode     mirror.ModuleMode   `json:"mode,omitempty" enum:"prefer-mirror,mirror-only,proxy-only,offline" doc:"Of mode"`
	Reason   string              `json:"reason,omitempty" doc:"Shown to developers"`
	By       string              `json:"by,omitempty"`
	At       time.Time           `json:"at,omitzero"`
}

// NewModuleRule is a rule to add.
type NewModuleRule struct {
	Action   mirror.ModuleAction `json:"action" enum:"deny,allow,age,mode,pin"`
	Pattern  string              `json:"pattern" maxLength:"500" doc:"A prefix of module paths, as in GOPRIVATE: github.com/acme/*"`
	Versions string              `json:"versions,omitempty" maxLength:"500" doc:"Of deny and allow: >=v1.0.0,<v1.4.0, or one version; missing = all"`
	AgeS     int64               `json:"age_s,omitempty" minimum:"0" maximum:"3153600000" doc:"Of age"`
	Mode     mirror.ModuleMode   `json:"mode,omitempty" enum:"prefer-mirror,mirror-only,proxy-only,offline" doc:"Of mode"`
	Reason   string              `json:"reason,omitempty" maxLength:"500"`
	Before   int64               `json:"before,omitempty" minimum:"-1" doc:"Id of the rule it comes before; -1 = before all that are not of the file; missing = behind all"`
}

// ModulePin keeps a module, or a version of it, from being dropped to make room.
type ModulePin struct {
	Module  string    `json:"module"`
	Version string    `json:"version,omitempty" doc:"Missing = every one"`
	Until   time.Time `json:"until,omitzero" doc:"Missing = for good"`
	By      string    `json:"by,omitempty" doc:"Missing = a project needs it"`
	Reason  string    `json:"reason,omitempty"`
	At      time.Time `json:"at"`
}

// ModulePins are a page of pins, by module and version.
type ModulePins struct {
	Items      []ModulePin `json:"items"`
	NextCursor string      `json:"next_cursor,omitempty"`
}

// PinModule is a pin to set.
type PinModule struct {
	Module  string `json:"module" maxLength:"600"`
	Version string `json:"version,omitempty" maxLength:"200" doc:"Missing = every one"`
	ForS    int64  `json:"for_s,omitempty" minimum:"0" maximum:"3153600000" doc:"For so many seconds; missing = for good"`
	Reason  string `json:"reason,omitempty" maxLength:"500"`
}

// ModuleVerdict is what would happen if the caller asked for a module version.
type ModuleVerdict struct {
	Module   string               `json:"module"`
	Version  string               `json:"version" doc:"As it was asked for"`
	Resolved string               `json:"resolved,omitempty" doc:"The version behind it"`
	Outcome  mirror.ModuleOutcome `json:"outcome" enum:"served,refused,missing,failed"`
	Problem  *mirror.Problem      `json:"problem,omitempty" doc:"What the go command would print"`
	Source   string               `json:"source,omitempty"`
	Kept     bool                 `json:"kept,omitempty" doc:"Its zip is here already"`
	Steps    []VerdictStep        `json:"steps"`
}

// VerdictStep is a step of the decision.
type VerdictStep struct {
	About  string      `json:"about" enum:"mode,rule,vulnerabilities,age,mirror,proxies,kept,verification"`
	Result string      `json:"result" enum:"pass,stop,note"`
	Text   string      `json:"text"`
	Rule   *ModuleRule `json:"rule,omitempty" doc:"The one that decides; missing = none does"`
}

func (a *api) modpolicyOperations() {
	tags, gone := []string{"modules"}, []int{http.StatusNotFound}
	register(a, managers, huma.Operation{
		OperationID: "list-module-rules", Method: http.MethodGet, Path: "/modules/rules", Tags: tags,
		Summary: "List the rules about modules that are in force, in their order", Description: "Those of the file of modules.rules come first. Of deny and allow, of age and of mode the first that fits decides.",
	}, a.listModuleRules)
	register(a, managers, huma.Operation{
		OperationID: "add-module-rule", Method: http.MethodPost, Path: "/modules/rules", Tags: tags, DefaultStatus: http.StatusCreated, Errors: gone,
		Summary: "Add a rule about modules", Description: "It is in force here at once, and within a second on other servers with the same database.",
	}, a.addModuleRule)
	register(a, managers, huma.Operation{
		OperationID: "remove-module-rule", Method: http.MethodDelete, Path: "/modules/rules/{rule}", Tags: tags, DefaultStatus: http.StatusNoContent, Errors: gone, Summary: "Remove a rule about modules",
	}, a.removeModuleRule)
	register(a, readers, huma.Operation{
		OperationID: "explain-module", Method: http.MethodGet, Path: "/modules/explain", Tags: tags,
		Summary:     "What would happen if the caller asked for a module version, and why",
		Description: "Decided by what decides for the go command. Nothing is mirrored for it, no zip fetched, and no refusal noted; module proxies are asked for the version's .info.",
	}, a.explainModule)
	register(a, managers, huma.Operation{
		OperationID: "list-module-pins", Method: http.MethodGet, Path: "/modules/pins", Tags: tags, Summary: "List what is never dropped to make room, besides what rules pin",
	}, a.listModulePins)
	register(a, managers, huma.Operation{
		OperationID: "pin-module", Method: http.MethodPost, Path: "/modules/pins", Tags: tags, DefaultStatus: http.StatusNoContent, Summary: "Pin a module, or a version of it",
	}, a.pinModule)
	register(a, managers, huma.Operation{
		OperationID: "unpin-module", Method: http.MethodDelete, Path: "/modules/pins/{module}", Tags: tags, DefaultStatus: http.StatusNoContent, Errors: gone, Summary: "Take a pin away",
	}, a.unpinModule)
	register(a, managers, huma.Operation{
		OperationID: "accept-module", Method: http.MethodPost, Path: "/modules/accept", Tags: tags, DefaultStatus: http.StatusNoContent, Errors: gone,
		Summary:     "Say that a version that is not what it was when it was first seen is right",
		Description: "Of what the checksum database does not vouch for. The hashes that were first seen are forgotten, and what is kept of the version is dropped; the next that a module proxy sends counts.",
	}, a.acceptModule)
}

func moduleRuleJSON(r mirror.ModuleRule) ModuleRule {
	return ModuleRule{
		ID: r.ID, Line: r.Line, Action: r.Action, Pattern: r.Pattern, Versions: r.Versions, AgeS: int64(r.Age / time.Second), Mode: r.Mode, Reason: r.Reason, By: r.By, At: r.At,
	}
}

func (a *api) listModuleRules(context.Context, *struct{}) (*answer[list[ModuleRule]], error) {
	if a.ModuleCache == nil {
		return nil, noModules()
	}
	return &answer[list[ModuleRule]]{list[ModuleRule]{Items: each(a.ModuleCache.ModuleRules(), moduleRuleJSON)}}, nil
}

func (a *api) addModuleRule(ctx context.Context, in *answer[NewModuleRule]) (*answer[ModuleRule], error) {
	if a.ModuleCache == nil {
		return nil, noModules()
	}
	r, err := a.ModuleCache.AddModuleRule(ctx, mirror.ModuleRule{
		Action: in.Body.Action, Pattern: in.Body.Pattern, Versions: in.Body.Versions, Age: time.Duration(in.Body.AgeS) * time.Second,
		Mode: in.Body.Mode, Reason: in.Body.Reason, By: auth.From(ctx).Name,
	}, in.Body.Before)
	if err != nil {
		return nil, err
	}
	return &answer[ModuleRule]{moduleRuleJSON(r)}, nil
}

type moduleRuleParam struct {
	Rule int64 `path:"rule" minimum:"1" doc:"Id of the rule"`
}

func (a *api) removeModuleRule(ctx context.Context, in *moduleRuleParam) (*struct{}, error) {
	if a.ModuleCache == nil {
		return nil, noModules()
	}
	return nil, a.ModuleCache.RemoveModuleRule(ctx, in.Rule)
}

type explainRequest struct {
	Module  string `query:"module" required:"true" maxLength:"600"`
	Version string `query:"version" maxLength:"300" doc:"A version, branch or commit; missing = the latest"`
}

func (a *api) explainModule(ctx context.Context, in *explainRequest) (*answer[ModuleVerdict], error) {
	if a.ModuleCache == nil {
		return nil, noModules()
	}
	v, err := a.ModuleCache.Explain(ctx, in.Module, in.Version)
	if err != nil {
		return nil, err
	}
	return &answer[ModuleVerdict]{verdictJSON(v)}, nil
}

func verdictJSON(v mirror.ModuleVerdict) ModuleVerdict {
	out := ModuleVerdict{Module: v.Module, Version: v.Version, Resolved: v.Resolved, Outcome: v.Outcome, Problem: v.Problem, Source: v.Source, Kept: v.Kept, Steps: []VerdictStep{}}
	for _, s := range v.Steps {
		step := VerdictStep{About: s.About, Result: s.Result, Text: s.Text}
		if s.Rule != nil {
			rule := moduleRuleJSON(*s.Rule)
			step.Rule = &rule
		}
		out.Steps = append(out.Steps, step)
	}
	return out
}

type listModulePinsRequest struct {
	PageParams
	Module string `query:"module" maxLength:"600" doc:"Only those of this module"`
}

type listModulePinsAnswer struct {
	Link string `header:"Link"`
	Body ModulePins
}

func (a *api) listModulePins(ctx context.Context, in *listModulePinsRequest) (*listModulePinsAnswer, error) {
	q := mirror.PinQuery{Now: time.Now(), Module: in.Module, Limit: in.Limit}
	if in.Cursor != "" {
		q.After = &mirror.ModulePin{}
		q.After.Module, q.After.Version, _ = strings.Cut(in.Cursor, "@")
	}
	pins, err := a.Store.ModulePins(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &listModulePinsAnswer{Body: ModulePins{Items: each(pins, func(p mirror.ModulePin) ModulePin { return ModulePin(p) })}}
	if len(pins) == in.Limit {
		last := pins[len(pins)-1]
		out.Body.NextCursor = last.Module + "@" + last.Version
	}
	out.Link = in.next("/modules/pins", out.Body.NextCursor, url.Values{"module": {in.Module}})
	return out, nil
}

func (a *api) pinModule(ctx context.Context, in *answer[PinModule]) (*struct{}, error) {
	if a.ModuleCache == nil {
		return nil, noModules()
	}
	p := mirror.ModulePin{Module: in.Body.Module, Version: in.Body.Version, Reason: in.Body.Reason, By: auth.From(ctx).Name}
	if in.Body.ForS > 0 {
		p.Until = time.Now().Add(time.Duration(in.Body.ForS) * time.Second)
	}
	return nil, a.ModuleCache.Pin(ctx, p)
}

type unpinRequest struct {
	ModuleParam
	Version string `query:"version" maxLength:"200" doc:"Missing = the pin of all versions"`
}

func (a *api) unpinModule(ctx context.Context, in *unpinRequest) (*struct{}, error) {
	if a.ModuleCache == nil {
		return nil, noModules()
	}
	return nil, a.ModuleCache.Unpin(ctx, in.Module, in.Version)
}

// AcceptModule names a version.
type AcceptModule struct {
	Module  string `json:"module" minLength:"1" maxLength:"600"`
	Version string `json:"version" minLength:"1" maxLength:"200"`
}

func (a *api) acceptModule(ctx context.Context, in *answer[AcceptModule]) (*struct{}, error) {
	if a.ModuleCache == nil {
		return nil, noModules()
	}
	return nil, a.ModuleCache.Accept(ctx, in.Body.Module, in.Body.Version)
}

// refusalCursor is where a page of refusals ends.
func refusalCursor(r mirror.ModuleRefusal) string {
	return strconv.FormatInt(r.At.UnixMicro(), 10) + "-" + strconv.FormatInt(r.ID, 10)
}

// afterRefusal reads refusalCursor; nil = the first page.
func afterRefusal(cursor string) (*mirror.ModuleRefusal, error) {
	if cursor == "" {
		return nil, nil
	}
	text, number, _ := strings.Cut(cursor, "-")
	at, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, errCursor()
	}
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return nil, errCursor()
	}
	r := &mirror.ModuleRefusal{ID: id}
	r.At = time.UnixMicro(at)
	return r, nil
}
