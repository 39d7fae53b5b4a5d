package modproxy_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
)

// serveOnce is the status and the body of an answer.
func serveOnce(h http.Handler, r *http.Request) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func steps(v mirror.ModuleVerdict) string {
	var b strings.Builder
	for _, s := range v.Steps {
		fmt.Fprintf(&b, "%s %s", s.About, s.Result)
		if s.Rule != nil {
			fmt.Fprintf(&b, " (%s %s)", s.Rule.Action, s.Rule.Pattern)
		}
		b.WriteString(", ")
	}
	return strings.TrimSuffix(b.String(), ", ")
}

// What Explain says is what happens when somebody asks.
func TestExplain(t *testing.T) {
	osv := filepath.Join(t.TempDir(), "osv.json")
	if err := os.WriteFile(osv, []byte(osvText), 0o644); err != nil {
		t.Fatal(err)
	}
	w, p := rulesWorld(t)
	w.counting()
	w.vouch(t, p)
	w.row(t, "github.com/acme/secret", true)
	for _, tt := range []struct {
		rules  string
		book   *modproxy.RuleBook
		module string
		query  string
		want   mirror.ModuleOutcome
		is     string // the version
		steps  string
	}{
		{"", nil, "example.com/lib", "v1.0.0", mirror.ModuleServed, "v1.0.0", "mode note, mirror note, rule pass, proxies pass, verification pass"},
		{"", nil, "example.com/lib", "", mirror.ModuleServed, "v1.3.0", "mode note, mirror note, rule pass, proxies pass, verification pass"},
		{"", nil, "github.com/Spf13/pflag", "main", mirror.ModuleServed, "v1.0.5", "mode note, rule pass, mirror pass, verification note"},
		{"", nil, "github.com/Spf13/pflag", "v9.9.9", mirror.ModuleMissing, "", "mode note, mirror note, proxies note"},
		{"", nil, "example.org/none", "latest", mirror.ModuleMissing, "", "mode note, mirror note, proxies note"},
		{"", nil, "github.com/acme/secret", "latest", mirror.ModuleMissing, "", "mode note, mirror note, proxies note"},
		{"deny example.com/* >v1.1.0 untested", nil, "example.com/lib", "v1.2.0", mirror.ModuleRefused, "", "mode note, mirror note, rule stop (deny example.com/*)"},
		{"deny example.com/* >v1.1.0 untested", nil, "example.com/lib", "latest", mirror.ModuleServed, "v1.1.0", "mode note, mirror note, rule stop (deny example.com/*), rule pass, proxies pass, verification pass"},
		{"deny example.com/*", nil, "example.com/lib", "latest", mirror.ModuleRefused, "", "mode note, mirror note, rule stop (deny example.com/*)"},
		{"allow example.com/lib v1.3.0\nage * 7d", nil, "example.com/lib", "v1.3.0", mirror.ModuleServed, "v1.3.0", "mode note, mirror note, rule pass (allow example.com/lib), proxies pass, verification pass"},
		{"age * 7d", nil, "example.com/lib", "v1.3.0", mirror.ModuleRefused, "", "mode note, mirror note, rule pass, age stop (age *)"},
		{"age * 7d", nil, "example.com/lib", "v1.0.0", mirror.ModuleServed, "v1.0.0", "mode note, mirror note, rule pass, age pass (age *), proxies pass, verification pass"},
		{"", &modproxy.RuleBook{OSV: osv}, "example.com/lib", "v1.1.0", mirror.ModuleRefused, "", "mode note, mirror note, rule pass, vulnerabilities stop"},
		{"mode example.com offline", nil, "example.com/lib", "v1.0.0", mirror.ModuleMissing, "", "mode note (mode example.com), mirror note, proxies note"},
		{"mode example.com mirror-only", nil, "example.com/lib", "v1.0.0", mirror.ModuleMissing, "", "mode note (mode example.com), mirror note"},
	} {
		w.behind(t, p.url) // with nothing kept
		fetched := p.times("/example.com/lib/@v/v1.0.0.zip") + p.times("/example.com/lib/@v/v1.1.0.zip") + p.times("/example.com/lib/@v/v1.3.0.zip")
		if tt.book == nil {
			tt.book = &modproxy.RuleBook{}
		}
		w.under(t, tt.book, tt.rules)
		v, err := w.handler.Explain(t.Context(), tt.module, tt.query)
		what := fmt.Sprintf("Explain(%s@%s) under %q", tt.module, tt.query, tt.rules)
		if err != nil || v.Outcome != tt.want || v.Resolved != tt.is || steps(v) != tt.steps || (v.Problem == nil) != (tt.want == mirror.ModuleServed) {
			t.Errorf("%s = %s %s [%s] %v %v, want %s %s [%s]", what, v.Outcome, v.Resolved, steps(v), v.Problem, err, tt.want, tt.is, tt.steps)
		}
		if n := p.times("/example.com/lib/@v/v1.0.0.zip") + p.times("/example.com/lib/@v/v1.1.0.zip") + p.times("/example.com/lib/@v/v1.3.0.zip"); n > fetched {
			t.Errorf("%s fetched the zip", what)
		}
		w.tell(t)
		if list, err := w.db.ModuleRefusals(t.Context(), mirror.RefusalQuery{}); err != nil || len(list) > 0 {
			t.Errorf("%s notes refusals: %v %v", what, list, err)
		}
		if tt.is == "" {
			continue
		}
		// And what really happens.
		escaped := strings.ReplaceAll(tt.module, "S", "!s")
		got := ask(w.handler, "GET", "/proxy/"+escaped+"/@v/"+v.Resolved+".zip")
		if want := tt.want == mirror.ModuleServed; (got.Code == 200) != want {
			t.Errorf("%s = %s, and GET .zip = %d %s", what, v.Outcome, got.Code, got.Body)
		}
		if v.Source != mirror.ModuleOfMirror {
			w.keeps(t, tt.module, v.Resolved)
		}
		again, err := w.handler.Explain(t.Context(), tt.module, v.Resolved)
		if err != nil || again.Outcome != mirror.ModuleServed || again.Kept == (again.Source == mirror.ModuleOfMirror) {
			t.Errorf("%s, when it was served = %+v %v, want it kept", what, again, err)
		}
	}
}

// Who may not read a private mirror learns no more than of a module nobody has.
func TestExplainHides(t *testing.T) {
	w, _ := rulesWorld(t)
	w.row(t, "github.com/acme/secret", true)
	hidden, err := w.handler.Explain(t.Context(), "github.com/acme/secret", "v1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	missing, err := w.handler.Explain(t.Context(), "github.com/acme/nothing", "v1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	one := strings.ReplaceAll(fmt.Sprintf("%+v %+v", hidden.Steps, *hidden.Problem), "secret", "nothing")
	if two := fmt.Sprintf("%+v %+v", missing.Steps, *missing.Problem); one != two {
		t.Errorf("of what is hidden: %s\nof nothing: %s", one, two)
	}
	dev := auth.With(t.Context(), auth.Identity{User: "u", Name: "dev", Role: auth.Developer, Scope: auth.ScopeRead})
	if v, err := w.handler.Explain(dev, "github.com/acme/secret", "v1.0.0"); err != nil || strings.Contains(steps(v), "proxies") {
		t.Errorf("Explain for who may read it = %s %v, want no proxy asked", steps(v), err)
	}
	for _, bad := range [][2]string{{"", "v1"}, {"-", ""}, {"a b", ""}, {"github.com/x/y", strings.Repeat("v", 5000)}, {"x.test/\xff", "v1"}} {
		if _, err := w.handler.Explain(t.Context(), bad[0], bad[1]); err == nil {
			t.Errorf("Explain(%q, %q) = no error", bad[0], bad[1])
		}
	}
}

// Stored rules come behind those of the file, hold at once, and are seen when
// another server stores them.
func TestStoredRules(t *testing.T) {
	w, _ := rulesWorld(t)
	book := w.under(t, &modproxy.RuleBook{Stored: w.db}, "allow example.com/lib v1.0.0 the file says so")
	status := func(version string) int {
		return ask(w.handler, "GET", "/proxy/example.com/lib/@v/"+version+".zip").Code
	}
	if status("v1.1.0") != 200 {
		t.Fatalf("GET v1.1.0 = %d, want 200", status("v1.1.0"))
	}
	rule, err := w.handler.AddModuleRule(t.Context(), mirror.ModuleRule{Action: mirror.ActionDeny, Pattern: "example.com/*", Reason: "no", By: "ada"}, 0)
	if err != nil || rule.ID == 0 {
		t.Fatalf("AddModuleRule = %+v %v", rule, err)
	}
	if status("v1.0.0") != 200 || status("v1.1.0") != 403 {
		t.Errorf("under the rules: v1.0.0 = %d, v1.1.0 = %d, want 200, 403", status("v1.0.0"), status("v1.1.0"))
	}
	first, err := w.handler.AddModuleRule(t.Context(), mirror.ModuleRule{Action: mirror.ActionAllow, Pattern: "example.com/lib", Versions: "v1.1.0"}, -1)
	if err != nil {
		t.Fatal(err)
	}
	if all := w.handler.ModuleRules(); len(all) != 3 || all[0].Line != 1 || all[1].ID != first.ID || all[2].ID != rule.ID || status("v1.1.0") != 200 {
		t.Errorf("ModuleRules = %+v, want that of the file, then %d, then %d; v1.1.0 = %d", all, first.ID, rule.ID, status("v1.1.0"))
	}
	for _, bad := range []mirror.ModuleRule{
		{}, {Action: "forbid", Pattern: "x"}, {Action: mirror.ActionDeny, Pattern: "a b"}, {Action: mirror.ActionDeny, Pattern: "a,b"}, {Action: mirror.ActionDeny, Pattern: "x", Versions: "<1"},
		{Action: mirror.ActionMode, Pattern: "x", Mode: "sometimes"}, {Action: mirror.ActionAge, Pattern: "x", Age: -1}, {Action: mirror.ActionDeny, Pattern: "x", Reason: "a\nb"},
		{Action: mirror.ActionDeny, Pattern: "x", Reason: strings.Repeat("x", 501)},
	} {
		if _, err := w.handler.AddModuleRule(t.Context(), bad, 0); !errors.Is(err, mirror.ErrInvalid) {
			t.Errorf("AddModuleRule(%+v) = %v, want invalid", bad, err)
		}
	}
	// Another server, which hears of it by itself.
	other, err := modproxy.OpenRules(t.Context(), &modproxy.RuleBook{Stored: w.db})
	if err != nil {
		t.Fatal(err)
	}
	if len(other.All()) != 2 {
		t.Errorf("All of another server = %v, want 2", other.All())
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- other.Run(ctx) }()
	if err := book.Remove(t.Context(), rule.ID); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); len(other.All()) != 1; <-time.After(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("another server goes by %v, want one rule", other.All())
		}
	}
	cancel()
	<-done
	if err := book.Remove(t.Context(), rule.ID); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("Remove of none = %v, want not found", err)
	}
	if status("v1.2.0") != 200 {
		t.Errorf("without the rule: v1.2.0 = %d, want 200", status("v1.2.0"))
	}
}
