package cli

import (
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// newOIDC is the provider people sign in with; nil = there is none. It is named
// by whoever runs the server, so that it may be on a private address.
func newOIDC(c Config, accounts *auth.Accounts, site mirror.Site, log *slog.Logger) (*auth.OIDC, error) {
	if c.text("auth.oidc.issuer") == "" {
		return nil, nil
	}
	secret := c.text("auth.oidc.client_secret")
	if name := c.text("auth.oidc.client_secret_file"); name != "" {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, startProblem("the secret of the sign-in provider cannot be read", err, "set auth.oidc.client_secret_file to a file this user may read")
		}
		secret = strings.TrimSpace(string(text))
	}
	return &auth.OIDC{
		Accounts: accounts, Name: c.text("auth.oidc.name"), Issuer: c.text("auth.oidc.issuer"), ClientID: c.text("auth.oidc.client_id"),
		Secret: mirror.Secret(secret), Scopes: commaList(c.text("auth.oidc.scopes")), Redirect: site.URL + "/login/oidc/callback",
		Domains: commaList(c.text("auth.oidc.domains")), Groups: commaList(c.text("auth.oidc.groups")), GroupsClaim: c.text("auth.oidc.groups_claim"),
		Admins: commaList(c.text("auth.oidc.admin_groups")), Create: c.bool("auth.oidc.create_users"),
		Client: &http.Client{Timeout: 20 * time.Second}, Log: log,
	}, nil
}

// commaList is those of a list with commas or spaces between.
func commaList(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}
