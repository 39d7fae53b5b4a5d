package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// loginDays is how long a token made by "login" is good for.
const loginDays = 90

// loginDoc is the JSON of "login" and "whoami".
type loginDoc struct {
	Server   string       `json:"server"`
	Identity web.Identity `json:"identity"`
	Version  string       `json:"server_version"`
}

func (p *program) loginCommand() *cobra.Command {
	var username string
	var passwordStdin, tokenStdin, netrc, ci bool
	cmd := p.withJSON(&cobra.Command{
		Use: "login URL", Short: "Sign in to a server and remember it", Args: args(1, 1),
		Long: "Sign in to a server. A token is made there and kept in your configuration directory,\n" +
			"readable by you only; the password is not kept. Several servers may be signed in to,\n" +
			"the last one is the default.",
		Example: "  gitmirror login http://127.0.0.1:8080 --username admin\n" +
			"  gitmirror login https://git.corp.test --token-stdin < token",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if tokenStdin && (passwordStdin || username != "") {
				return wrongUsage("--token-stdin goes without --username and --password-stdin", "a token says whose it is")
			}
			if ci && (tokenStdin || passwordStdin || username != "") {
				return wrongUsage("--ci goes alone", "the identity token of the job says who it is")
			}
			address, err := serverURL(args[0])
			if err != nil {
				return err
			}
			stored, err := p.readLogins()
			if err != nil {
				return err
			}
			c := p.clientOf(login{URL: address})
			var site web.Site
			if err := c.call(ctx, http.MethodGet, api+"/site", nil, &site); err != nil {
				return err
			}
			if ci {
				err = p.signInCI(ctx, c)
			} else if tokenStdin {
				c.Token, err = p.secret(true, "--token-stdin", "Token")
			} else {
				err = p.signIn(ctx, c, username, passwordStdin)
			}
			if err != nil {
				return err
			}
			doc := loginDoc{Server: address, Version: site.Version}
			if err := c.call(ctx, http.MethodGet, api+"/whoami", nil, &doc.Identity); err != nil {
				return err
			}
			c.User = doc.Identity.Name
			stored.put(c.login)
			if err := stored.save(); err != nil {
				return err
			}
			if netrc {
				path, err := p.writeNetrc(c.login)
				if err != nil {
					return err
				}
				p.say("wrote the credentials for git and go into %s", path)
			}
			if p.json {
				return p.emit(doc)
			}
			p.say("signed in to %s as %s (%s)", address, doc.Identity.Name, doc.Identity.Role)
			return nil
		},
	})
	f := cmd.Flags()
	f.StringVarP(&username, "username", "u", "", "user name; asked for on a terminal")
	f.BoolVar(&passwordStdin, "password-stdin", false, "read the password from standard input")
	f.BoolVar(&tokenStdin, "token-stdin", false, "read a token from standard input instead of signing in with a password")
	f.BoolVar(&ci, "ci", false, "in a CI job: exchange the job's identity token for a short-lived token; no secret is stored")
	f.BoolVar(&netrc, "netrc", false, "also write the credentials into ~/.netrc, where git and go find them")
	return cmd
}

// signIn makes a token of a user name and a password.
func (p *program) signIn(ctx context.Context, c *client, username string, passwordStdin bool) error {
	if username == "" {
		if p.json || passwordStdin || !terminal(p.stdin) {
			return wrongUsage("no user name", "give --username NAME and --password-stdin, or --token-stdin")
		}
		fmt.Fprint(p.stderr, "User name: ")
		var err error
		if username, err = line(p.stdin); err != nil {
			return err
		}
	}
	password, err := p.secret(passwordStdin, "--password-stdin", "Password")
	if err != nil {
		return err
	}
	name := "gitmirror login"
	if host, err := os.Hostname(); err == nil {
		name += " on " + host
	}
	in := web.NewToken{Name: name, Scope: "admin", ExpiresS: loginDays * 24 * 60 * 60}
	var made web.CreatedToken
	c.username, c.password = username, password
	err = c.call(ctx, http.MethodPost, api+"/tokens", in, &made)
	if err != nil && explain(err).Code == mirror.CodeFactor && !p.json && terminal(p.stdin) {
		fmt.Fprint(p.stderr, "Code of your app: ")
		if c.otp, err = line(p.stdin); err == nil {
			err = c.call(ctx, http.MethodPost, api+"/tokens", in, &made)
		}
	}
	c.username, c.password, c.otp = "", "", ""
	if err != nil {
		if problem := explain(err); errors.Is(err, mirror.ErrSignIn) && problem.Code != mirror.CodeFactor {
			problem.Do = "check the user name and the password; on a new server the admin's first one was printed when it started"
		}
		return err
	}
	c.Token, c.TokenID = made.Secret, made.ID
	return nil
}

func (p *program) logoutCommand() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "logout [SERVER]", Short: "Forget a server and end its token", Args: args(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			stored, err := p.readLogins()
			if err != nil {
				return err
			}
			name := stored.Default
			if len(args) == 1 {
				name = strings.TrimRight(args[0], "/")
			}
			s, ok := stored.find(name)
			if !ok {
				return &mirror.Problem{Code: codeLogin, Kind: mirror.ErrNotFound, What: "you are not signed in" + to(name),
					Do: "a token in GITMIRROR_TOKEN is forgotten by unsetting it"}
			}
			ended := s.TokenID != ""
			if ended { // a token that was made elsewhere may be in use elsewhere
				ctx, cancel := context.WithTimeout(cmd.Context(), 10*time.Second)
				defer cancel()
				err := p.clientOf(s).call(ctx, http.MethodDelete, api+"/users/me/tokens/current", nil, nil)
				if err != nil && !errors.Is(err, mirror.ErrSignIn) {
					ended = false
					p.say("the server did not end the token: %s", explain(err).Error())
				}
			}
			stored.drop(s.URL)
			if err := stored.save(); err != nil {
				return err
			}
			if _, err := p.writeNetrc(login{URL: s.URL}); err != nil {
				return err
			}
			if p.json {
				return p.emit(map[string]any{"server": s.URL, "token_ended": ended})
			}
			p.say("signed out of %s", s.URL)
			return nil
		},
	})
}

func to(name string) string {
	if name == "" {
		return " to any server"
	}
	return " to " + name
}

func (p *program) whoamiCommand() *cobra.Command {
	cmd := p.withJSON(&cobra.Command{
		Use: "whoami", Short: "Say who you are to the server", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			doc := loginDoc{Server: c.URL}
			var site web.Site
			if err := c.call(cmd.Context(), http.MethodGet, api+"/site", nil, &site); err != nil {
				return err
			}
			doc.Version = site.Version
			if err := c.call(cmd.Context(), http.MethodGet, api+"/whoami", nil, &doc.Identity); err != nil {
				return err
			}
			if p.json {
				return p.emit(doc)
			}
			p.facts(
				[2]string{"server", doc.Server}, [2]string{"user", doc.Identity.Name}, [2]string{"role", string(doc.Identity.Role)},
				[2]string{"may", strings.Join(doc.Identity.May, ", ")})
			return nil
		},
	})
	p.withServer(cmd)
	return cmd
}
