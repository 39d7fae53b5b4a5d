package auth_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

func TestPasswordSignsIn(t *testing.T) {
	w := newWorld(t)
	u := w.user(t, "Ada", auth.Admin)
	if u.Name != "ada" {
		t.Errorf("AddUser(Ada).Name = %q, want ada", u.Name)
	}
	id, err := w.Password(t.Context(), "ADA", good, peer)
	if err != nil {
		t.Fatalf("Password(ADA) = %v, want an identity", err)
	}
	want := auth.Identity{User: u.ID, Name: "ada", Role: auth.Admin, Scope: auth.ScopeAdmin, Via: auth.ByPassword}
	if id != want {
		t.Errorf("Password(ADA) = %+v, want %+v", id, want)
	}
	stored, _ := w.User(t.Context(), u.ID)
	if !strings.HasPrefix(stored.PasswordHash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("stored hash = %q, want argon2id in PHC form", stored.PasswordHash)
	}
}

// Unknown user, wrong password, disabled user, user without password: the
// same words, and none of them in a time that tells.
func TestPasswordRefusalsLookTheSame(t *testing.T) {
	w := newWorld(t)
	w.user(t, "root", auth.Admin)
	w.user(t, "bob", auth.Developer)
	w.user(t, "ci", auth.Robot)
	off := w.user(t, "gone", auth.Developer)
	if err := w.Disable(t.Context(), off.ID, true); err != nil {
		t.Fatal(err)
	}
	texts := map[string]bool{}
	took := map[string]time.Duration{}
	for i, row := range []struct{ name, password string }{
		{"bob", "wrong password"}, {"nobody", good}, {"gone", good}, {"ci", good}, {"ci", ""},
		{"bob", ""}, {"' OR 1=1 --", good}, {strings.Repeat("x", 1<<20), good}, {"bob", strings.Repeat("x", 1<<20)},
	} {
		began := time.Now()
		_, err := w.Password(t.Context(), row.name, row.password, fmt.Sprintf("192.0.2.%d:1", i))
		took[fmt.Sprintf("%d %.10s", i, row.name)] = time.Since(began)
		wantKind(t, fmt.Sprintf("Password(%.10q)", row.name), err, mirror.ErrSignIn)
		texts[err.Error()] = true
	}
	if len(texts) != 1 {
		t.Errorf("refusals = %v, want one and the same text", texts)
	}
	for name, d := range took {
		// A refusal without a hash takes well under a millisecond.
		if d < 4*time.Millisecond {
			t.Errorf("Password(%s) took %v, want the time of a hash", name, d)
		}
	}
	if strings.Contains(w.log.String(), good) {
		t.Error("the log holds a password")
	}
}

func TestFailuresAreThrottledByNameAndByPeer(t *testing.T) {
	w := newWorld(t)
	w.user(t, "bob", auth.Developer)
	// Hashing takes its time on a busy machine and the limits refill meanwhile:
	// what counts is that guessing ends soon.
	failures := func(caller func(i int) (name, peer string)) int {
		for i := range 100 {
			name, peer := caller(i)
			_, err := w.Password(t.Context(), name, "wrong password", peer)
			if errors.Is(err, mirror.ErrBusy) {
				return i
			}
		}
		return 100
	}
	if n := failures(func(i int) (string, string) { return "bob", fmt.Sprintf("192.0.2.%d:9", i) }); n < 10 || n > 40 {
		t.Errorf("failures of one name from everywhere = %d, want about 10", n)
	}
	_, err := w.Password(t.Context(), "bob", good, peer)
	wantText(t, "Password(right one, too late)", err, "too many failed sign-ins")
	if n := failures(func(i int) (string, string) { return fmt.Sprintf("user%d", i), fmt.Sprintf("[2001:db8::%x]:9", i) }); n < 20 || n > 80 {
		t.Errorf("failures of many names from one IPv6 network = %d, want about 20", n)
	}
	w.user(t, "eve", auth.Developer)
	if _, err := w.Password(t.Context(), "eve", good, "[2001:db8:0:1::1]:9"); err != nil {
		t.Errorf("Password(from another network) = %v, want an identity", err)
	}
}

// A burst of parallel guesses gets no more tries than the same guesses in turn
// (but for those that are being hashed when the last one is spent).
func TestParallelGuessesAreThrottled(t *testing.T) {
	w := newWorld(t)
	w.user(t, "bob", auth.Developer)
	var mu sync.Mutex
	tried := 0
	var wg sync.WaitGroup
	for range 60 {
		wg.Go(func() {
			_, err := w.Password(t.Context(), "bob", "wrong password", peer)
			mu.Lock()
			defer mu.Unlock()
			if err != nil && !strings.Contains(err.Error(), "too many") {
				tried++
			}
		})
	}
	wg.Wait()
	if tried > 10+4 {
		t.Errorf("60 parallel guesses: %d were tried, want at most 14", tried)
	}
}

// Clients of basic authentication send the password with every request.
func TestBasicHashesAPasswordOnce(t *testing.T) {
	w := newWorld(t)
	u := w.user(t, "bob", auth.Developer)
	began := time.Now()
	if _, err := w.Basic(t.Context(), "bob", good, peer); err != nil {
		t.Fatalf("Basic(bob) = %v, want an identity", err)
	}
	hash := time.Since(began)
	began = time.Now()
	for range 200 {
		if _, err := w.Basic(t.Context(), "bob", good, peer); err != nil {
			t.Fatalf("Basic(bob) again = %v, want an identity", err)
		}
	}
	if d := time.Since(began); d > 100*hash {
		t.Errorf("200 requests took %v, want far less than 200 hashes of %v", d, hash)
	}
	if err := w.SetPassword(t.Context(), u.ID, "another long password"); err != nil {
		t.Fatal(err)
	}
	_, err := w.Basic(t.Context(), "bob", good, peer)
	wantKind(t, "Basic(old password)", err, mirror.ErrSignIn)
}

func TestBasicTakesTokensEverywhere(t *testing.T) {
	w := newWorld(t)
	bob := w.user(t, "bob", auth.Developer)
	tok, secret, err := w.CreateToken(t.Context(), bob.ID, "ci", auth.ScopeRead, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := auth.Identity{User: bob.ID, Name: "bob", Role: auth.Developer, Scope: auth.ScopeRead, Via: auth.ByToken, Token: tok.ID}
	for _, f := range [][2]string{
		{"bob", secret}, {"somebody", secret}, {"", secret}, {"x-access-token", secret}, {secret, ""}, {secret, "x-oauth-basic"},
	} {
		id, err := w.Basic(t.Context(), f[0], f[1], peer)
		if err != nil || id != want {
			t.Errorf("Basic(%.8q, %.8q) = %+v, %v, want %+v", f[0], f[1], id, err, want)
		}
	}
}

func TestTokens(t *testing.T) {
	w := newWorld(t)
	ci := w.user(t, "ci", auth.Robot)
	tok, secret, err := w.CreateToken(t.Context(), ci.ID, " deploy ", auth.ScopeWrite, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(secret, "gmr_") || len(secret) != 53 || tok.Name != "deploy" {
		t.Errorf("CreateToken = %q named %q, want 53 characters with gmr_, named deploy", secret, tok.Name)
	}
	if strings.Contains(string(tok.Hash), secret) || len(tok.Hash) != 32 {
		t.Errorf("token hash has %d bytes, want the 32 of SHA-256", len(tok.Hash))
	}
	if id, err := w.Token(t.Context(), secret); err != nil || id.Token != tok.ID || id.Scope != auth.ScopeWrite {
		t.Errorf("Token(secret) = %+v, %v, want the robot with scope write", id, err)
	}
	for _, bad := range []string{
		"", "gmr_", secret[:52], secret + "0", secret[:20] + "!" + secret[21:],
		strings.ToUpper(secret), "gmr_" + strings.Repeat("A", 49), strings.Repeat("gmr_", 1<<18),
	} {
		_, err := w.Token(t.Context(), bad)
		wantKind(t, fmt.Sprintf("Token(%.12q)", bad), err, mirror.ErrSignIn)
	}
	_, _, err = w.CreateToken(t.Context(), ci.ID, "old", auth.ScopeRead, -time.Second)
	wantKind(t, "CreateToken(expired)", err, mirror.ErrInvalid)
	_, brief, err := w.CreateToken(t.Context(), ci.ID, "brief", auth.ScopeRead, time.Nanosecond)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Token(t.Context(), brief)
	wantText(t, "Token(brief)", err, "it expired on ")
	_, _, err = w.CreateToken(t.Context(), ci.ID, "x", auth.Scope("root"), 0)
	wantKind(t, "CreateToken(scope root)", err, mirror.ErrInvalid)

	wantKind(t, "RemoveToken(somebody else's)", w.RemoveToken(t.Context(), "someone", tok.ID), mirror.ErrNotFound)
	if err := w.RemoveToken(t.Context(), ci.ID, tok.ID); err != nil {
		t.Fatal(err)
	}
	_, err = w.Token(t.Context(), secret)
	wantKind(t, "Token(removed)", err, mirror.ErrSignIn)
	if strings.Contains(w.log.String(), secret) {
		t.Error("the log holds a token")
	}
}

// A token of wider scope than its owner's role gives no more than the role.
func TestTokenScopeIsBoundedByRole(t *testing.T) {
	w := newWorld(t)
	dev := w.user(t, "dev", auth.Developer)
	_, secret, err := w.CreateToken(t.Context(), dev.ID, "x", auth.ScopeAdmin, 0)
	if err != nil {
		t.Fatal(err)
	}
	id, err := w.Token(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	for action, want := range map[auth.Action]bool{auth.Read: true, auth.Sync: true, auth.Manage: false, auth.Administer: false} {
		if got := (auth.Policy{}).May(id, action, true) == nil; got != want {
			t.Errorf("May(developer with admin token, %v) = %v, want %v", action, got, want)
		}
	}
}

// Use is written down, but not for every request.
func TestUseIsRecordedOnceAMinute(t *testing.T) {
	w := newWorld(t)
	bob := w.user(t, "bob", auth.Developer)
	_, secret, err := w.CreateToken(t.Context(), bob.ID, "ci", auth.ScopeRead, 0)
	if err != nil {
		t.Fatal(err)
	}
	used := func() time.Time {
		toks, err := w.Tokens(t.Context(), bob.ID)
		if err != nil || len(toks) != 1 {
			t.Fatalf("Tokens(bob) = %v, %v, want one", toks, err)
		}
		return toks[0].LastUsed
	}
	if !used().IsZero() {
		t.Errorf("LastUsed of a new token = %v, want never", used())
	}
	if _, err := w.Token(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	first := used()
	if first.IsZero() {
		t.Error("LastUsed after a use = never, want now")
	}
	for range 5 {
		if _, err := w.Token(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
	}
	if used() != first {
		t.Errorf("LastUsed after five more uses = %v, want still %v", used(), first)
	}
}

func TestSessionEndsWithItsEpoch(t *testing.T) {
	w := newWorld(t)
	w.user(t, "root", auth.Admin)
	u := w.user(t, "bob", auth.Developer)
	epoch := func() int64 {
		now, err := w.User(t.Context(), u.ID)
		if err != nil {
			t.Fatal(err)
		}
		return now.Epoch
	}
	before := epoch()
	begin := func() string {
		s, err := w.Begin(t.Context(), u.ID, auth.ByPassword, "192.0.2.1", "test", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return s.ID
	}
	signIn := begin()
	id, err := w.Session(t.Context(), u.ID, before, signIn)
	if err != nil || id.Via != auth.BySession || id.Scope != auth.ScopeAdmin {
		t.Fatalf("Session = %+v, %v, want bob", id, err)
	}
	for what, change := range map[string]func() error{
		"password": func() error { return w.SetPassword(t.Context(), u.ID, "another long password") },
		"role":     func() error { return w.SetRole(t.Context(), u.ID, auth.Admin) },
		"disabled": func() error { return w.Disable(t.Context(), u.ID, true) },
		"enabled":  func() error { return w.Disable(t.Context(), u.ID, false) },
	} {
		before, signIn := epoch(), begin()
		if err := change(); err != nil {
			t.Fatalf("change of %s = %v", what, err)
		}
		_, err := w.Session(t.Context(), u.ID, before, signIn)
		wantKind(t, "Session(after change of "+what+")", err, mirror.ErrSignIn)
	}
	if err := w.RemoveUser(t.Context(), u.ID); err != nil {
		t.Fatal(err)
	}
	_, err = w.Session(t.Context(), u.ID, before, signIn)
	wantKind(t, "Session(removed user)", err, mirror.ErrSignIn)
}

func TestDisabledLosesEverythingAtOnce(t *testing.T) {
	w := newWorld(t)
	u := w.user(t, "bob", auth.Developer)
	w.user(t, "root", auth.Admin)
	key, err := w.AddKey(t.Context(), u.ID, "", publicKey(t)+" bob@laptop")
	if err != nil {
		t.Fatal(err)
	}
	_, secret, err := w.CreateToken(t.Context(), u.ID, "ci", auth.ScopeRead, 0)
	if err != nil {
		t.Fatal(err)
	}
	ways := map[string]func() error{
		"Key":      func() error { _, err := w.Key(t.Context(), key.Fingerprint); return err },
		"Offered":  func() error { return w.OfferedKey(t.Context(), key.Fingerprint) },
		"Token":    func() error { _, err := w.Token(t.Context(), secret); return err },
		"Basic":    func() error { _, err := w.Basic(t.Context(), "bob", good, peer); return err },
		"Password": func() error { _, err := w.Password(t.Context(), "bob", good, peer); return err },
	}
	for name, way := range ways {
		if err := way(); err != nil {
			t.Errorf("%s before = %v, want in", name, err)
		}
	}
	if err := w.Disable(t.Context(), u.ID, true); err != nil {
		t.Fatal(err)
	}
	for name, way := range ways {
		wantKind(t, name+" when disabled", way(), mirror.ErrSignIn)
	}
	if err := w.Disable(t.Context(), u.ID, false); err != nil {
		t.Fatal(err)
	}
	for name, way := range ways {
		if err := way(); err != nil {
			t.Errorf("%s enabled again = %v, want in", name, err)
		}
	}
}
