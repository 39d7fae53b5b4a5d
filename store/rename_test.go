package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/store"
)

// named is all that names mirrors by their path, in words.
func named(t *testing.T, db *store.DB) []string {
	t.Helper()
	repos, err := db.Repos(t.Context(), mirror.RepoQuery{})
	if err != nil {
		t.Fatal(err)
	}
	aliases, err := db.Aliases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	access, err := db.Access(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range repos {
		out = append(out, string(r.Path))
	}
	for _, a := range aliases {
		out = append(out, fmt.Sprintf("%s=%s/%s %s", a.Prefix, a.Repo, a.Dir, a.Found))
	}
	for _, g := range access.Grants {
		out = append(out, g.Pattern+">"+g.Group)
	}
	return out
}

// renamedHouse is a mirror with what names it, and another one.
func renamedHouse(t *testing.T, db *store.DB) mirror.Repo {
	t.Helper()
	r := add(t, db, "git.test/a/tool")
	add(t, db, "git.test/a/other")
	for _, a := range []mirror.Alias{
		{Prefix: "go.test/tool", Repo: r.Path, Found: "admin"}, {Prefix: "go.test/sub", Repo: r.Path, Dir: "sub", Found: "go-import"},
		{Prefix: "go.test/other", Repo: "git.test/a/other", Found: "admin"},
	} {
		if err := db.AddAlias(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	for _, g := range []string{"g1", "g2"} {
		if err := db.AddGroup(t.Context(), auth.Group{ID: g, Name: g, Created: base()}); err != nil {
			t.Fatal(err)
		}
	}
	for _, g := range []auth.Grant{
		{Pattern: "git.test/A/tool", Group: "g1"}, {Pattern: "git.test/A/tool", Group: "g2"}, {Pattern: "git.test/a/*", Group: "g1"}, {Pattern: "git.test/b/tool", Group: "g2"},
	} {
		g.Created = base()
		if err := db.AddGrant(t.Context(), g); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestRenameRepo(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx, r := t.Context(), renamedHouse(t, db)
		if _, err := db.Glance(ctx, r.Path); err != nil { // it is remembered now
			t.Fatal(err)
		}
		to := func(path mirror.Path, version int64, alias bool) error {
			now := mustRepo(t, db, r.ID)
			now.Path, now.Version = path, version
			return db.RenameRepo(ctx, now, alias)
		}
		before := named(t, db)
		if err := to("git.test/a/OTHER", 1, true); !errors.Is(err, mirror.ErrExists) {
			t.Errorf("RenameRepo to a taken path = %v, want ErrExists", err)
		}
		if err := to("git.test/b/tool", 7, true); !errors.Is(err, mirror.ErrExists) {
			t.Errorf("RenameRepo of an old version = %v, want ErrExists", err)
		}
		if err := db.RenameRepo(ctx, mirror.Repo{ID: mirror.NewID(), Path: "git.test/b/tool", Version: 1}, true); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("RenameRepo of nothing = %v, want ErrNotFound", err)
		}
		if got := named(t, db); !slices.Equal(got, before) {
			t.Errorf("refused renamings left %q, want %q", got, before)
		}

		if err := to("git.test/b/Tool", 1, true); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"git.test/a/other", "git.test/b/Tool",
			"git.test/a/tool=git.test/b/Tool/ renamed", "go.test/other=git.test/a/other/ admin", "go.test/sub=git.test/b/Tool/sub go-import", "go.test/tool=git.test/b/Tool/ admin",
			"git.test/a/*>g1", "git.test/b/Tool>g1", "git.test/b/tool>g2",
		}
		if got := named(t, db); !slices.Equal(got, want) {
			t.Errorf("after the renaming: %q\nwant %q", got, want)
		}
		if _, err := db.Glance(ctx, "git.test/a/tool"); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("Glance(old path) = %v, want ErrNotFound at once", err)
		}
		if got, err := db.Glance(ctx, "git.test/b/tool"); err != nil || got.ID != r.ID || got.Version != 2 || got.Upstream != r.Upstream {
			t.Errorf("Glance(new path) = %+v, %v", got, err)
		}

		// Once more, and back: aliases lead to where it is, and none to itself.
		if err := to("git.test/c/tool", 2, true); err != nil {
			t.Fatal(err)
		}
		if err := to("git.test/a/tool", 3, true); err != nil {
			t.Fatal(err)
		}
		want = []string{
			"git.test/a/other", "git.test/a/tool",
			"git.test/b/Tool=git.test/a/tool/ renamed", "git.test/c/tool=git.test/a/tool/ renamed",
			"go.test/other=git.test/a/other/ admin", "go.test/sub=git.test/a/tool/sub go-import", "go.test/tool=git.test/a/tool/ admin",
			"git.test/a/*>g1", "git.test/a/tool>g1", "git.test/a/tool>g2",
		}
		if got := named(t, db); !slices.Equal(got, want) {
			t.Errorf("back again: %q\nwant %q", got, want)
		}
		// What is removed then takes all its names with it.
		if err := db.RemoveRepo(ctx, r.ID); err != nil {
			t.Fatal(err)
		}
		if got, want := named(t, db)[:2], []string{"git.test/a/other", "go.test/other=git.test/a/other/ admin"}; !slices.Equal(got, want) {
			t.Errorf("after its removal: %q, want %q", got, want)
		}
	})
}

// TestHostileE15RenameBroken has each statement of a renaming fail in turn, as it
// does when the disk is full or the process dies: all of it is as it was.
func TestHostileE15RenameBroken(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, location string) {
		ctx, r := t.Context(), renamedHouse(t, db)
		if err := db.AddAlias(ctx, mirror.Alias{Prefix: "git.test/b/tool", Repo: r.Path, Found: "renamed"}); err != nil {
			t.Fatal(err)
		}
		before := named(t, db)
		driver := "sqlite"
		if strings.Contains(location, "://") {
			driver = "pgx"
		}
		raw, err := sql.Open(driver, location)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		run := func(statement string) {
			t.Helper()
			if _, err := raw.ExecContext(ctx, statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		if driver == "pgx" {
			run(`CREATE FUNCTION breaks() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$`)
		}
		for _, at := range []string{"UPDATE ON repos", "DELETE ON aliases", "UPDATE ON aliases", "INSERT ON aliases", "DELETE ON grants", "INSERT ON grants"} {
			if driver == "pgx" {
				run("CREATE TRIGGER breaks BEFORE " + at + " FOR EACH ROW EXECUTE FUNCTION breaks()")
			} else {
				run("CREATE TRIGGER breaks BEFORE " + at + " BEGIN SELECT RAISE(ABORT, 'broken'); END")
			}
			now := mustRepo(t, db, r.ID)
			now.Path = "git.test/b/tool"
			if err := db.RenameRepo(ctx, now, true); err == nil {
				t.Errorf("RenameRepo with a broken %s = nil", at)
			}
			if got := named(t, db); !slices.Equal(got, before) {
				t.Errorf("a broken %s left %q, want %q", at, got, before)
			}
			if _, table, _ := strings.Cut(at, " ON "); driver == "pgx" {
				run("DROP TRIGGER breaks ON " + table)
			} else {
				run("DROP TRIGGER breaks")
			}
		}
		now := mustRepo(t, db, r.ID)
		now.Path = "git.test/b/tool"
		if err := db.RenameRepo(ctx, now, true); err != nil {
			t.Errorf("RenameRepo when nothing is broken any more = %v", err)
		}
	})
}
