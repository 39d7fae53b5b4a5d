package mirror

import "context"

// Cancel stops the sync of a mirror that goes on in this process, and pauses the
// mirror: it would be synced again at once. What is served stays as it was.
func (c *Catalog) Cancel(ctx context.Context, id ID) (Repo, error) {
	repo, err := c.Edit(ctx, id, Edit{Paused: new(true)})
	if err == nil {
		c.Syncer.stop(id, errCancelled)
	}
	return repo, err
}
