package web

import (
	"context"

	"github.com/gitmirror/gitmirror/mirror"
)

// sameView is trouble that is the host's or the road's, and how many mirrors of
// the host have it now.
type sameView struct {
	Host string
	N    int
}

// viewSame counts the mirrors that fail as this one does, where that may be no
// affair of the repository.
func (c *console) viewSame(ctx context.Context, r mirror.Repo, data *mirrorPage) error {
	switch data.Problem.Class() {
	case mirror.Network, mirror.ServerTrouble, mirror.Throttled, mirror.ThrottledAnonymous:
	default:
		return nil
	}
	data.Same = &sameView{Host: r.Upstream.Host}
	for _, status := range []mirror.Status{mirror.Retrying, mirror.Failed} {
		failing, err := c.Store.Repos(ctx, mirror.RepoQuery{Status: status, Limit: overviewFailed})
		if err != nil {
			return err
		}
		for _, f := range failing {
			if f.Upstream.Host == r.Upstream.Host && f.State.Problem != nil && f.State.Problem.Code == data.Problem.Code {
				data.Same.N++
			}
		}
	}
	return nil
}
