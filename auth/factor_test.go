package auth_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

func TestSecondFactor(t *testing.T) {
	w := newWorld(t)
	vault, err := auth.OpenVault(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	w.Vault = vault
	ada := w.user(t, "ada", auth.Developer)
	robot := w.user(t, "robot", auth.Robot)
	_, err = w.NewFactor(t.Context(), robot.ID, "mirror.example")
	wantKind(t, "NewFactor(robot)", err, mirror.ErrInvalid)
	first, err := w.NewFactor(t.Context(), ada.ID, "mirror.example")
	if err != nil {
		t.Fatal(err)
	}
	e, err := w.NewFactor(t.Context(), ada.ID, "mirror.example") // begun anew: the first is worth nothing
	if err != nil || e.Secret == first.Secret {
		t.Fatalf("NewFactor again = %+v, %v, want another", e, err)
	}
	if again, err := w.Pending(t.Context(), ada.ID, "mirror.example"); err != nil || again != e {
		t.Errorf("Pending = %+v, %v, want %+v", again, err, e)
	}
	if on, err := w.HasFactor(t.Context(), ada.ID); on || err != nil {
		t.Errorf("HasFactor(not confirmed) = %t, %v, want false", on, err)
	}
	code := func(at time.Time) string {
		t.Helper()
		c, err := totp.GenerateCode(e.Secret, at)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	_, err = w.ConfirmFactor(t.Context(), ada.ID, "12345", peer, "")
	wantKind(t, "ConfirmFactor(wrong)", err, mirror.ErrSignIn)
	codes, err := w.ConfirmFactor(t.Context(), ada.ID, code(time.Now()), peer, "")
	if err != nil || len(codes) != 10 {
		t.Fatalf("ConfirmFactor = %v, %v, want ten recovery codes", codes, err)
	}
	_, err = w.Basic(t.Context(), "ada", good, peer)
	wantText(t, "Basic(password of somebody with a second factor)", err, "second factor")
	now := code(time.Now().Add(30 * time.Second)) // a phone that is ahead
	if _, err := w.BasicCode(t.Context(), "ada", good, now, peer); err != nil {
		t.Errorf("BasicCode = %v, want ada", err)
	}
	wantKind(t, "CheckFactor(the same code again)", w.CheckFactor(t.Context(), ada.ID, now, peer), mirror.ErrSignIn)
	if err := w.CheckFactor(t.Context(), ada.ID, " "+codes[3]+" ", peer); err != nil {
		t.Errorf("CheckFactor(recovery code) = %v", err)
	}
	wantKind(t, "CheckFactor(recovery code again)", w.CheckFactor(t.Context(), ada.ID, codes[3], peer), mirror.ErrSignIn)
	if f, err := w.FactorOf(t.Context(), ada.ID); err != nil || len(f.Codes) != 9 || f.Secret != nil {
		t.Errorf("FactorOf = %+v, %v, want nine codes and no secret", f, err)
	}
	_, secret, err := w.CreateToken(t.Context(), ada.ID, "x", auth.ScopeRead, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Basic(t.Context(), "ada", secret, peer); err != nil {
		t.Errorf("Basic(token) = %v, want ada", err)
	}
	for range 30 {
		err = w.CheckFactor(t.Context(), ada.ID, "000000", "198.51.100.77")
	}
	wantKind(t, "CheckFactor(guessed often)", err, mirror.ErrBusy)
	if err := w.DropFactor(t.Context(), ada.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Basic(t.Context(), "ada", good, peer); err != nil {
		t.Errorf("Basic(after the second factor was removed) = %v, want ada", err)
	}

	w.RequireFactor = true
	_, err = w.Basic(t.Context(), "ada", good, peer)
	wantKind(t, "Basic(where a second factor is required)", err, mirror.ErrSignIn)
	s, err := w.Begin(t.Context(), ada.ID, auth.ByPassword, "", "", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	id, err := w.Session(t.Context(), ada.ID, ada.Epoch, s.ID)
	if err != nil || !id.Enrol {
		t.Fatalf("Session(required, none set up) = %+v, %v, want Enrol", id, err)
	}
	wantKind(t, "May(read before enrolment)", auth.Policy{}.May(id, auth.Read, false), mirror.ErrDenied)
}
