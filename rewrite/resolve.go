package rewrite

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/mirror"
)

const (
	defaultBatch = 1000
	maxAsked     = 50_000 // module versions of one project
)

// asker puts questions to the Resolver in batches, once each, and believes no
// answer it has not looked at.
type asker struct {
	p       *Planner
	host    string
	answers map[question]*mirror.ModuleAnswer
	done    int
	known   int
}

type question struct {
	module.Version
	form mirror.Form
	zip  bool
}

func newAsker(p *Planner) *asker {
	return &asker{p: p, host: p.Site.Root(), answers: map[question]*mirror.ModuleAnswer{}}
}

// answer returns what is known; an answer with zip hashes also answers the
// question without them.
func (a *asker) answer(q question) (*mirror.ModuleAnswer, bool) {
	if found, ok := a.answers[q]; ok {
		return found, true
	}
	if !q.zip {
		q.zip = true
		found, ok := a.answers[q]
		return found, ok
	}
	return nil, false
}

// ask makes sure that all questions have an answer.
func (a *asker) ask(ctx context.Context, questions []question) error {
	var todo []question
	asked := map[question]bool{}
	for _, q := range questions {
		if _, ok := a.answer(q); !ok && !asked[q] {
			asked[q] = true
			todo = append(todo, q)
		}
	}
	slices.SortFunc(todo, func(x, y question) int {
		return cmp.Or(strings.Compare(x.Path, y.Path), strings.Compare(x.Version.Version, y.Version.Version))
	})
	if a.known += len(todo); a.known > maxAsked {
		return badProject(fmt.Sprintf("the project needs more than %d module versions", maxAsked), "", "look at its go.mod and go.sum")
	}
	if a.p.Progress != nil && len(todo) > 0 {
		a.p.Progress(a.done, a.known)
	}
	for batch := range slices.Chunk(todo, cmp.Or(a.p.Batch, defaultBatch)) {
		if err := a.send(ctx, batch); err != nil {
			return err
		}
		a.done += len(batch)
		if a.p.Progress != nil {
			a.p.Progress(a.done, a.known)
		}
	}
	return nil
}

func (a *asker) send(ctx context.Context, batch []question) error {
	queries := make([]mirror.ModuleQuery, len(batch))
	for i, q := range batch {
		queries[i] = mirror.ModuleQuery{Path: q.Path, Version: q.Version.Version, Form: q.form, ModOnly: !q.zip}
	}
	answers, err := a.p.Resolver.Resolve(ctx, queries)
	if err != nil {
		return err
	}
	if len(answers) < len(batch) {
		return unbelievable("", fmt.Sprintf("%d questions got %d answers", len(batch), len(answers)))
	}
	for i, q := range batch {
		answer := answers[i]
		if why := a.wrong(q, &answer); why != "" {
			return unbelievable(q.String(), why)
		}
		a.answers[q] = &answer
	}
	for _, answer := range answers[len(batch):] { // to questions that may come
		q := question{Version: module.Version{Path: answer.Path, Version: answer.Version}, form: batch[0].form}
		if _, ok := a.answer(q); ok {
			continue
		}
		if why := a.wrong(q, &answer); why != "" {
			return unbelievable(q.String(), why)
		}
		if len(a.answers) < maxAsked {
			a.answers[q] = &answer
		}
	}
	return nil
}

func unbelievable(module, why string) error {
	what := "the mirror's answer cannot be used"
	if module != "" {
		what = printable(module) + ": " + what
	}
	return &mirror.Problem{
		Code: CodeSum, Kind: mirror.ErrIntegrity, What: what, Why: printable(why),
		Do: "nothing was changed; check --server, and tell the mirror's administrator",
	}
}

// wrong tells what an honest server would not have answered; empty = nothing.
func (a *asker) wrong(q question, m *mirror.ModuleAnswer) string {
	if m.Path != q.Path || m.Version != q.Version.Version {
		return "it is about another module: " + m.Path + "@" + m.Version
	}
	if m.Problem != nil {
		safe := *m.Problem
		safe.What, safe.Why, safe.Do, safe.Raw = printable(safe.What), printable(safe.Why), printable(safe.Do), printable(safe.Raw)
		m.Problem = &safe
		m.Replacement, m.GoMod = mirror.ModuleVersion{}, ""
		return ""
	}
	if a.p.mode() != Replace {
		return ""
	}
	if !strings.HasPrefix(m.Replacement.Path, a.host+"/") {
		return "it leads to " + m.Replacement.Path + ", which is not below " + a.host
	}
	if err := module.Check(m.Replacement.Path, m.Replacement.Version); err != nil {
		return "the go command would refuse the replacement " + m.Replacement.String()
	}
	for _, h := range []string{m.Original.Mod, m.Replaced.Mod} {
		if !isHash(h) {
			return "a go.mod hash is missing or malformed"
		}
	}
	if q.zip && !(isHash(m.Original.Zip) && isHash(m.Replaced.Zip)) {
		return "a zip hash is missing or malformed"
	}
	if len(m.GoMod) > maxGoMod {
		return "its go.mod is too large"
	}
	if strings.ContainsRune(m.GoMod, utf8.RuneError) {
		// Bytes that are no UTF-8 do not survive JSON. Its hashes count, its
		// requirements are then known from go.sum alone.
		m.GoMod = ""
		return ""
	}
	made := "module " + modfile.AutoQuote(m.Replacement.Path) + "\n" // what the go command makes up when there is none
	switch {
	case hashGoMod(m.GoMod) != m.Original.Mod:
		return "its go.mod does not have the hash it comes with"
	case m.Replaced.Mod != m.Original.Mod && m.Replaced.Mod != hashGoMod(made):
		return "the go.mod hash of the replacement fits neither its go.mod nor an empty one"
	}
	return ""
}

func isHash(h string) bool {
	text, ok := strings.CutPrefix(h, "h1:")
	sum, err := base64.StdEncoding.Strict().DecodeString(text)
	return ok && err == nil && len(sum) == sha256.Size
}

// hashGoMod is the "h1:" hash of a go.mod, as go.sum has it (dirhash.Hash1 of
// the one file "go.mod").
func hashGoMod(text string) string {
	file := sha256.Sum256([]byte(text))
	list := sha256.Sum256(fmt.Appendf(nil, "%x  go.mod\n", file))
	return "h1:" + base64.StdEncoding.EncodeToString(list[:])
}
