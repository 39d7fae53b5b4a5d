package modproxy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/mirror"
)

// Explain tells what would happen if the caller asked for the code of a module
// version, a query such as "latest" or a branch among them, and why. It takes the
// road a request takes: the same origins, asked for the version's .info, the same
// rules. But nothing is mirrored for it, no zip is fetched, and no refusal noted.
// The error is not nil for what is no module path or version.
func (h *Handler) Explain(ctx context.Context, modPath, query string) (mirror.ModuleVerdict, error) {
	if query == "" {
		query = "latest"
	}
	q, err := askedFor(modPath, query)
	if err != nil {
		return mirror.ModuleVerdict{}, err
	}
	e := &explanation{h: h, q: q, query: query, rules: h.Rules.Now(), verdict: mirror.ModuleVerdict{Module: q.path, Version: query}}
	err = e.decide(ctx)
	if ctx.Err() != nil {
		return mirror.ModuleVerdict{}, ctx.Err()
	}
	e.end(err)
	return e.verdict, nil
}

// askedFor is the question a go command would ask.
func askedFor(modPath, query string) (question, error) {
	escaped, err := module.EscapePath(modPath)
	if err == nil {
		tail := "@latest"
		if query != "latest" {
			if tail, err = module.EscapeVersion(query); err == nil {
				tail = "@v/" + tail + ".info"
			}
		}
		if err == nil {
			return parseQuestion(escaped + "/" + tail)
		}
	}
	return question{}, &mirror.Problem{Code: mirror.CodeBadPath, Kind: mirror.ErrInvalid, What: show(modPath+"@"+query) + " is no module version",
		Why: show(err.Error()), Do: "write it as in go.mod: github.com/spf13/pflag@v1.0.5"}
}

// explanation is a question whose answer is worked out.
type explanation struct {
	h     *Handler
	q     question
	query string
	rules *Rules
	// mirrored tells that a mirror has the module, for all the caller may know.
	mirrored bool
	verdict  mirror.ModuleVerdict
}

func (e *explanation) note(about, result string, rule *mirror.ModuleRule, format string, args ...any) {
	e.verdict.Steps = append(e.verdict.Steps, mirror.VerdictStep{About: about, Result: result, Rule: rule, Text: fmt.Sprintf(format, args...)})
}

func (e *explanation) decide(ctx context.Context) error {
	mode, rule := e.rules.mode(e.q.path)
	e.note("mode", "note", rule, "%s", modeWords(mode))
	list, err := e.h.originsIn(ctx, e.q.path, mode, false, mode != mirror.Offline)
	if err != nil && !errors.Is(err, mirror.ErrNotFound) {
		return err
	}
	for _, from := range list {
		if _, e.mirrored = from.(*gitOrigin); e.mirrored {
			break
		}
	}
	if !e.mirrored {
		e.note("mirror", "note", nil, "no mirror has it")
	}
	if err == nil {
		_, err = e.h.first(ctx, e.q, list, func(from origin) error { return e.ask(ctx, from) })
	}
	if errors.Is(err, mirror.ErrNotFound) && !e.mirrored {
		return e.h.absent(e.q.path, mode)
	}
	return err
}

const noneHas = "the module proxies: none has it"

func modeWords(mode mirror.ModuleMode) string {
	switch mode {
	case mirror.MirrorOnly:
		return "mirror-only: mirrors and nothing else"
	case mirror.ProxyOnly:
		return "proxy-only: the module proxies"
	case mirror.Offline:
		return "offline: what is here already; nobody is asked"
	}
	return "prefer-mirror: a mirror, and the module proxies for what none has"
}

// ask goes through what one origin would do.
func (e *explanation) ask(ctx context.Context, from origin) error {
	ask := &asking{h: e.h, origin: from, path: e.q.path, rules: e.rules, trace: func(s mirror.VerdictStep) {
		e.verdict.Steps = append(e.verdict.Steps, s)
	}}
	about, what := "proxies", "the module proxies"
	if o, mirrored := from.(*gitOrigin); mirrored {
		about, what = "mirror", "the mirror "+string(o.m.Repo.Path)
	} else if !from.(*proxied).fetch {
		about, what = "kept", "what is kept"
	}
	info, err := ask.infoOf(ctx, e.query)
	switch p := mirror.AsProblem(err); {
	case err == nil:
		e.verdict.Resolved = info.Version
		e.note(about, "pass", nil, "%s: %s", what, e.found(info))
	case p.Code == mirror.CodeModuleRule:
		return err
	case errors.Is(err, errDirect):
		e.note(about, "note", nil, "%s: their list says direct, and nothing is mirrored for a test", what)
		return err
	case errors.Is(err, mirror.ErrNotFound) && about != "mirror":
		e.note("proxies", "note", nil, "%s", noneHas)
		return err
	case errors.Is(err, mirror.ErrNotFound):
		e.note(about, "note", nil, "%s: %s", what, strings.TrimPrefix(p.Error(), string(p.Code)+": "))
		return err
	default:
		e.note(about, "stop", nil, "%s: %s", what, p.Error())
		return err
	}
	if o, fetched := from.(*proxied); fetched {
		return e.verify(ctx, o, info)
	}
	e.verdict.Source = mirror.ModuleOfMirror
	e.note("verification", "note", nil, "made of the mirrored repository; who has it in go.sum compares")
	return nil
}

func (e *explanation) found(info infoReply) string {
	text := "it has " + info.Version
	if info.Version != e.query {
		text = e.query + " is " + info.Version
	}
	if !info.Time.IsZero() {
		text += " of " + info.Time.UTC().Format("2006-01-02 15:04") + " UTC"
	}
	return text
}

// verify is what would become of the zip of a proxy.
func (e *explanation) verify(ctx context.Context, o *proxied, info infoReply) error {
	_, key, err := o.versioned(info.Version, ".zip")
	if err != nil {
		return err
	}
	if k, ok := e.h.Store.look(key); ok {
		e.verdict.Kept, e.verdict.Source = true, k.From
		how := "it was not compared with the checksum database"
		if k.Proven {
			how = "proven by the checksum database, " + k.H1
		}
		e.note("kept", "pass", nil, "its zip is here since %s UTC, from %s: %s", k.At.UTC().Format("2006-01-02 15:04"), k.From, how)
		return nil
	}
	if err := o.mayAsk(ctx, key, info.Version); err != nil {
		e.note("kept", "stop", nil, "its zip is not here")
		return err
	}
	if e.h.SumDB == nil || e.h.Verify == VerifyOff {
		e.note("verification", "note", nil, "files of module proxies are not compared with a checksum database")
		return nil
	}
	proof := e.h.prove(ctx, o.path, info.Version)
	if proof == nil {
		e.note("verification", "note", nil, "modules.no_sumdb: nobody is asked about it")
		return nil
	}
	select {
	case <-proof.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	switch name := e.h.SumDB.DB.Name; {
	case proof.err == nil:
		e.note("verification", "pass", nil, "%s has %s; a zip with another hash is not passed on", name, proof.sums.Zip)
	case errors.Is(proof.err, mirror.ErrIntegrity):
		e.note("verification", "stop", nil, "%s", mirror.AsProblem(proof.err).Error())
		return proof.err
	case e.h.Verify == VerifyAlways:
		_, err := o.check(ctx, proof, Kept{Kind: "zip", Version: info.Version}, "")
		e.note("verification", "stop", nil, "%s does not vouch for it: %s", name, mirror.AsProblem(proof.err).Error())
		return err
	default:
		e.note("verification", "note", nil, "%s does not vouch for it (%s); it is passed on, since clients check for themselves", name, mirror.AsProblem(proof.err).What)
	}
	return nil
}

func (e *explanation) end(err error) {
	if err == nil {
		e.verdict.Outcome = mirror.ModuleServed
		return
	}
	e.verdict.Problem = mirror.AsProblem(err)
	switch {
	case errors.Is(err, mirror.ErrDenied), errors.Is(err, mirror.ErrIntegrity):
		e.verdict.Outcome = mirror.ModuleRefused
	case errors.Is(err, mirror.ErrNotFound):
		e.verdict.Outcome = mirror.ModuleMissing
	default:
		e.verdict.Outcome = mirror.ModuleFailed
	}
}
