package web

import (
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

// goneView is what a person can do about an original that is gone, private now,
// or elsewhere.
type goneView struct {
	From, To string // where it was and is; To is empty when nobody knows
	Hold     int64  // to accept, to follow it there
}

// viewGone offers what can be done, and takes the question where to follow it to
// out of what is held: it is asked here.
func (data *mirrorPage) viewGone(r mirror.Repo) {
	class := data.Problem.Class()
	if !data.MayManage || data.Progress != nil || !r.Archived.IsZero() || class != mirror.Ambiguous && class != mirror.Moved {
		return
	}
	data.Gone = &goneView{From: data.Upstream}
	i := slices.IndexFunc(data.Held, func(h holdView) bool { return h.Kind == mirror.HoldMove })
	if i >= 0 {
		data.Gone.From, data.Gone.To, data.Gone.Hold = data.Held[i].Old.Value, data.Held[i].New.Value, data.Held[i].ID
		data.Held = slices.Delete(data.Held, i, i+1)
	}
}

func (c *console) archive(g *gin.Context) error {
	repo, err := c.repo(g)
	if err != nil {
		return err
	}
	_, err = c.Catalog.Edit(g.Request.Context(), repo.ID, mirror.Edit{Archived: new(true)})
	return c.orTell(g, err, "Kept as an archive. It is served as it is, and no longer synced.", mirrorURL(repo.ID))
}
