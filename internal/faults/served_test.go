package faults_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/gitserver"
	"github.com/gitmirror/gitmirror/internal/faultproxy"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// packs is how the program joins git.Disk to gitserver.
type packs struct{ *git.Disk }

func (p packs) UploadPack(ctx context.Context, id mirror.ID, protocol string, stateless, advertise bool, in io.Reader, out, errOut io.Writer) error {
	return p.Disk.UploadPack(ctx, git.UploadPack{
		Repo: id, Protocol: protocol, Stateless: stateless, Advertise: advertise, In: in, Out: out, Err: errOut,
	})
}

// TestServedWithoutDatabase: who was served a moment ago still is, and nobody
// else; what was taken away stays away.
func TestServedWithoutDatabase(t *testing.T) {
	t.Parallel()
	for name, toxic := range map[string]faultproxy.Toxic{"gone": {Kind: faultproxy.Reset}, "hangs": {Kind: faultproxy.Stall}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, road := onPostgres(t)
			accounts := &auth.Accounts{Store: h.db}
			server := httptest.NewServer(&gitserver.HTTP{
				Catalog: h.catalog, Packs: packs{h.disk}, Accounts: accounts, Policy: auth.Policy{AnonymousRead: true},
			})
			t.Cleanup(server.Close)
			repo, err := h.db.RepoByID(t.Context(), h.id)
			if err != nil {
				t.Fatal(err)
			}
			repo.Private = true
			if err := h.db.EditRepo(t.Context(), repo); err != nil {
				t.Fatal(err)
			}
			dev, err := accounts.AddUser(t.Context(), "dev", auth.Developer, "")
			if err != nil {
				t.Fatal(err)
			}
			token := func(name string) (auth.Token, string) {
				t.Helper()
				tok, secret, err := accounts.CreateToken(t.Context(), dev.ID, name, auth.ScopeRead, 0)
				if err != nil {
					t.Fatal(err)
				}
				return tok, secret
			}
			_, known := token("known")
			revoked, former := token("revoked")
			_, never := token("never used")
			clone := func(secret string) (string, error) {
				at, err := url.Parse(server.URL + "/" + project)
				if err != nil {
					t.Fatal(err)
				}
				if secret != "" {
					at.User = url.UserPassword("token", secret)
				}
				home := t.TempDir()
				cmd := exec.Command("git", "clone", "--quiet", at.String(), filepath.Join(home, "clone"))
				cmd.Env = gittest.Env(home, "GIT_TERMINAL_PROMPT=0")
				out, err := cmd.CombinedOutput()
				return string(out), err
			}
			for _, secret := range []string{former, known} {
				if out, err := clone(secret); err != nil {
					t.Fatalf("git clone while all is well: %v\n%s", err, out)
				}
			}
			if err := accounts.RemoveToken(t.Context(), dev.ID, revoked.ID); err != nil {
				t.Fatal(err)
			}
			if out, err := clone(known); err != nil { // a right was taken away: all is asked anew
				t.Fatalf("git clone while all is well: %v\n%s", err, out)
			}

			back := road.Add(toxic)
			road.Hangup()
			for range 2 {
				if out, err := clone(known); err != nil {
					t.Errorf("git clone by somebody known, without the database: %v\n%s", err, out)
				}
			}
			if name == "gone" { // what hangs is waited for
				for what, secret := range map[string]string{"a token that was removed": former, "a token that was never seen": never} {
					if out, err := clone(secret); err == nil || !strings.Contains(out, "returned error: 50") {
						t.Errorf("git clone with %s, without the database: %v, want an error of the server\n%s", what, err, out)
					}
				}
			}
			if out, err := clone(""); err == nil {
				t.Errorf("git clone of a private mirror by nobody, without the database, succeeded\n%s", out)
			}
			back()
			h.until(t, "the database is asked again", func() bool {
				_, err := clone(never)
				return err == nil
			})
			res, err := http.Get(server.URL + "/" + project + "/info/refs?service=git-upload-pack")
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != http.StatusUnauthorized {
				t.Errorf("GET of a private mirror by nobody = %d, want 401", res.StatusCode)
			}
		})
	}
}
