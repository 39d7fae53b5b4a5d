package auth_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

func TestBootstrapMakesOneAdmin(t *testing.T) {
	w := newWorld(t)
	generated, created, err := w.Bootstrap(t.Context(), "")
	if err != nil || !created || len(strings.ReplaceAll(generated, "-", "")) != 20 {
		t.Fatalf("Bootstrap = %q, %v, %v, want a password of 20 letters and digits", generated, created, err)
	}
	id, err := w.Password(t.Context(), "admin", generated, peer)
	if err != nil || id.Role != auth.Admin {
		t.Errorf("Password(admin) = %+v, %v, want an admin", id, err)
	}
	if generated, created, err := w.Bootstrap(t.Context(), good); generated != "" || created || err != nil {
		t.Errorf("Bootstrap again = %q, %v, %v, want nothing", generated, created, err)
	}
	if strings.Contains(w.log.String(), generated) && generated != "" {
		t.Error("the log holds the generated password")
	}

	given := newWorld(t)
	if generated, created, err := given.Bootstrap(t.Context(), good); generated != "" || !created || err != nil {
		t.Errorf("Bootstrap(given) = %q, %v, %v, want created with what was given", generated, created, err)
	}
	_, _, err = newWorld(t).Bootstrap(t.Context(), "short")
	wantText(t, "Bootstrap(short)", err, "fewer than 10 characters")
}

func TestUserNames(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "ada.lovelace", "x_1-2", "0", strings.Repeat("a", 39), "Caps"} {
		if _, err := w.AddUser(t.Context(), name, auth.Developer, good); err != nil {
			t.Errorf("AddUser(%q) = %v, want a user", name, err)
		}
	}
	for _, name := range []string{
		"", ".a", "-a", "_a", "a b", "ä", "a/b", "a\x00", "a\nb", strings.Repeat("a", 40), "<script>", "a@b", "ＡＤＡ", "K\u212a",
	} {
		_, err := w.AddUser(t.Context(), name, auth.Developer, good)
		wantKind(t, fmt.Sprintf("AddUser(%q)", name), err, mirror.ErrInvalid)
	}
	_, err := w.AddUser(t.Context(), "CAPS", auth.Developer, good)
	wantKind(t, "AddUser(taken, other case)", err, mirror.ErrExists)
	_, err = w.AddUser(t.Context(), "new", auth.Role("root"), good)
	wantKind(t, "AddUser(role root)", err, mirror.ErrInvalid)
}

func TestNewPasswords(t *testing.T) {
	w := newWorld(t)
	u := w.user(t, "longusername", auth.Developer)
	for _, password := range []string{
		"", "short", "123456789", "LongUserName", strings.Repeat("a", 257), "with\x00a nul byte", "with a\nnewline", "broken \xff\xfe utf8 text",
		"gmr_looks_like_a_token",
	} {
		wantKind(t, fmt.Sprintf("SetPassword(%.12q)", password), w.SetPassword(t.Context(), u.ID, password), mirror.ErrInvalid)
	}
	for _, password := range []string{"1234567890", "pässwörter-ñandú", strings.Repeat("€", 85), " spaces at both ends "} {
		if err := w.SetPassword(t.Context(), u.ID, password); err != nil {
			t.Errorf("SetPassword(%.12q) = %v, want nil", password, err)
			continue
		}
		if _, err := w.Password(t.Context(), u.Name, password, peer); err != nil {
			t.Errorf("Password(%.12q) = %v, want an identity", password, err)
		}
	}
}

func TestRobotsHaveTokensOnly(t *testing.T) {
	w := newWorld(t)
	_, err := w.AddUser(t.Context(), "ci", auth.Robot, good)
	wantText(t, "AddUser(robot with password)", err, "robots have no password")
	ci := w.user(t, "ci", auth.Robot)
	wantText(t, "SetPassword(robot)", w.SetPassword(t.Context(), ci.ID, good), "robots have no password")
	_, err = w.AddKey(t.Context(), ci.ID, "", publicKey(t))
	wantText(t, "AddKey(robot)", err, "tokens only")

	bob := w.user(t, "bob", auth.Developer)
	key, err := w.AddKey(t.Context(), bob.ID, "", publicKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.SetRole(t.Context(), bob.ID, auth.Robot); err != nil {
		t.Fatal(err)
	}
	_, err = w.Password(t.Context(), "bob", good, peer)
	wantKind(t, "Password(become a robot)", err, mirror.ErrSignIn)
	if _, err = w.Key(t.Context(), key.Fingerprint); err == nil {
		t.Error("Key(become a robot) = nil, want an error")
	}
}

func TestTheLastAdminStays(t *testing.T) {
	w := newWorld(t)
	root := w.user(t, "root", auth.Admin)
	off := w.user(t, "off", auth.Admin)
	if err := w.Disable(t.Context(), off.ID, true); err != nil {
		t.Fatal(err)
	}
	const text = "the last administrator"
	wantText(t, "RemoveUser(last admin)", w.RemoveUser(t.Context(), root.ID), text)
	wantText(t, "Disable(last admin)", w.Disable(t.Context(), root.ID, true), text)
	wantText(t, "SetRole(last admin)", w.SetRole(t.Context(), root.ID, auth.Developer), text)
	if err := w.SetRole(t.Context(), root.ID, auth.Admin); err != nil {
		t.Errorf("SetRole(last admin, admin) = %v, want nil", err)
	}
	if err := w.Disable(t.Context(), off.ID, false); err != nil {
		t.Fatal(err)
	}
	if err := w.RemoveUser(t.Context(), root.ID); err != nil {
		t.Errorf("RemoveUser(one of two) = %v, want nil", err)
	}
	wantKind(t, "RemoveUser(nobody)", w.RemoveUser(t.Context(), root.ID), mirror.ErrNotFound)
}

// Two admins who demote each other at the same time: one of them stays.
func TestAdminsCannotDemoteEachOtherAway(t *testing.T) {
	w := newWorld(t)
	a, b := w.user(t, "a", auth.Admin), w.user(t, "b", auth.Admin)
	var wg sync.WaitGroup
	for _, u := range []auth.User{a, b} {
		wg.Go(func() { w.SetRole(t.Context(), u.ID, auth.Developer) })
	}
	wg.Wait()
	users, err := w.Users(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	admins := 0
	for _, u := range users {
		if u.Role == auth.Admin {
			admins++
		}
	}
	if admins != 1 {
		t.Errorf("admins left = %d, want 1", admins)
	}
}

// Concurrent changes of one user lose none of them: above all, nothing undoes
// a disabling.
func TestConcurrentChangesAreKept(t *testing.T) {
	w := newWorld(t)
	w.user(t, "root", auth.Admin)
	u := w.user(t, "bob", auth.Developer)
	other := &auth.Accounts{Store: w.db} // another server on the same database
	var wg sync.WaitGroup
	disabled := make(chan error, 1)
	wg.Go(func() { other.SetPassword(t.Context(), u.ID, "another long password") })
	wg.Go(func() {
		for {
			err := w.Disable(t.Context(), u.ID, true)
			if !errors.Is(err, mirror.ErrExists) {
				disabled <- err
				return
			}
		}
	})
	wg.Wait()
	if err := <-disabled; err != nil {
		t.Fatal(err)
	}
	now, err := w.User(t.Context(), u.ID)
	if err != nil || !now.Disabled {
		t.Errorf("User.Disabled = %v, %v, want true", now.Disabled, err)
	}
}
