package auth_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

func TestSignIns(t *testing.T) {
	w := newWorld(t)
	ada, bob := w.user(t, "ada", auth.Developer), w.user(t, "bob", auth.Developer)
	begin := func(user string) auth.SignIn {
		t.Helper()
		s, err := w.Begin(t.Context(), user, auth.ByPassword, "192.0.2.1", "Mozilla\r\n\x1b[31m"+strings.Repeat("x", 500), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	one, two, other := begin(ada.ID), begin(ada.ID), begin(bob.ID)
	list, err := w.SignIns(t.Context(), ada.ID)
	if err != nil || len(list) != 2 || list[0].Addr != "192.0.2.1" || len(list[0].Agent) > 300 || strings.ContainsAny(list[0].Agent, "\r\n\x1b") {
		t.Fatalf("SignIns = %+v, %v, want two with an address and a cut user agent", list, err)
	}
	wantKind(t, "SignOut(somebody else's)", w.SignOut(t.Context(), ada.ID, other.ID), mirror.ErrNotFound)
	_, err = w.Session(t.Context(), ada.ID, 0, other.ID)
	wantKind(t, "Session(with somebody else's sign-in)", err, mirror.ErrSignIn)
	if err := w.SignOut(t.Context(), ada.ID, one.ID); err != nil {
		t.Fatal(err)
	}
	_, err = w.Session(t.Context(), ada.ID, 0, one.ID)
	wantText(t, "Session(ended)", err, "ended from another browser")
	if _, err := w.Session(t.Context(), ada.ID, 0, two.ID); err != nil {
		t.Errorf("Session(the other) = %v, want it to go on", err)
	}
	three := begin(ada.ID)
	if n, err := w.SignOutAll(t.Context(), ada.ID, three.ID); n != 1 || err != nil {
		t.Errorf("SignOutAll(but one) = %d, %v, want 1", n, err)
	}
	if _, err := w.Session(t.Context(), ada.ID, 0, three.ID); err != nil {
		t.Errorf("Session(the one that stays) = %v", err)
	}
	short, err := w.Begin(t.Context(), ada.ID, auth.ByOIDC, "", "", -time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Session(t.Context(), ada.ID, 0, short.ID)
	wantKind(t, "Session(expired sign-in)", err, mirror.ErrSignIn)
	if err := w.SetPassword(t.Context(), ada.ID, "another long password"); err != nil {
		t.Fatal(err)
	}
	if list, err := w.SignIns(t.Context(), ada.ID); len(list) != 0 || err != nil {
		t.Errorf("SignIns(after a new password) = %v, %v, want none", list, err)
	}
}
