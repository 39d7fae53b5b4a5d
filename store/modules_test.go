package store_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/store"
)

func modulePaths(list []mirror.ServedModule) (names []string) {
	for _, m := range list {
		names = append(names, m.Path)
	}
	return names
}

func TestModuleUse(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, location string) {
		ctx, at := t.Context(), base()
		secret := add(t, db, "git.corp.test/secret")
		public := add(t, db, "github.com/o/open")
		use := func(module, version string, n int64, at time.Time, change func(*mirror.ModuleUse)) mirror.ModuleUse {
			u := mirror.ModuleUse{Module: module, Version: version, Requests: 2 * n, Hits: n, Downloads: n, Bytes: 100 * n, At: at}
			if change != nil {
				change(&u)
			}
			return u
		}
		from := func(source string) func(*mirror.ModuleUse) {
			return func(u *mirror.ModuleUse) { u.Source = source }
		}
		made := func(repo mirror.Repo, private bool) func(*mirror.ModuleUse) {
			return func(u *mirror.ModuleUse) { u.Source, u.Repo, u.Private = mirror.ModuleOfMirror, repo.ID, private }
		}
		first := []mirror.ModuleUse{
			use("example.com/a", "v1.0.0", 1, at, from("https://proxy.test")),
			use("example.com/a", "v1.1.0", 4, at, func(u *mirror.ModuleUse) { u.Size, u.Sums.Zip, u.Proven = 55, "h1:x=", true }),
			use("example.com/a", "", 0, at.Add(time.Minute), nil),
			use("example.com/A", "v1.0.0", 3, at.Add(-48*time.Hour), nil),
			use("git.corp.test/secret", "v0.1.0", 9, at, made(secret, true)),
			use("github.com/o/open", "v0.1.0", 2, at.Add(2*time.Minute), made(public, false)),
		}
		if err := db.AddModuleUse(ctx, first); err != nil {
			t.Fatal(err)
		}
		// The second time is another process, and another day.
		again := use("example.com/a", "v1.1.0", 5, at.Add(24*time.Hour), nil)
		if err := open(t, location).AddModuleUse(ctx, []mirror.ModuleUse{again}); err != nil {
			t.Fatal(err)
		}
		got, err := db.ServedModule(ctx, "example.com/a")
		want := mirror.ServedModule{
			Path: "example.com/a", Source: "https://proxy.test", Versions: 2, Requests: 20, Hits: 10, Downloads: 10, Bytes: 1000,
			FirstUsed: at, LastUsed: at.Add(24 * time.Hour),
		}
		if err != nil || got != want {
			t.Errorf("ServedModule(example.com/a) = %+v %v, want %+v", got, err, want)
		}
		versions, err := db.ServedVersions(ctx, "example.com/a", 0)
		if err != nil || len(versions) != 2 || versions[0].Version != "v1.1.0" || versions[0].Downloads != 9 || versions[0].Size != 55 ||
			versions[0].Sums.Zip != "h1:x=" || !versions[0].Proven || versions[1].Source != "https://proxy.test" {
			t.Errorf("ServedVersions = %+v %v, want v1.1.0 with its facts kept, and v1.0.0", versions, err)
		}
		days, err := db.ServedDays(ctx, "example.com/a", at.Add(-24*time.Hour))
		if err != nil || len(days) != 2 || days[0].Downloads != 5 || days[1].Downloads != 5 || !days[1].Day.Equal(at.Add(24*time.Hour).Truncate(24*time.Hour)) {
			t.Errorf("ServedDays = %+v %v, want two days of 5", days, err)
		}
		if days, err := db.ServedDays(ctx, "", time.Time{}); err != nil || len(days) != 3 {
			t.Errorf("ServedDays of all = %+v %v, want 3 days", days, err)
		}
		for sort, want := range map[mirror.ModuleSort][]string{
			"":                        {"example.com/A", "example.com/a", "git.corp.test/secret", "github.com/o/open"},
			mirror.ModulesByDownloads: {"example.com/a", "git.corp.test/secret", "example.com/A", "github.com/o/open"},
			mirror.ModulesByBytes:     {"example.com/a", "git.corp.test/secret", "example.com/A", "github.com/o/open"},
			mirror.ModulesByUse:       {"example.com/a", "github.com/o/open", "git.corp.test/secret", "example.com/A"},
		} {
			var paged []string
			q := mirror.ServedQuery{Sort: sort, Limit: 1}
			for range 10 {
				page, err := db.ServedModules(ctx, q)
				if err != nil {
					t.Fatal(err)
				}
				if len(page) == 0 {
					break
				}
				paged, q.After = append(paged, page[0].Path), &page[0]
			}
			if !reflect.DeepEqual(paged, want) {
				t.Errorf("ServedModules by %q = %v, want %v", sort, paged, want)
			}
		}
		list, err := db.ServedModules(ctx, mirror.ServedQuery{Search: "EXAMPLE.com/", Public: true})
		if err != nil || !reflect.DeepEqual(modulePaths(list), []string{"example.com/A", "example.com/a"}) {
			t.Errorf("ServedModules(EXAMPLE.com/) = %v %v, want both", modulePaths(list), err)
		}
		if list, err := db.ServedModules(ctx, mirror.ServedQuery{Search: "m%e_", Public: true}); err != nil || len(list) != 0 {
			t.Errorf("ServedModules(m%%e_) = %v %v, want none", modulePaths(list), err)
		}
		// Whether a mirror is private is what it is now.
		r, err := db.RepoByID(ctx, public.ID)
		if err != nil {
			t.Fatal(err)
		}
		r.Private = true
		if err := db.EditRepo(ctx, r); err != nil {
			t.Fatal(err)
		}
		if err := db.RemoveRepo(ctx, secret.ID); err != nil {
			t.Fatal(err)
		}
		if list, err := db.ServedModules(ctx, mirror.ServedQuery{Public: true}); err != nil || len(list) != 2 {
			t.Errorf("ServedModules(Public) = %v %v, want example.com alone", modulePaths(list), err)
		}
		totals, err := db.ServedTotals(ctx)
		if err != nil || len(totals) != 3 || totals[0].Private || totals[0].Modules != 2 || totals[0].Versions != 3 || totals[0].Downloads != 13 || !totals[1].Private {
			t.Errorf("ServedTotals = %+v %v, want the public ones and two private mirrors", totals, err)
		}
		if err := db.ThinModules(ctx, at.Add(usedFor+time.Hour)); err != nil {
			t.Fatal(err)
		}
		if list, err := db.ServedModules(ctx, mirror.ServedQuery{}); err != nil || len(list) != 1 || list[0].Versions != 1 {
			t.Errorf("after ThinModules: %+v %v, want what was used last", list, err)
		}
		for _, name := range []string{"", "none.test/x", "\xff\x00"} {
			if _, err := db.ServedModule(ctx, name); !errors.Is(err, mirror.ErrNotFound) {
				t.Errorf("ServedModule(%q) = %v, want not found", name, err)
			}
		}
	})
}

const usedFor = 400 * 24 * time.Hour

func TestModuleRefusals(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, location string) {
		ctx, at := t.Context(), base()
		refusal := func(kind mirror.ModuleEventKind, version string, at time.Time) mirror.ModuleRefusal {
			return mirror.ModuleRefusal{ModuleEvent: mirror.ModuleEvent{At: at, Kind: kind, Module: "example.com/lib", Version: version, User: "dev", Address: "10.0.0.1", Text: "no \x00 " + version}}
		}
		for range 3 {
			if err := db.AddModuleRefusals(ctx, []mirror.ModuleRefusal{
				refusal(mirror.ModuleDenied, "v1.0.0", at), refusal(mirror.ModuleDenied, "v1.0.0", at.Add(time.Minute)), refusal(mirror.ModuleForged, "v1.1.0", at.Add(time.Hour)),
			}); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.AddModuleRefusals(ctx, []mirror.ModuleRefusal{refusal(mirror.ModuleDenied, "v1.0.0", at.Add(24*time.Hour))}); err != nil {
			t.Fatal(err)
		}
		var all []mirror.ModuleRefusal
		q := mirror.RefusalQuery{Limit: 1}
		for range 10 {
			page, err := db.ModuleRefusals(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			all, q.After = append(all, page...), &page[0]
		}
		if len(all) != 3 || all[0].Times != 1 || all[1].Kind != mirror.ModuleForged || all[1].Times != 3 || all[2].Times != 6 ||
			!all[2].First.Equal(at) || !all[2].At.Equal(at.Add(time.Minute)) || all[2].User != "dev" {
			t.Fatalf("ModuleRefusals = %+v, want three, of 1, 3 and 6 times", all)
		}
		if n, err := db.CountForged(ctx); err != nil || n != 1 {
			t.Errorf("CountForged = %d %v, want 1", n, err)
		}
		for range 2 {
			if err := db.SeeModuleRefusal(ctx, all[1].ID, "admin", at.Add(2*time.Hour)); err != nil {
				t.Errorf("SeeModuleRefusal = %v, want none", err)
			}
		}
		if n, err := db.CountForged(ctx); err != nil || n != 0 {
			t.Errorf("CountForged after it was seen = %d %v, want 0", n, err)
		}
		if got, err := db.ModuleRefusal(ctx, all[1].ID); err != nil || got.SeenBy != "admin" || !got.Seen.Equal(at.Add(2*time.Hour)) {
			t.Errorf("ModuleRefusal = %+v %v, want it seen by admin", got, err)
		}
		if err := db.SeeModuleRefusal(ctx, 987654, "admin", at); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("SeeModuleRefusal(987654) = %v, want not found", err)
		}
		for _, q := range []mirror.RefusalQuery{{Kind: mirror.ModuleForged, Module: "example.com/lib"}, {Kind: mirror.ModuleTooYoung}, {Module: "x"}, {Unseen: true}} {
			list, err := db.ModuleRefusals(ctx, q)
			want := 0
			if q.Kind == mirror.ModuleForged {
				want = 1
			}
			if err != nil || len(list) != want {
				t.Errorf("ModuleRefusals(%+v) = %d %v, want %d", q, len(list), err, want)
			}
		}
	})
}

func TestModulePins(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, location string) {
		ctx, at := t.Context(), base()
		pin := func(version, by string, until time.Duration) mirror.ModulePin {
			p := mirror.ModulePin{Module: "example.com/lib", Version: version, By: by, Reason: "r", At: at}
			if until != 0 {
				p.Until = at.Add(until)
			}
			return p
		}
		pins := func(now time.Duration) string {
			list, err := db.ModulePins(ctx, mirror.PinQuery{Now: at.Add(now), Module: "example.com/lib"})
			if err != nil {
				t.Fatal(err)
			}
			text := ""
			for _, p := range list {
				if text += fmt.Sprintf("%s/%s", p.Version, p.By); !p.Until.IsZero() {
					text += fmt.Sprintf("/%s", p.Until.Sub(at))
				}
				text += " "
			}
			return text
		}
		for _, step := range []struct {
			pin  mirror.ModulePin
			want string
		}{
			{pin("v1.0.0", "", time.Hour), "v1.0.0//1h0m0s "},
			{pin("v1.0.0", "", 2*time.Hour), "v1.0.0//2h0m0s "},
			{pin("v1.0.0", "", time.Hour), "v1.0.0//2h0m0s "},
			{pin("v1.0.0", "ada", time.Hour), "v1.0.0/ada/1h0m0s "},
			{pin("v1.0.0", "", 9*time.Hour), "v1.0.0/ada/1h0m0s "},
			{pin("v1.0.0", "ada", 0), "v1.0.0/ada "},
			{pin("", "bob", 0), "/bob v1.0.0/ada "},
		} {
			if err := db.PinModules(ctx, []mirror.ModulePin{step.pin}); err != nil {
				t.Fatal(err)
			}
			if got := pins(time.Minute); got != step.want {
				t.Errorf("after PinModules(%+v): %q, want %q", step.pin, got, step.want)
			}
		}
		if err := db.PinModules(ctx, []mirror.ModulePin{pin("v1.1.0", "", time.Hour)}); err != nil {
			t.Fatal(err)
		}
		if got := pins(2 * time.Hour); got != "/bob v1.0.0/ada " {
			t.Errorf("ModulePins two hours on = %q, want those that hold", got)
		}
		list, err := db.ModulePins(ctx, mirror.PinQuery{Now: at, After: &mirror.ModulePin{Module: "example.com/lib"}, Limit: 1})
		if err != nil || len(list) != 1 || list[0].Version != "v1.0.0" {
			t.Errorf("ModulePins behind the first = %+v %v, want v1.0.0", list, err)
		}
		if err := db.UnpinModule(ctx, "example.com/lib", "v1.0.0"); err != nil {
			t.Fatal(err)
		}
		if err := db.UnpinModule(ctx, "example.com/lib", "v1.0.0"); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("UnpinModule of none = %v, want not found", err)
		}
	})
}

func TestModuleRules(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, location string) {
		ctx := t.Context()
		marks := map[string]bool{}
		mark := func() {
			t.Helper()
			m, err := db.ModuleRulesMark(ctx)
			if err != nil || marks[m] {
				t.Errorf("ModuleRulesMark = %q %v, want another text than before", m, err)
			}
			marks[m] = true
		}
		mark()
		ids := map[string]int64{}
		rule := func(pattern string, before int64) {
			t.Helper()
			r := mirror.ModuleRule{Action: mirror.ActionDeny, Pattern: pattern, Versions: "<v2.0.0", Age: 36 * time.Hour, Mode: mirror.Offline, Reason: "so", By: "ada", At: base()}
			id, err := db.AddModuleRule(ctx, r, before)
			if err != nil {
				t.Fatal(err)
			}
			ids[pattern] = id
			mark()
		}
		rule("b", 0)
		rule("d", 0)
		rule("a", -1)
		rule("c", ids["d"])
		list, err := db.ModuleRules(ctx)
		order := ""
		for _, r := range list {
			order += r.Pattern
		}
		want := mirror.ModuleRule{ID: ids["a"], Action: mirror.ActionDeny, Pattern: "a", Versions: "<v2.0.0", Age: 36 * time.Hour, Mode: mirror.Offline, Reason: "so", By: "ada", At: base()}
		if err != nil || order != "abcd" || list[0] != want {
			t.Errorf("ModuleRules = %+v %v, want a b c d, the first %+v", list, err, want)
		}
		if err := db.RemoveModuleRule(ctx, ids["b"]); err != nil {
			t.Fatal(err)
		}
		mark()
		if err := db.RemoveModuleRule(ctx, ids["b"]); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("RemoveModuleRule of none = %v, want not found", err)
		}
		if _, err := db.AddModuleRule(ctx, mirror.ModuleRule{}, 987654); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("AddModuleRule before none = %v, want not found", err)
		}
	})
}

// What was first seen stays, whatever is seen later, until it is settled or forgotten.
func TestModuleSums(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, location string) {
		ctx := t.Context()
		seen := func(sum string) string {
			t.Helper()
			first, err := db.FirstModuleSum(ctx, mirror.SeenSum{Module: "corp.test/lib", Version: "v1.0.0", Kind: "zip", Sum: sum, From: "https://proxy.test", At: time.Unix(1, 0)})
			if err != nil {
				t.Fatal(err)
			}
			return first.Sum
		}
		settle := func(sum, was string) {
			t.Helper()
			if err := db.SettleModuleSum(ctx, mirror.SeenSum{Module: "corp.test/lib", Version: "v1.0.0", Kind: "zip", Sum: sum}, was); err != nil {
				t.Fatal(err)
			}
		}
		for _, sum := range []string{"sha256:a", "sha256:b"} {
			if got := seen(sum); got != "sha256:a" {
				t.Errorf("FirstModuleSum(%s) = %s, want the first, sha256:a", sum, got)
			}
		}
		settle("h1:x sha256:b", "sha256:b") // it is not that one
		if got := seen("sha256:c"); got != "sha256:a" {
			t.Errorf("FirstModuleSum() after another one was settled = %s, want sha256:a", got)
		}
		settle("h1:x sha256:a", "sha256:a")
		if got := seen("sha256:c"); got != "h1:x sha256:a" {
			t.Errorf("FirstModuleSum() after it was settled = %s, want h1:x sha256:a", got)
		}
		if err := db.ForgetModuleSums(ctx, "corp.test/lib", "v1.0.0"); err != nil {
			t.Fatal(err)
		}
		if got := seen("sha256:c"); got != "sha256:c" {
			t.Errorf("FirstModuleSum() after it was forgotten = %s, want sha256:c", got)
		}
	})
}
