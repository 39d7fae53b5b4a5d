package cli

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// maxKeyFile bounds what is read of a key file.
const maxKeyFile = 20000

func (p *program) keyCommand() *cobra.Command {
	var user string
	g := p.group("key", "Manage SSH keys", p.keyAdd(&user), p.keyList(&user), p.keyRemove(&user))
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

func (p *program) keyList(user *string) *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List SSH keys", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			u, err := c.user(cmd.Context(), *user)
			if err != nil {
				return err
			}
			keys, err := listOf[web.Key](cmd.Context(), c, "/users/"+segment(u.ID)+"/keys")
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(keys)
			}
			rows := make([]row, len(keys))
			for i, k := range keys {
				rows[i] = row{k.Name, k.Fingerprint, ago(k.CreatedAt), ago(k.LastUsedAt), k.ID}
			}
			p.table("no keys; add one with: gitmirror key add NAME FILE", row{"NAME", "FINGERPRINT", "ADDED", "USED", "ID"}, rows)
			return nil
		},
	})
}

func (p *program) keyRemove(user *string) *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "remove NAME|ID", Aliases: []string{"rm"}, Short: "Remove an SSH key", Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			u, err := c.user(cmd.Context(), *user)
			if err != nil {
				return err
			}
			keys, err := listOf[web.Key](cmd.Context(), c, "/users/"+segment(u.ID)+"/keys")
			if err != nil {
				return err
			}
			k, err := pick("key", args[0], keys, func(k web.Key) (string, string) { return k.Name, k.ID })
			if err != nil {
				return err
			}
			if err := c.call(cmd.Context(), http.MethodDelete, api+"/users/"+segment(u.ID)+"/keys/"+segment(k.ID), nil, nil); err != nil {
				return err
			}
			if p.json {
				return p.emit(k)
			}
			p.say("removed %s", k.Name)
			return nil
		},
	})
}

// pick finds the one thing with a name or an id.
func pick[T any](what, ref string, all []T, names func(T) (name, id string)) (T, error) {
	var found []T
	for _, one := range all {
		name, id := names(one)
		if id == ref {
			return one, nil
		}
		if name == ref {
			found = append(found, one)
		}
	}
	var none T
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return none, &mirror.Problem{Kind: mirror.ErrNotFound, What: fmt.Sprintf("there is no %s %q", what, ref),
			Do: "\"gitmirror " + what + " list\" lists them"}
	}
	return none, wrongUsage(fmt.Sprintf("%d of them are called %q", len(found), ref), "name it by its id; \"gitmirror "+what+" list\" shows it")
}

func (p *program) tokenCommand() *cobra.Command {
	var user string
	g := p.group("token", "Manage API tokens", p.tokenCreate(&user), p.tokenList(&user), p.tokenRemove(&user))
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

func (p *program) tokenList(user *string) *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List API tokens", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			u, err := c.user(cmd.Context(), *user)
			if err != nil {
				return err
			}
			tokens, err := listOf[web.Token](cmd.Context(), c, "/users/"+segment(u.ID)+"/tokens")
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(tokens)
			}
			rows := make([]row, len(tokens))
			for i, t := range tokens {
				until := "never"
				if !t.ExpiresAt.IsZero() {
					until = t.ExpiresAt.Local().Format(time.DateOnly)
				}
				rows[i] = row{t.Name, string(t.Scope), until, ago(t.LastUsedAt), t.ID}
			}
			p.table("no tokens; make one with: gitmirror token create NAME", row{"NAME", "SCOPE", "EXPIRES", "USED", "ID"}, rows)
			return nil
		},
	})
}

func (p *program) tokenRemove(user *string) *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "remove NAME|ID", Aliases: []string{"rm"}, Short: "End an API token", Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			u, err := c.user(cmd.Context(), *user)
			if err != nil {
				return err
			}
			tokens, err := listOf[web.Token](cmd.Context(), c, "/users/"+segment(u.ID)+"/tokens")
			if err != nil {
				return err
			}
			t, err := pick("token", args[0], tokens, func(t web.Token) (string, string) { return t.Name, t.ID })
			if err != nil {
				return err
			}
			if err := c.call(cmd.Context(), http.MethodDelete, api+"/users/"+segment(u.ID)+"/tokens/"+segment(t.ID), nil, nil); err != nil {
				return err
			}
			if p.json {
				return p.emit(t)
			}
			p.say("ended %s", t.Name)
			return nil
		},
	})
}
