package cli

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/web"
)

// maxKeyFile bounds what is read of a key file.
const maxKeyFile = 20000

var keys = owned[web.Key]{
	what: "key", title: "SSH keys", none: "no keys; add one with: gitmirror key add NAME FILE", gone: "removed",
	names: func(k web.Key) (string, string) { return k.Name, k.ID },
	head:  row{"NAME", "FINGERPRINT", "ADDED", "USED", "ID"},
	cells: func(k web.Key) row { return row{k.Name, k.Fingerprint, ago(k.CreatedAt), ago(k.LastUsedAt), k.ID} },
}

var tokens = owned[web.Token]{
	what: "token", title: "API tokens", none: "no tokens; make one with: gitmirror token create NAME", gone: "ended",
	names: func(t web.Token) (string, string) { return t.Name, t.ID },
	head:  row{"NAME", "SCOPE", "EXPIRES", "USED", "ID"},
	cells: func(t web.Token) row {
		until := "never"
		if !t.ExpiresAt.IsZero() {
			until = t.ExpiresAt.Local().Format(time.DateOnly)
		}
		return row{t.Name, string(t.Scope), until, ago(t.LastUsedAt), t.ID}
	},
}

func (p *program) keyCommand() *cobra.Command {
	var user string
	g := p.group("key", "Manage SSH keys", p.keyAdd(&user), keys.list(p, &user), keys.remove(p, &user))
	g.PersistentFlags().StringVar(&user, "user", "", "whose keys (administrators only; default: your own)")
	p.withServer(g)
	return g
}

func (p *program) keyAdd(user *string) *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "add NAME FILE", Short: "Add an SSH public key; FILE may be - for standard input", Args: args(2, 2),
		Example: "  gitmirror key add laptop ~/.ssh/id_ed25519.pub",
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := p.publicKey(args[1])
			if err != nil {
				return err
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			u, err := c.user(cmd.Context(), *user)
			if err != nil {
				return err
			}
			var k web.Key
			in := web.NewKey{Name: args[0], PublicKey: text}
			if err := c.call(cmd.Context(), http.MethodPost, api+"/users/"+segment(u.ID)+"/keys", in, &k); err != nil {
				return err
			}
			if p.json {
				return p.emit(k)
			}
			p.say("added %s %s", k.Name, k.Fingerprint)
			return nil
		},
	})
}

func (p *program) publicKey(name string) (string, error) {
	in := p.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", wrongUsage(err.Error(), "name the .pub file of your key, often ~/.ssh/id_ed25519.pub")
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxKeyFile+1))
	switch {
	case err != nil:
		return "", err
	case len(text) > maxKeyFile:
		return "", wrongUsage(name+" is too large for a public key", "")
	case strings.Contains(string(text), "PRIVATE KEY"):
		return "", wrongUsage(name+" holds a private key, which must never leave this machine", "name the file that ends in .pub")
	}
	return strings.TrimSpace(string(text)), nil
}

func (p *program) tokenCommand() *cobra.Command {
	var user string
	g := p.group("token", "Manage API tokens", p.tokenCreate(&user), tokens.list(p, &user), tokens.remove(p, &user))
	g.PersistentFlags().StringVar(&user, "user", "", "whose tokens (administrators only; default: your own)")
	p.withServer(g)
	return g
}

func (p *program) tokenCreate(user *string) *cobra.Command {
	var scope, expires string
	cmd := p.withJSON(&cobra.Command{
		Use: "create NAME", Short: "Make an API token and print it, this once", Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := web.NewToken{Name: args[0], Scope: scope}
			if expires != "never" {
				life, err := duration(expires)
				if err != nil || life < time.Minute {
					return wrongUsage(fmt.Sprintf("--expires: %q is not a length of time", expires), "write 12h, 90d or never")
				}
				in.ExpiresS = int64(life / time.Second)
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			u, err := c.user(cmd.Context(), *user)
			if err != nil {
				return err
			}
			var t web.CreatedToken
			if err := c.call(cmd.Context(), http.MethodPost, api+"/users/"+segment(u.ID)+"/tokens", in, &t); err != nil {
				return err
			}
			if p.json {
				return p.emit(t)
			}
			until := "never expires"
			if !t.ExpiresAt.IsZero() {
				until = "expires on " + t.ExpiresAt.Local().Format(time.DateOnly)
			}
			p.say("%s: scope %s, %s; it is shown this once:", t.Name, t.Scope, until)
			_, err = fmt.Fprintln(p.stdout, t.Secret)
			return err
		},
	})
	cmd.Flags().StringVar(&scope, "scope", "read", "read, write (and manage mirrors) or admin (everything the user may)")
	cmd.Flags().StringVar(&expires, "expires", "90d", "how long it is good for (12h, 90d), or never")
	return cmd
}
