package auth_test

import (
	"testing"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

func TestGroupsAndGrants(t *testing.T) {
	w := newWorld(t)
	ada, bob, root := w.user(t, "ada", auth.Developer), w.user(t, "bob", auth.Developer), w.user(t, "root", auth.Admin)
	who := func(u auth.User) auth.Identity {
		return auth.Identity{User: u.ID, Name: u.Name, Role: u.Role, Scope: auth.ScopeRead}
	}
	open := auth.Policy{Access: &auth.Access{Store: w.db, Changes: w.db.Changes}}
	strict := auth.Policy{AnonymousRead: true, Access: &auth.Access{Store: w.db, Strict: true, Changes: w.db.Changes}}
	check := func(step string, p auth.Policy, id auth.Identity, path mirror.Path, private bool, want error) {
		t.Helper()
		err := p.Reads(t.Context(), id, path, private)
		if want == nil && err != nil {
			t.Errorf("%s: Reads(%s, %s, private %t) = %v, want nil", step, id.Name, path, private, err)
		}
		if want != nil {
			wantKind(t, step+": Reads("+id.Name+", "+string(path)+")", err, want)
		}
	}
	const app, other = mirror.Path("github.com/acme/app"), mirror.Path("github.com/other/app")
	check("no grants", open, who(bob), app, true, nil)
	check("no grants", strict, who(bob), app, true, mirror.ErrDenied)
	check("no grants", strict, who(bob), app, false, nil)
	check("no grants", strict, who(root), app, true, nil)
	check("no grants", strict, auth.Identity{}, app, true, mirror.ErrSignIn)
	check("no grants", strict, auth.Identity{}, app, false, nil)

	team, err := w.AddGroup(t.Context(), "Team")
	if err != nil || team.Name != "team" {
		t.Fatalf("AddGroup = %+v, %v", team, err)
	}
	_, err = w.AddGroup(t.Context(), "team")
	wantKind(t, "AddGroup(taken)", err, mirror.ErrExists)
	_, err = w.AddGroup(t.Context(), "a b")
	wantText(t, "AddGroup(a b)", err, "the name of a group")
	if _, err := w.Grant(t.Context(), team, "github.com/Acme/*"); err != nil {
		t.Fatal(err)
	}
	_, err = w.Grant(t.Context(), team, "acme")
	wantKind(t, "Grant(acme)", err, mirror.ErrInvalid)
	check("granted to others", open, who(ada), app, true, mirror.ErrDenied)
	check("granted to others", open, who(ada), "github.com/acme/sub/deep", true, mirror.ErrDenied)
	check("granted to others", open, who(ada), app, false, nil)
	check("granted to others", open, who(ada), other, true, nil)
	check("granted to others", open, who(root), app, true, nil)
	if err := w.Join(t.Context(), team, ada); err != nil {
		t.Fatal(err)
	}
	check("member", open, who(ada), app, true, nil)
	check("member", strict, who(ada), app, true, nil)
	check("member", strict, who(ada), other, true, mirror.ErrDenied)
	check("member", open, who(bob), app, true, mirror.ErrDenied)
	if err := w.Leave(t.Context(), team, ada); err != nil {
		t.Fatal(err)
	}
	wantKind(t, "Leave(again)", w.Leave(t.Context(), team, ada), mirror.ErrNotFound)
	check("left", open, who(ada), app, true, mirror.ErrDenied)
	wantKind(t, "Revoke(what was not granted)", w.Revoke(t.Context(), team, "github.com/none/*"), mirror.ErrNotFound)
	if err := w.Revoke(t.Context(), team, "github.com/acme/*"); err != nil {
		t.Fatal(err)
	}
	check("revoked", open, who(bob), app, true, nil)

	// What a provider says of somebody's groups leaves alone what an administrator said.
	second, err := w.AddGroup(t.Context(), "second")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Join(t.Context(), team, bob); err != nil {
		t.Fatal(err)
	}
	for _, claim := range [][]string{{team.ID, second.ID}, {second.ID}, {second.ID}, nil} {
		if err := w.db.SetMemberships(t.Context(), bob.ID, "https://id.example", claim); err != nil {
			t.Fatal(err)
		}
		table, err := w.AccessTable(t.Context())
		want := 1
		if len(claim) > 0 {
			want = 2
		}
		if err != nil || len(table.Members) != want {
			t.Errorf("members after the claim %v = %+v, %v, want %d", claim, table.Members, err, want)
		}
	}
	if err := w.RemoveUser(t.Context(), bob.ID); err != nil {
		t.Fatal(err)
	}
	if table, err := w.AccessTable(t.Context()); err != nil || len(table.Members) != 0 {
		t.Errorf("members after their user is gone = %+v, %v, want none", table.Members, err)
	}
}
