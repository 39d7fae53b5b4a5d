package web

import (
	"context"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

// upkeepView is how the copy on disk is, in words.
type upkeepView struct {
	State   stateView
	Problem *mirror.Problem
	Upkeep
}

func (c *console) viewUpkeep(ctx context.Context, w *words, id mirror.ID) (*upkeepView, error) {
	is, err := c.upkeepJSON(ctx, id)
	if err != nil {
		return nil, err
	}
	v := &upkeepView{State: stateView{w.t("Fine"), "good", ""}, Problem: is.Error, Upkeep: is}
	if is.Condition == mirror.Degraded {
		v.State = stateView{w.t("Damaged"), "bad", w.t("What is left is served. It is repaired from the original by itself.")}
	}
	switch {
	case is.Waits && is.Job == mirror.RepairJob:
		v.State.Detail = w.t("A repair was asked for and waits for its turn.")
	case is.Waits:
		v.State.Detail = w.t("A check was asked for and waits for its turn.")
	case is.Job == mirror.RepairJob:
		v.State.Detail = w.t("It is being cloned anew; until that is done it is served as it is.")
	case is.Job != "":
		v.State.Detail = w.t("It is being looked at now.")
	}
	return v, nil
}

func (c *console) checkMirror(g *gin.Context) error {
	return c.startJob(g, mirror.VerifyJob, "Check asked for. Every object is read; what is damaged is fetched again.")
}

func (c *console) repairMirror(g *gin.Context) error {
	return c.startJob(g, mirror.RepairJob, "Repair asked for. It is cloned anew, and served as it is until that is done.")
}

func (c *console) startJob(g *gin.Context, job mirror.Job, message string) error {
	repo, err := c.repo(g)
	if err != nil {
		return err
	}
	err = c.Server.Upkeep.Ask(g.Request.Context(), repo.ID, job)
	return c.orTell(g, err, message, mirrorURL(repo.ID))
}

// diskView is the room on the disk, in words.
type diskView struct {
	Free, Total int64
	Percent     int
	State       stateView
	Degraded    int
}

func (c *console) viewDisk(ctx context.Context, w *words) (*diskView, error) {
	space, level := c.Headroom.Now()
	if space.Total <= 0 {
		return nil, nil
	}
	v := &diskView{Free: space.Free, Total: space.Total, Percent: int(space.Percent()), State: stateView{w.t("Enough"), "good", ""}}
	switch level {
	case mirror.NoRepacks:
		v.State = stateView{w.t("Low"), "warn", w.t("Full repacks wait.")}
	case mirror.NoSyncs:
		v.State = stateView{w.t("Too low to sync"), "bad", w.t("Nothing is fetched; what there is is served. It goes on by itself when there is room.")}
	case mirror.ReadOnly:
		v.State = stateView{w.t("Nearly full"), "bad", w.t("Nothing is fetched and nothing changed; what there is is served. It goes on by itself when there is room.")}
	}
	var err error
	v.Degraded, err = c.Server.Upkeep.Store.CountDegraded(ctx)
	return v, err
}
