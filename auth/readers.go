package auth

import (
	"context"
	"slices"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

// Readers are who may read a private mirror, beside administrators.
type Readers struct {
	Anyone bool     // whoever is signed in
	Groups []string // ids, sorted; those of the grants that reach the mirror
}

// Beyond are those of r who are not among others.
func (r Readers) Beyond(others Readers) Readers {
	if others.Anyone {
		return Readers{}
	}
	return Readers{Anyone: r.Anyone, Groups: slices.DeleteFunc(slices.Clone(r.Groups), func(g string) bool { return slices.Contains(others.Groups, g) })}
}

// None tells whether there are none.
func (r Readers) None() bool { return !r.Anyone && len(r.Groups) == 0 }

// ReadersMoved says who may read a private mirror, and who may once it is renamed:
// grants of a folder stay where they are, those of exactly its path go with it.
func (p Policy) ReadersMoved(ctx context.Context, from, to mirror.Path) (before, after Readers, err error) {
	if p.Access == nil {
		return Readers{Anyone: true}, Readers{Anyone: true}, nil
	}
	table, err := p.Access.Store.Access(ctx)
	if err != nil {
		return Readers{}, Readers{}, err
	}
	before = p.Access.readers(table.Grants, from)
	for i, g := range table.Grants {
		if strings.EqualFold(g.Pattern, string(from)) {
			table.Grants[i].Pattern = string(to)
		}
	}
	return before, p.Access.readers(table.Grants, to), nil
}

// readers is Sight for the other side: who sees, and not what is seen.
func (a *Access) readers(grants []Grant, path mirror.Path) Readers {
	var r Readers
	for _, g := range grants {
		if mirror.Reaches(g.Pattern, path) {
			r.Groups = append(r.Groups, g.Group)
		}
	}
	slices.Sort(r.Groups)
	r.Groups = slices.Compact(r.Groups)
	r.Anyone = len(r.Groups) == 0 && !a.Strict
	return r
}
