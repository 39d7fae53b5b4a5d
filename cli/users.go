package cli

import (
	"context"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// items is the body of a list: a page of it.
type items[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"next_cursor,omitempty"`
}

// listOf reads a list, all pages of it.
func listOf[T any](ctx context.Context, c *client, path string) ([]T, error) {
	return pagesOf[T](ctx, c, path, url.Values{}, everything)
}

const (
	pageful    = 1000 // items, the most a list gives in a page
	everything = math.MaxInt
)

// pagesOf reads what q selects of a list, page after page, until there are most.
func pagesOf[T any](ctx context.Context, c *client, path string, q url.Values, most int) ([]T, error) {
	all := []T{}
	for len(all) < most {
		q.Set("limit", strconv.Itoa(min(pageful, most-len(all))))
		var page items[T]
		if err := c.call(ctx, http.MethodGet, api+path+"?"+q.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.NextCursor == "" || page.NextCursor == q.Get("cursor") {
			break
		}
		q.Set("cursor", page.NextCursor)
	}
	return all, nil
}

// upTo is the value of a --limit whose 0 means all.
func upTo(limit int) int {
	if limit <= 0 {
		return everything
	}
	return limit
}

// user finds a user by name. The empty name is the caller, whom the API calls "me".
func (c *client) user(ctx context.Context, name string) (web.User, error) {
	if name == "" {
		var u web.User
		err := c.call(ctx, http.MethodGet, api+"/users/me", nil, &u)
		return u, err
	}
	users, err := listOf[web.User](ctx, c, "/users")
	if err != nil {
		return web.User{}, err
	}
	for _, u := range users {
		if strings.EqualFold(u.Name, name) || u.ID == name {
			return u, nil
		}
	}
	return web.User{}, &mirror.Problem{Kind: mirror.ErrNotFound, What: "there is no user \"" + name + "\"", Do: "\"gitmirror user list\" lists them"}
}

func (c *client) editUser(ctx context.Context, id string, in web.EditUser) (web.User, error) {
	var u web.User
	err := c.call(ctx, http.MethodPatch, api+"/users/"+segment(id), in, &u)
	return u, err
}

func (p *program) userCommand() *cobra.Command {
	g := p.group("user", "Manage users",
		p.userAdd(), p.userList(), p.userRemove(), p.userPassword(), p.userRole(), p.userReset(),
		p.userDisable("disable", "Lock a user out", true), p.userDisable("enable", "Let a disabled user in again", false))
	p.withServer(g)
	return g
}

func (p *program) userAdd() *cobra.Command {
	var role string
	var passwordStdin bool
	cmd := p.withJSON(&cobra.Command{
		Use: "add NAME", Short: "Add a user", Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			in := web.NewUser{Name: args[0], Role: role}
			if role != "robot" {
				if in.Password, err = p.newPassword(passwordStdin); err != nil {
					return err
				}
			}
			var u web.User
			if err := c.call(cmd.Context(), http.MethodPost, api+"/users", in, &u); err != nil {
				return err
			}
			if p.json {
				return p.emit(u)
			}
			p.say("added %s (%s)", u.Name, u.Role)
			if role == "robot" {
				p.say("robots sign in with tokens: gitmirror token create NAME --user %s", u.Name)
			}
			return nil
		},
	})
	cmd.Flags().StringVar(&role, "role", "developer", "admin, developer or robot")
	cmd.Flags().BoolVar(&passwordStdin, "password-stdin", false, "read the password from standard input")
	return cmd
}

// newPassword asks twice on a terminal.
func (p *program) newPassword(fromStdin bool) (string, error) {
	first, err := p.secret(fromStdin, "--password-stdin", "New password")
	if err != nil || fromStdin {
		return first, err
	}
	second, err := p.secret(false, "--password-stdin", "The same again")
	if err == nil && first != second {
		err = wrongUsage("the two passwords differ", "try again")
	}
	return first, err
}

func (p *program) userList() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List users", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			users, err := listOf[web.User](cmd.Context(), c, "/users")
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(users)
			}
			rows := make([]row, len(users))
			for i, u := range users {
				state := "active"
				if u.Disabled {
					state = "disabled"
				}
				rows[i] = row{u.Name, string(u.Role), state, ago(u.CreatedAt)}
			}
			p.table("no users", row{"NAME", "ROLE", "STATE", "ADDED"}, rows)
			return nil
		},
	})
}

func (p *program) userRemove() *cobra.Command {
	var yes bool
	cmd := p.withJSON(&cobra.Command{
		Use: "remove NAME", Aliases: []string{"rm"}, Short: "Remove a user with keys and tokens", Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withUser(cmd.Context(), args[0], "removed", func(c *client, u web.User) (web.User, error) {
				if err := p.confirm(yes, "Remove "+u.Name+" with all keys and tokens?"); err != nil {
					return u, err
				}
				return u, c.call(cmd.Context(), http.MethodDelete, api+"/users/"+segment(u.ID), nil, nil)
			})
		},
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// withUser finds a user, does something and tells so.
func (p *program) withUser(ctx context.Context, name, done string, do func(*client, web.User) (web.User, error)) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	u, err := c.user(ctx, name)
	if err != nil {
		return err
	}
	if u, err = do(c, u); err != nil {
		return err
	}
	if p.json {
		return p.emit(u)
	}
	p.say("%s %s", done, u.Name)
	return nil
}

func (p *program) userPassword() *cobra.Command {
	var passwordStdin bool
	cmd := p.withJSON(&cobra.Command{
		Use: "passwd [NAME]", Short: "Change a password; your own when no NAME is given", Args: args(0, 1),
		Long: "Change a password. To change your own, the present one is asked for too: with\n" +
			"--password-stdin it is the first line of standard input and the new one the second.",
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			return p.withUser(cmd.Context(), name, "changed the password of", func(c *client, u web.User) (web.User, error) {
				var me web.Identity
				if err := c.call(cmd.Context(), http.MethodGet, api+"/whoami", nil, &me); err != nil {
					return u, err
				}
				edit := web.EditUser{}
				if me.ID == u.ID && u.HasPassword {
					current, err := p.secret(passwordStdin, "--password-stdin", "Present password")
					if err != nil {
						return u, err
					}
					edit.CurrentPassword = current
				}
				password, err := p.newPassword(passwordStdin)
				if err != nil {
					return u, err
				}
				edit.Password = &password
				return c.editUser(cmd.Context(), u.ID, edit)
			})
		},
	})
	cmd.Flags().BoolVar(&passwordStdin, "password-stdin", false, "read the password from standard input")
	return cmd
}

func (p *program) userRole() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "role NAME ROLE", Short: "Change the role of a user", Args: args(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withUser(cmd.Context(), args[0], "changed the role of", func(c *client, u web.User) (web.User, error) {
				return c.editUser(cmd.Context(), u.ID, web.EditUser{Role: &args[1]})
			})
		},
	})
}

func (p *program) userDisable(verb, short string, disabled bool) *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: verb + " NAME", Short: short, Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withUser(cmd.Context(), args[0], verb+"d", func(c *client, u web.User) (web.User, error) {
				return c.editUser(cmd.Context(), u.ID, web.EditUser{Disabled: &disabled})
			})
		},
	})
}
