package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
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
	Version  string              `json:"version,omitempty" readOnly:"true" doc:"In quotes it is the ETag"`
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
	ETag    string    `json:"etag,omitempty" readOnly:"true" doc:"For If-Match"`
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
	tags, gone, changed := []string{"modules"}, []int{http.StatusNotFound}, []int{http.StatusNotFound, http.StatusPreconditionFailed}
	register(a, managers, huma.Operation{
		OperationID: "list-module-rules", Method: http.MethodGet, Path: "/modules/rules", Tags: tags,
		Summary: "List the rules about modules that are in force, in their order", Description: "Those of the file of modules.rules come first. Of deny and allow, of age and of mode the first that fits decides.",
	}, a.listModuleRules)
	register(a, managers, huma.Operation{
		OperationID: "add-module-rule", Method: http.MethodPost, Path: "/modules/rules", Tags: tags, DefaultStatus: http.StatusCreated, Errors: gone,
		Summary: "Add a rule about modules", Description: "It is in force here at once, and within a second on other servers with the same database.",
	}, a.addModuleRule)
	register(a, managers, huma.Operation{
		OperationID: "remove-module-rule", Method: http.MethodDelete, Path: "/modules/rules/{rule}", Tags: tags, DefaultStatus: http.StatusNoContent, Errors: changed, Summary: "Remove a rule about modules",
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
		OperationID: "unpin-module", Method: http.MethodDelete, Path: "/modules/pins/{module}", Tags: tags, DefaultStatus: http.StatusNoContent, Errors: changed, Summary: "Take a pin away",
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
		Version: versionOf(r.ID, r.Line, moduleRuleText(r), r.Reason),
	}
}

// moduleRuleText is a rule in a line, without its reason.
func moduleRuleText(r mirror.ModuleRule) string {
	text := string(r.Action) + " " + r.Pattern
	switch {
	case r.Action == mirror.ActionAge:
		text += " " + r.Age.String()
	case r.Mode != "":
		text += " " + string(r.Mode)
	case r.Versions != "":
		text += " " + r.Versions
	}
	return text
}

func moduleRuleFields(r mirror.ModuleRule) [][2]string {
	return [][2]string{{"rule", moduleRuleText(r)}, {"reason", r.Reason}}
}

func (a *api) listModuleRules(_ context.Context, in *PageParams) (*listAnswer[ModuleRule], error) {
	if a.ModuleCache == nil {
		return nil, noModules()
	}
	rules := a.ModuleCache.ModuleRules()
	if in.Cursor != "" { // the last one of the page before; their order is nothing that could be compared
		i := slices.IndexFunc(rules, func(r mirror.ModuleRule) bool { return moduleRuleCursor(r) == in.Cursor })
		if i < 0 {
			return nil, errCursor()
		}
		rules = rules[i+1:]
	}
	out := &listAnswer[ModuleRule]{}
	if len(rules) > in.Limit {
		rules = rules[:in.Limit]
		out.Body.NextCursor = moduleRuleCursor(rules[in.Limit-1])
	}
	out.Body.Items = each(rules, moduleRuleJSON)
	out.Link = in.next("/modules/rules", out.Body.NextCursor, nil)
	return out, nil
}

func moduleRuleCursor(r mirror.ModuleRule) string { return fmt.Sprintf("%d-%d", r.ID, r.Line) }

// dropModuleRule removes a rule that is still as the caller has seen it, and
// notes what it was.
func (s *Server) dropModuleRule(ctx context.Context, id int64, m MatchParam) error {
	var before mirror.ModuleRule
	look := func() (thing, error) {
		rules := s.ModuleCache.ModuleRules()
		i := slices.IndexFunc(rules, func(r mirror.ModuleRule) bool { return r.ID == id })
		if i < 0 {
			return thing{}, noSuch("rule about modules", strconv.FormatInt(id, 10))
		}
		before = rules[i]
		return thing{Name: "the rule about " + before.Pattern, Version: moduleRuleJSON(before).Version}, nil
	}
	return s.edits(ctx, m, look, nil, func() error {
		_, unknown := look() // another server may just have made it
		if err := s.ModuleCache.RemoveModuleRule(ctx, id); err != nil {
			return err
		}
		if unknown == nil {
			auth.Note(ctx, fmt.Sprintf("module rule %d", id), changesOf(moduleRuleFields(before), nil)...)
		}
		return nil
	})
}

// putModuleRule adds a rule and notes it.
func (s *Server) putModuleRule(ctx context.Context, r mirror.ModuleRule, before int64) (mirror.ModuleRule, error) {
	r, err := s.ModuleCache.AddModuleRule(ctx, r, before)
	if err == nil {
		auth.Note(ctx, fmt.Sprintf("module rule %d", r.ID), changesOf(nil, moduleRuleFields(r))...)
	}
	return r, err
}

func (a *api) addModuleRule(ctx context.Context, in *answer[NewModuleRule]) (*answer[ModuleRule], error) {
	if a.ModuleCache == nil {
		return nil, noModules()
	}
	r, err := a.putModuleRule(ctx, mirror.ModuleRule{
		Action: in.Body.Action, Pattern: in.Body.Pattern, Versions: in.Body.Versions, Age: time.Duration(in.Body.AgeS) * time.Second,
		Mode: in.Body.Mode, Reason: in.Body.Reason, By: auth.From(ctx).Name,
	}, in.Body.Before)
	if err != nil {
		return nil, err
	}
	return &answer[ModuleRule]{moduleRuleJSON(r)}, nil
}

type moduleRuleParam struct {
	MatchParam
	Rule int64 `path:"rule" minimum:"1" doc:"Id of the rule"`
}

func (a *api) removeModuleRule(ctx context.Context, in *moduleRuleParam) (*struct{}, error) {
	if a.ModuleCache == nil {
		return nil, noModules()
	}
	return nil, a.dropModuleRule(ctx, in.Rule, in.MatchParam)
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
	out := &listModulePinsAnswer{Body: ModulePins{Items: each(pins, pinJSON)}}
	if len(pins) == in.Limit {
		last := pins[len(pins)-1]
		out.Body.NextCursor = last.Module + "@" + last.Version
	}
	out.Link = in.next("/modules/pins", out.Body.NextCursor, url.Values{"module": {in.Module}})
	return out, nil
}

func pinJSON(p mirror.ModulePin) ModulePin {
	return ModulePin{Module: p.Module, Version: p.Version, Until: p.Until, By: p.By, Reason: p.Reason, At: p.At, ETag: quoted(pinVersion(p))}
}

func pinVersion(p mirror.ModulePin) string {
	return versionOf(p.Module, p.Version, p.Until.UnixMilli(), p.By, p.Reason)
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
	MatchParam
	Version string `query:"version" maxLength:"200" doc:"Missing = the pin of all versions"`
}

func (a *api) unpinModule(ctx context.Context, in *unpinRequest) (*struct{}, error) {
	if a.ModuleCache == nil {
		return nil, noModules()
	}
	look := func() (thing, error) {
		pins, err := a.Store.ModulePins(ctx, mirror.PinQuery{Now: time.Now(), Module: in.Module, Limit: 1000})
		if err != nil {
			return thing{}, err
		}
		i := slices.IndexFunc(pins, func(p mirror.ModulePin) bool { return p.Module == in.Module && p.Version == in.Version })
		if i < 0 {
			return thing{}, noSuch("pin", in.Module)
		}
		return thing{Name: "the pin of " + in.Module, Version: pinVersion(pins[i])}, nil
	}
	return nil, a.edits(ctx, in.MatchParam, look, nil, func() error { return a.ModuleCache.Unpin(ctx, in.Module, in.Version) })
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
