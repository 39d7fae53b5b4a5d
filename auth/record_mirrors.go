package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// RecordMirrors returns the store with the changes people make noted for the
// audit trail. Mirrors that are added without a request of the console or the
// API, by a git client or by a rule, get entries of their own.
func RecordMirrors(s mirror.Store, t *Trail) mirror.Store { return recordedMirrors{s, t} }

type recordedMirrors struct {
	mirror.Store
	trail *Trail
}

func (s recordedMirrors) AddRepo(ctx context.Context, r mirror.Repo) error {
	if err := s.Store.AddRepo(ctx, r); err != nil {
		return err
	}
	object, changes := "mirror "+string(r.Path), changed(nil, repoFields(r))
	if notesOf(ctx) != nil {
		Note(ctx, object, changes...)
		return nil
	}
	d := Deed{Action: "add-mirrors", Objects: []string{object}, Outcome: Succeeded, Changes: changes, Via: ByServer}
	if id := From(ctx); !id.Anonymous() {
		d.By(id)
	}
	s.trail.Add(ctx, d)
	return nil
}

func (s recordedMirrors) EditRepo(ctx context.Context, r mirror.Repo) error {
	if notesOf(ctx) == nil {
		return s.Store.EditRepo(ctx, r)
	}
	before, err := s.Store.RepoByID(ctx, r.ID)
	if err != nil {
		return err
	}
	if err = s.Store.EditRepo(ctx, r); err == nil {
		Note(ctx, "mirror "+string(before.Path), changed(repoFields(before), repoFields(r))...)
	}
	return err
}

func (s recordedMirrors) RenameRepo(ctx context.Context, r mirror.Repo, alias bool) error {
	if notesOf(ctx) == nil {
		return s.Store.RenameRepo(ctx, r, alias)
	}
	before, err := s.Store.RepoByID(ctx, r.ID)
	if err != nil {
		return err
	}
	if err = s.Store.RenameRepo(ctx, r, alias); err == nil {
		Note(ctx, "mirror "+string(before.Path)) // to be found by either path
		Note(ctx, "mirror "+string(r.Path), Change{Field: "path", Before: string(before.Path), After: string(r.Path)})
		if alias {
			Note(ctx, "alias "+string(before.Path), Change{Field: "repository", After: string(r.Path)})
		}
	}
	return err
}

func (s recordedMirrors) RemoveRepo(ctx context.Context, id mirror.ID) error {
	var before mirror.Repo
	if notesOf(ctx) != nil {
		var err error
		if before, err = s.Store.RepoByID(ctx, id); err != nil {
			return err
		}
	}
	err := s.Store.RemoveRepo(ctx, id)
	if err == nil {
		Note(ctx, "mirror "+string(before.Path), changed(repoFields(before), nil)...)
	}
	return err
}

func (s recordedMirrors) DecideHold(ctx context.Context, id int64, d mirror.Decision, by, reason string, now time.Time) (mirror.Hold, error) {
	h, err := s.Store.DecideHold(ctx, id, d, by, reason, now)
	if err == nil && notesOf(ctx) != nil {
		path := mirror.Path(h.Repo)
		if r, err := s.Store.RepoByID(ctx, h.Repo); err == nil {
			path = r.Path
		}
		Note(ctx, "mirror "+string(path), Change{Field: "approval", Before: fmt.Sprint(h.ID)}, Change{Field: string(h.Kind), Before: h.Ref + " " + h.Old, After: h.Ref + " " + h.New},
			Change{Field: "decision", After: string(d)}, Change{Field: "reason", After: reason})
	}
	return h, err
}

func (s recordedMirrors) AddAlias(ctx context.Context, a mirror.Alias) error {
	err := s.Store.AddAlias(ctx, a)
	if err == nil {
		Note(ctx, "alias "+a.Prefix, Change{Field: "repository", After: strings.TrimSuffix(string(a.Repo)+"/"+a.Dir, "/")}, Change{Field: "found", After: a.Found})
	}
	return err
}

func (s recordedMirrors) RemoveAlias(ctx context.Context, prefix string) error {
	was := ""
	if notesOf(ctx) != nil {
		all, err := s.Store.Aliases(ctx)
		if err != nil {
			return err
		}
		for _, a := range all {
			if a.Prefix == prefix {
				was = strings.TrimSuffix(string(a.Repo)+"/"+a.Dir, "/")
			}
		}
	}
	err := s.Store.RemoveAlias(ctx, prefix)
	if err == nil {
		Note(ctx, "alias "+prefix, Change{Field: "repository", Before: was})
	}
	return err
}

func (s recordedMirrors) AddRule(ctx context.Context, r mirror.Rule) error {
	err := s.Store.AddRule(ctx, r)
	if err == nil {
		Note(ctx, "rule "+r.Pattern, changed(nil, ruleFields(r))...)
	}
	return err
}

func (s recordedMirrors) EditRule(ctx context.Context, r mirror.Rule) error {
	before, err := s.rule(ctx, r.Pattern)
	if err != nil {
		return err
	}
	if err = s.Store.EditRule(ctx, r); err == nil {
		Note(ctx, "rule "+r.Pattern, changed(ruleFields(before), ruleFields(r))...)
	}
	return err
}

func (s recordedMirrors) RemoveRule(ctx context.Context, pattern string) error {
	before, err := s.rule(ctx, pattern)
	if err != nil {
		return err
	}
	if err = s.Store.RemoveRule(ctx, pattern); err == nil {
		Note(ctx, "rule "+before.Pattern, changed(ruleFields(before), nil)...)
	}
	return err
}

// rule is as it is, when somebody wants to know.
func (s recordedMirrors) rule(ctx context.Context, pattern string) (mirror.Rule, error) {
	if notesOf(ctx) == nil {
		return mirror.Rule{}, nil
	}
	all, err := s.Store.Rules(ctx)
	for _, r := range all {
		if strings.EqualFold(r.Pattern, pattern) {
			return r, nil
		}
	}
	return mirror.Rule{Pattern: pattern}, err
}

func (s recordedMirrors) AddCredential(ctx context.Context, c mirror.SealedCredential) error {
	before := ""
	if notesOf(ctx) != nil {
		if _, err := s.Store.Credential(ctx, c.Name); err == nil {
			before = "(set)"
		}
	}
	err := s.Store.AddCredential(ctx, c)
	if err == nil {
		Note(ctx, "credential "+c.Name, Change{Field: "host", After: c.Host}, Change{Field: "user", After: c.User},
			Change{Field: "secret", Before: before, After: "(a new one)"})
	}
	return err
}

func (s recordedMirrors) RemoveCredential(ctx context.Context, name string) error {
	err := s.Store.RemoveCredential(ctx, name)
	if err == nil {
		Note(ctx, "credential "+name, Change{Field: "secret", Before: "(set)"})
	}
	return err
}

func (s recordedMirrors) SaveHost(ctx context.Context, h mirror.Host) error {
	var before []field
	if notesOf(ctx) != nil {
		if was, err := s.Store.Host(ctx, h.Name); err == nil {
			before = hostFields(was)
		}
	}
	err := s.Store.SaveHost(ctx, h)
	if err == nil {
		Note(ctx, "upstream "+h.Name, changed(before, hostFields(h))...)
	}
	return err
}

func (s recordedMirrors) SwitchHost(ctx context.Context, w mirror.Switch) error {
	err := s.Store.SwitchHost(ctx, w)
	if err == nil {
		Note(ctx, "upstream "+w.Host, Change{Field: "endpoint", Before: w.From, After: w.To},
			Change{Field: "pinned", After: yesNo(w.Pinned)}, Change{Field: "reason", After: w.Reason})
	}
	return err
}

func (s recordedMirrors) RemoveHost(ctx context.Context, name string) error {
	var before []field
	if notesOf(ctx) != nil {
		if was, err := s.Store.Host(ctx, name); err == nil {
			before = hostFields(was)
		}
	}
	err := s.Store.RemoveHost(ctx, name)
	if err == nil {
		Note(ctx, "upstream "+name, changed(before, nil)...)
	}
	return err
}

// field is a name and a value, in words.
type field struct{ name, value string }

// changed compares the fields of two states; nil = there was or is none.
func changed(before, after []field) []Change {
	var out []Change
	for i := range max(len(before), len(after)) {
		var c Change
		if i < len(before) {
			c.Field, c.Before = before[i].name, before[i].value
		}
		if i < len(after) {
			c.Field, c.After = after[i].name, after[i].value
		}
		if c.Before != c.After {
			out = append(out, c)
		}
	}
	return out
}

func repoFields(r mirror.Repo) []field {
	refs, _ := json.Marshal(r.Refs) // strings and a bool: it does not fail
	interval := "automatic"
	if r.Interval > 0 {
		interval = r.Interval.String()
	}
	archived := ""
	if !r.Archived.IsZero() {
		archived = "since " + r.Archived.UTC().Format(time.DateOnly)
	}
	return []field{
		{"upstream", r.Upstream.String()}, {"credential", r.Credential}, {"private", yesNo(r.Private)}, {"interval", interval},
		{"tags", string(r.Tags)}, {"refs", strings.TrimPrefix(string(refs), "{}")}, {"paused", yesNo(r.Paused)}, {"archived", archived},
	}
}

func ruleFields(r mirror.Rule) []field {
	discovery := ""
	if r.Discovery != nil {
		text, _ := json.Marshal(r.Discovery) // strings and bools
		discovery = string(text)
	}
	return []field{{"credential", r.Credential}, {"private", yesNo(r.Private)}, {"discovery", discovery}}
}

func hostFields(h mirror.Host) []field {
	var endpoints []string
	for _, e := range h.Endpoints {
		text, _ := json.Marshal(e) // strings and bools
		endpoints = append(endpoints, string(text))
	}
	return []field{
		{"endpoints", strings.Join(endpoints, " ")}, {"bandwidth", fmt.Sprint(h.Bandwidth)}, {"budget", fmt.Sprint(h.Budget)},
	}
}
