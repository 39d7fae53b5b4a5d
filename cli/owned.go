package cli

import (
	"context"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/mirror"
)

// owned is a kind of thing that belongs to a user and has a name and an id:
// keys and tokens. Listing and removing them is the same for all.
type owned[T any] struct {
	what  string // "key": the command's noun
	title string // "SSH keys"
	none  string // what an empty list says
	gone  string // "removed"
	names func(T) (name, id string)
	head  row
	cells func(T) row
}

// of asks for those of a user; an empty name is the caller.
func (o owned[T]) of(ctx context.Context, c *client, user string) (all []T, path string, err error) {
	u, err := c.user(ctx, user)
	if err != nil {
		return nil, "", err
	}
	path = "/users/" + segment(u.ID) + "/" + o.what + "s"
	all, err = listOf[T](ctx, c, path)
	return all, path, err
}

func (o owned[T]) list(p *program, user *string) *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List " + o.title, Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			all, _, err := o.of(cmd.Context(), c, *user)
			if err != nil {
				return err
			}
			if p.json {
				return p.emit(all)
			}
			rows := make([]row, len(all))
			for i, one := range all {
				rows[i] = o.cells(one)
			}
			p.table(o.none, o.head, rows)
			return nil
		},
	})
}

func (o owned[T]) remove(p *program, user *string) *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "remove NAME|ID", Aliases: []string{"rm"}, Short: "Remove one of the " + o.title, Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			all, path, err := o.of(cmd.Context(), c, *user)
			if err != nil {
				return err
			}
			one, err := pick(o.what, args[0], all, o.names)
			if err != nil {
				return err
			}
			name, id := o.names(one)
			if err := c.call(cmd.Context(), http.MethodDelete, api+path+"/"+segment(id), nil, nil); err != nil {
				return err
			}
			if p.json {
				return p.emit(one)
			}
			p.say("%s %s", o.gone, name)
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
