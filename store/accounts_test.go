package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/rs/xid"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/store"
)

func addUser(t testing.TB, db *store.DB, name string) auth.User {
	t.Helper()
	u := auth.User{ID: xid.New().String(), Name: name, Role: auth.Developer, PasswordHash: "$argon2id$…", Created: base()}
	if err := db.AddUser(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestUsers(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, location string) {
		ctx := t.Context()
		zoe, anna := addUser(t, db, "Zoë"), addUser(t, db, "anna")
		for _, name := range []string{"Zoë", "ZOË", "zoë"} {
			if got, err := db.UserByName(ctx, name); err != nil || got != zoe {
				t.Errorf("UserByName(%q) = %+v, %v, want %+v", name, got, err, zoe)
			}
			u := auth.User{ID: xid.New().String(), Name: name, Created: base()}
			if err := db.AddUser(ctx, u); !errors.Is(err, mirror.ErrExists) {
				t.Errorf("AddUser(%q) = %v, want ErrExists", name, err)
			}
		}
		for _, name := range []string{"nobody", "", "1=1 OR 1", "' OR ''='", "a\x00", "\xff", "%", "ann_"} {
			if got, err := db.UserByName(ctx, name); !errors.Is(err, mirror.ErrNotFound) {
				t.Errorf("UserByName(%q) = %+v, %v, want ErrNotFound", name, got, err)
			}
			if got, err := db.User(ctx, name); !errors.Is(err, mirror.ErrNotFound) {
				t.Errorf("User(%q) = %+v, %v, want ErrNotFound", name, got, err)
			}
			if err := db.RemoveUser(ctx, name); !errors.Is(err, mirror.ErrNotFound) {
				t.Errorf("RemoveUser(%q) = %v, want ErrNotFound", name, err)
			}
		}
		edit := anna
		edit.Name, edit.Role, edit.PasswordHash, edit.Disabled, edit.Epoch = "Anna B", auth.Admin, "", true, 1
		if err := db.EditUser(ctx, edit); err != nil {
			t.Fatal(err)
		}
		if got, err := open(t, location).UserByName(ctx, "anna b"); err != nil || got != edit {
			t.Errorf("after EditUser: %+v, %v, want %+v", got, err, edit)
		}
		if err := db.EditUser(ctx, edit); !errors.Is(err, mirror.ErrExists) {
			t.Errorf("EditUser(stale epoch) = %v, want ErrExists", err)
		}
		taken := edit
		taken.Name, taken.Epoch = "ZOË", 2
		if err := db.EditUser(ctx, taken); !errors.Is(err, mirror.ErrExists) {
			t.Errorf("EditUser(taken name) = %v, want ErrExists", err)
		}
		if err := db.EditUser(ctx, auth.User{ID: "nobody", Epoch: 1}); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("EditUser(unknown) = %v, want ErrNotFound", err)
		}
		users, err := db.Users(ctx)
		if err != nil || !reflect.DeepEqual(users, []auth.User{edit, zoe}) {
			t.Errorf("Users = %+v, %v, want Anna B, Zoë", users, err)
		}
	})
}

func TestKeysAndTokens(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx := t.Context()
		ann, bob := addUser(t, db, "ann"), addUser(t, db, "bob")
		key := auth.Key{ID: xid.New().String(), User: ann.ID, Name: "laptop", Fingerprint: "SHA256:x", Public: "ssh-ed25519 AAAA", Created: base()}
		if err := db.AddKey(ctx, key); err != nil {
			t.Fatal(err)
		}
		twin := key
		twin.ID, twin.User = xid.New().String(), bob.ID
		if err := db.AddKey(ctx, twin); !errors.Is(err, mirror.ErrExists) {
			t.Errorf("AddKey(same fingerprint) = %v, want ErrExists", err)
		}
		twin.Fingerprint, twin.User = "SHA256:y", "nobody"
		if err := db.AddKey(ctx, twin); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("AddKey(unknown user) = %v, want ErrNotFound", err)
		}
		if got, err := db.KeyByFingerprint(ctx, "SHA256:x"); err != nil || got != key {
			t.Errorf("KeyByFingerprint = %+v, %v, want %+v", got, err, key)
		}
		if _, err := db.KeyByFingerprint(ctx, "SHA256:X"); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("KeyByFingerprint(other case) = %v, want ErrNotFound", err)
		}
		var tokens []auth.Token
		for i := range 3 {
			tok := auth.Token{
				ID: xid.New().String(), User: ann.ID, Name: fmt.Sprint("t", i), Scope: auth.ScopeWrite,
				Hash: bytes.Repeat([]byte{byte(i)}, 32), Created: base().Add(time.Duration(i) * time.Second),
			}
			if i == 1 {
				tok.Expires = base().AddDate(0, 3, 0)
			}
			if err := db.AddToken(ctx, tok); err != nil {
				t.Fatal(err)
			}
			tokens = append([]auth.Token{tok}, tokens...)
		}
		for _, user := range []string{ann.ID, ""} {
			if got, err := db.Tokens(ctx, user); err != nil || !reflect.DeepEqual(got, tokens) {
				t.Errorf("Tokens(%q) = %+v, %v, want newest first", user, got, err)
			}
			if got, err := db.Keys(ctx, user); err != nil || !reflect.DeepEqual(got, []auth.Key{key}) {
				t.Errorf("Keys(%q) = %+v, %v, want the one", user, got, err)
			}
		}
		if got, err := db.Tokens(ctx, bob.ID); err != nil || len(got) != 0 {
			t.Errorf("Tokens(bob) = %v, %v, want none", got, err)
		}
		if got, err := db.TokenByHash(ctx, tokens[0].Hash); err != nil || !reflect.DeepEqual(got, tokens[0]) {
			t.Errorf("TokenByHash = %+v, %v, want %+v", got, err, tokens[0])
		}
		for _, hash := range [][]byte{nil, {}, []byte("1=1 OR 1")} {
			if _, err := db.TokenByHash(ctx, hash); !errors.Is(err, mirror.ErrNotFound) {
				t.Errorf("TokenByHash(%q) = %v, want ErrNotFound", hash, err)
			}
		}

		used := func(at time.Time, want time.Time) {
			t.Helper()
			for _, id := range []string{key.ID, tokens[0].ID, "nobody's", "\x00"} {
				if err := db.Used(ctx, id, at, "192.0.2.1"); err != nil {
					t.Errorf("Used(%q) = %v", id, err)
				}
			}
			k, err := db.KeyByFingerprint(ctx, key.Fingerprint)
			tok, err2 := db.TokenByHash(ctx, tokens[0].Hash)
			if err != nil || err2 != nil || !k.LastUsed.Equal(want) || !tok.LastUsed.Equal(want) {
				t.Errorf("after Used(%s): key %s, token %s, want %s (%v %v)", at, k.LastUsed, tok.LastUsed, want, err, err2)
			}
		}
		used(base(), base())
		used(base().Add(time.Second), base()) // exact to a minute
		used(base().Add(time.Minute), base().Add(time.Minute))
		if got, err := db.TokenByHash(ctx, tokens[1].Hash); err != nil || !got.LastUsed.IsZero() {
			t.Errorf("a token nobody used has LastUsed %s, %v", got.LastUsed, err)
		}

		if err := db.RemoveKey(ctx, bob.ID, key.ID); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("RemoveKey(somebody else's) = %v, want ErrNotFound", err)
		}
		if err := db.RemoveToken(ctx, bob.ID, tokens[0].ID); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("RemoveToken(somebody else's) = %v, want ErrNotFound", err)
		}
		if err := db.RemoveToken(ctx, ann.ID, tokens[0].ID); err != nil {
			t.Errorf("RemoveToken = %v", err)
		}
		if err := db.RemoveKey(ctx, ann.ID, key.ID); err != nil {
			t.Errorf("RemoveKey = %v", err)
		}
		if err := db.AddKey(ctx, key); err != nil {
			t.Fatal(err)
		}
		if err := db.RemoveUser(ctx, ann.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := db.KeyByFingerprint(ctx, key.Fingerprint); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("key of a removed user: %v, want ErrNotFound", err)
		}
		if _, err := db.TokenByHash(ctx, tokens[1].Hash); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("token of a removed user: %v, want ErrNotFound", err)
		}
	})
}

func TestImports(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx := t.Context()
		for _, a := range []mirror.Alias{
			{Prefix: "golang.org/x/mod", Repo: "github.com/golang/mod", Found: "go-import"},
			{Prefix: "Example.org/A", Repo: "github.com/E/A", Dir: "old"},
			{Prefix: "Example.org/A", Repo: "github.com/e/a2", Dir: "sub/dir", Found: "admin"},
		} {
			if err := db.AddAlias(ctx, a); err != nil {
				t.Fatal(err)
			}
		}
		want := []mirror.Alias{
			{Prefix: "Example.org/A", Repo: "github.com/e/a2", Dir: "sub/dir", Found: "admin"},
			{Prefix: "golang.org/x/mod", Repo: "github.com/golang/mod", Found: "go-import"},
		}
		if got, err := db.Aliases(ctx); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Aliases = %+v, %v, want %+v", got, err, want)
		}
		if err := db.RemoveAlias(ctx, "golang.org/x/mod"); err != nil {
			t.Errorf("RemoveAlias = %v", err)
		}
		if err := db.RemoveAlias(ctx, "golang.org/x/mod"); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("RemoveAlias(gone) = %v, want ErrNotFound", err)
		}

		for _, r := range []mirror.Rule{{Pattern: "github.com/b/*", Credential: "c", Private: true}, {Pattern: "github.com/A/*"}} {
			if err := db.AddRule(ctx, r); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.AddRule(ctx, mirror.Rule{Pattern: "github.com/B/*"}); !errors.Is(err, mirror.ErrExists) {
			t.Errorf("AddRule(other case) = %v, want ErrExists", err)
		}
		rules := []mirror.Rule{{Pattern: "github.com/A/*"}, {Pattern: "github.com/b/*", Credential: "c", Private: true}}
		if got, err := db.Rules(ctx); err != nil || !reflect.DeepEqual(got, rules) {
			t.Errorf("Rules = %+v, %v, want %+v", got, err, rules)
		}
		if _, ok, err := db.ClaimRule(ctx, time.Now(), time.Now()); ok || err != nil {
			t.Errorf("ClaimRule without Discovery = %v, %v, want none", ok, err)
		}
		now := time.Now().UTC().Truncate(time.Microsecond)
		listed := mirror.Rule{Pattern: "github.com/A/*", Discovery: &mirror.RuleDiscovery{Forks: true, Exclude: []string{"old-*"}}}
		if err := db.EditRule(ctx, listed); err != nil {
			t.Fatal(err)
		}
		if got, ok, err := db.ClaimRule(ctx, now.Add(time.Minute), now.Add(time.Hour)); !ok || err != nil || !reflect.DeepEqual(got, listed) {
			t.Errorf("ClaimRule = %+v, %v, %v, want %+v", got, ok, err, listed)
		}
		if _, ok, err := db.ClaimRule(ctx, now.Add(2*time.Minute), now.Add(time.Hour)); ok || err != nil {
			t.Errorf("ClaimRule again = %v, %v, want none", ok, err)
		}
		listed.Listing = mirror.RuleListing{At: now, ETag: `"x"`, Found: 3, Added: 2, Skipped: 1}
		if err := db.RuleListed(ctx, listed, listed.Listing, now.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		changed := mirror.Rule{Pattern: "github.com/A/*", Discovery: &mirror.RuleDiscovery{}}
		if err := db.RuleListed(ctx, changed, mirror.RuleListing{Found: 99}, now); err != nil {
			t.Fatal(err)
		}
		if got, err := db.Rules(ctx); err != nil || !reflect.DeepEqual(got[0], listed) {
			t.Errorf("Rules after a listing = %+v, %v, want %+v", got, err, listed)
		}
		if err := db.EditRule(ctx, mirror.Rule{Pattern: "github.com/A/*"}); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := db.ClaimRule(ctx, now.Add(time.Hour), now); ok || err != nil {
			t.Errorf("ClaimRule after Discovery went = %v, %v, want none", ok, err)
		}
		if err := db.EditRule(ctx, mirror.Rule{Pattern: "github.com/gone/*"}); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("EditRule(gone) = %v, want ErrNotFound", err)
		}
		if err := db.RemoveRule(ctx, "github.com/a/*"); err != nil {
			t.Errorf("RemoveRule = %v", err)
		}
		if err := db.RemoveRule(ctx, "%"); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("RemoveRule(%%) = %v, want ErrNotFound", err)
		}
	})
}

func TestCredentials(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx := t.Context()
		c := mirror.SealedCredential{Name: "github.com/a/b", Host: "github.com", User: "x", Secret: []byte{0, 1, 255, '\''}, Created: base()}
		if err := db.AddCredential(ctx, c); err != nil {
			t.Fatal(err)
		}
		c.User, c.Secret, c.Created = "", []byte("new"), base().Add(time.Hour)
		if err := db.AddCredential(ctx, c); err != nil {
			t.Fatal(err)
		}
		if got, err := db.Credential(ctx, c.Name); err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("Credential = %+v, %v, want %+v", got, err, c)
		}
		if got, err := db.Credentials(ctx); err != nil || !reflect.DeepEqual(got, []mirror.SealedCredential{c}) {
			t.Errorf("Credentials = %+v, %v, want the one", got, err)
		}
		if err := db.RemoveCredential(ctx, c.Name); err != nil {
			t.Errorf("RemoveCredential = %v", err)
		}
		if err := db.RemoveCredential(ctx, c.Name); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("RemoveCredential(gone) = %v, want ErrNotFound", err)
		}
		if _, err := db.Credential(ctx, c.Name); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("Credential(gone) = %v, want ErrNotFound", err)
		}
	})
}

func TestSessions(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, location string) {
		ctx, s := t.Context(), db.Sessions()
		now := time.Now()
		for token, until := range map[string]time.Time{"live": now.Add(time.Hour), "over": now.Add(-time.Second)} {
			if err := s.CommitCtx(ctx, token, []byte("old"), until); err != nil {
				t.Fatal(err)
			}
			if err := s.Commit(token, []byte{0, 'n', 255}, until); err != nil {
				t.Fatal(err)
			}
		}
		if data, found, err := open(t, location).Sessions().Find("live"); err != nil || !found || string(data) != "\x00n\xff" {
			t.Errorf("Find(live) = %q, %t, %v, want what was committed last", data, found, err)
		}
		for _, token := range []string{"over", "unknown", "", "\x00' OR 1=1"} {
			if data, found, err := s.Find(token); err != nil || found || data != nil {
				t.Errorf("Find(%q) = %q, %t, %v, want not found", token, data, found, err)
			}
		}
		if n, err := s.Prune(ctx); err != nil || n != 1 {
			t.Errorf("Prune = %d, %v, want 1", n, err)
		}
		if err := s.CommitCtx(ctx, "empty", nil, now.Add(time.Hour)); err != nil {
			t.Errorf("CommitCtx(no data) = %v", err)
		}
		for _, token := range []string{"live", "live", "unknown"} {
			if err := s.Delete(token); err != nil {
				t.Errorf("Delete(%q) = %v", token, err)
			}
		}
		if _, found, err := s.Find("live"); err != nil || found {
			t.Errorf("Find(deleted) = %t, %v, want not found", found, err)
		}
	})
}
