package web

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/boombuler/barcode"
	"github.com/boombuler/barcode/qr"
	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// Keys of a session whose password was right, and whose code is not there yet.
const (
	keyAwaited      = "awaited"       // string: user id
	keyAwaitedEpoch = "awaited-epoch" // int64
	keyAwaitedUntil = "awaited-until" // int64: Unix seconds
	keyAwaitedNext  = "awaited-next"  // string: where to go afterwards
)

const awaitCode = 10 * time.Minute

// asInvalid makes a wrong code a wrong field: who is signed in stays so.
func asInvalid(err error) error {
	p := mirror.AsProblem(err)
	if p == nil || p.Kind != mirror.ErrSignIn {
		return err
	}
	q := *p
	q.Kind = mirror.ErrInvalid
	return &q
}

// signInOrCode ends a sign-in whose password was right, or asks for the code.
func (c *console) signInOrCode(g *gin.Context, user, next string) error {
	ctx := g.Request.Context()
	on, err := c.Accounts.HasFactor(ctx, user)
	if err != nil {
		return err
	}
	if !on {
		if err := c.signIn(g, user, auth.ByPassword); err != nil {
			return err
		}
		g.Redirect(http.StatusSeeOther, next)
		return nil
	}
	u, err := c.Accounts.User(ctx, user)
	if err != nil {
		return err
	}
	if err := c.sessions.RenewToken(ctx); err != nil {
		return err
	}
	c.sessions.Put(ctx, keyAwaited, u.ID)
	c.sessions.Put(ctx, keyAwaitedEpoch, u.Epoch)
	c.sessions.Put(ctx, keyAwaitedUntil, time.Now().Add(awaitCode).Unix())
	c.sessions.Put(ctx, keyAwaitedNext, next)
	g.Redirect(http.StatusSeeOther, "/login/code")
	return nil
}

type codePage struct {
	page
	Wrong *mirror.Problem
}

// awaited is who has given the right password of late; empty = nobody.
func (c *console) awaited(g *gin.Context) (string, error) {
	ctx := g.Request.Context()
	id := c.sessions.GetString(ctx, keyAwaited)
	if id == "" || time.Now().Unix() > c.sessions.GetInt64(ctx, keyAwaitedUntil) {
		return "", nil
	}
	u, err := c.Accounts.User(ctx, id)
	if errors.Is(err, mirror.ErrNotFound) || err == nil && (u.Disabled || u.Epoch != c.sessions.GetInt64(ctx, keyAwaitedEpoch)) {
		return "", nil
	}
	return id, err
}

func (c *console) codeForm(g *gin.Context) error {
	id, err := c.awaited(g)
	if err != nil {
		return err
	}
	if id == "" {
		g.Redirect(http.StatusSeeOther, "/login")
		return nil
	}
	return c.renderCode(g, http.StatusOK, nil)
}

func (c *console) renderCode(g *gin.Context, status int, wrong *mirror.Problem) error {
	p, err := c.page(g, "Sign in", "")
	if err != nil {
		return err
	}
	p.SignedIn = false
	return c.render(g, status, "login-code", codePage{page: p, Wrong: wrong})
}

func (c *console) enterCode(g *gin.Context) error {
	ctx := g.Request.Context()
	id, err := c.awaited(g)
	if err != nil {
		return err
	}
	if id == "" {
		g.Redirect(http.StatusSeeOther, "/login")
		return nil
	}
	err = c.Accounts.CheckFactor(ctx, id, g.PostForm("code"), g.RemoteIP())
	if errors.Is(err, mirror.ErrSignIn) || errors.Is(err, mirror.ErrBusy) {
		return c.renderCode(g, newProblem(ctx, err).Status, mirror.AsProblem(err))
	}
	if err != nil {
		return err
	}
	next := localPath(c.sessions.GetString(ctx, keyAwaitedNext))
	for _, key := range []string{keyAwaited, keyAwaitedEpoch, keyAwaitedUntil, keyAwaitedNext} {
		c.sessions.Remove(ctx, key)
	}
	if err := c.signIn(g, id, auth.ByPassword); err != nil {
		return err
	}
	g.Redirect(http.StatusSeeOther, next)
	return nil
}

type factorPage struct {
	page
	On        bool
	Since     time.Time
	CodesLeft int
	Must      bool // nothing else is allowed before
	Pending   *auth.Enrolment
	QR        *qrCode
	Codes     []string // recovery codes, shown this once
	Wrong     *mirror.Problem
}

// known lets everybody through who is signed in, also those who must set up a
// second factor first.
func (c *console) known(g *gin.Context) {
	if c.identity(g).Anonymous() {
		c.fail(g, c.may(g, auth.Read, true))
	}
}

func (c *console) factor(g *gin.Context) error { return c.renderFactor(g, http.StatusOK, factorPage{}) }

func (c *console) renderFactor(g *gin.Context, status int, data factorPage) error {
	var err error
	if data.page, err = c.page(g, "Second factor", "/account"); err != nil {
		return err
	}
	ctx, who := g.Request.Context(), c.identity(g)
	data.Narrow = true
	f, err := c.Accounts.FactorOf(ctx, who.User)
	if err != nil {
		return err
	}
	data.On, data.Since, data.CodesLeft = !f.Confirmed.IsZero(), f.Confirmed, len(f.Codes)
	data.Must = who.Enrol && !data.On
	if !data.On {
		pending, err := c.Accounts.Pending(ctx, who.User, c.Site.Host())
		if err == nil {
			data.Pending = &pending
			data.QR, err = drawQR(pending.URL)
		}
		if err != nil && !errors.Is(err, mirror.ErrNotFound) {
			return err
		}
	}
	return c.render(g, status, "second-factor", data)
}

func (c *console) beginFactor(g *gin.Context) error {
	_, err := c.Accounts.NewFactor(g.Request.Context(), c.identity(g).User, c.Site.Host())
	if err != nil {
		return c.orTell(g, err, "", "/account/second-factor")
	}
	g.Redirect(http.StatusSeeOther, "/account/second-factor")
	return nil
}

func (c *console) factorAgain(g *gin.Context, err error) error {
	wrong, err := told(asInvalid(err))
	if err != nil {
		return err
	}
	return c.renderFactor(g, newProblem(g.Request.Context(), wrong).Status, factorPage{Wrong: wrong})
}

func (c *console) confirmFactor(g *gin.Context) error {
	who := c.identity(g)
	codes, err := c.Accounts.ConfirmFactor(g.Request.Context(), who.User, g.PostForm("code"), g.RemoteIP(), who.SignIn)
	if err != nil {
		return c.factorAgain(g, err)
	}
	return c.renderFactor(g, http.StatusOK, factorPage{Codes: codes})
}

func (c *console) dropFactor(g *gin.Context) error {
	ctx, who := g.Request.Context(), c.identity(g)
	err := c.Accounts.CheckFactor(ctx, who.User, g.PostForm("code"), g.RemoteIP())
	if err == nil {
		err = c.Accounts.DropFactor(ctx, who.User)
	}
	if err != nil {
		return c.factorAgain(g, err)
	}
	return c.then(g, nil, "The second factor was removed.", "/account/second-factor")
}

func (c *console) resetFactor(g *gin.Context) error {
	err := c.Accounts.DropFactor(g.Request.Context(), g.Param("user"))
	return c.orTell(g, err, "The second factor was removed. The password alone is enough now.", "/users")
}

// qrCode is a drawing: a square of Size units, and the path of its dark parts.
type qrCode struct {
	Size int
	Path string
}

// drawQR draws here, so that no address of a secret leaves this page.
func drawQR(text string) (*qrCode, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return nil, err
	}
	return pathOf(code), nil
}

func pathOf(code barcode.Barcode) *qrCode {
	const quiet = 4 // units of light around it, as readers want
	size := code.Bounds().Dx()
	var b strings.Builder
	for y := range size {
		for x := 0; x < size; x++ {
			begin := x
			for x < size && dark(code, x, y) {
				x++
			}
			if x > begin {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", begin+quiet, y+quiet, x-begin, x-begin)
			}
		}
	}
	return &qrCode{Size: size + 2*quiet, Path: b.String()}
}

func dark(code barcode.Barcode, x, y int) bool {
	r, _, _, _ := code.At(x, y).RGBA()
	return r == 0
}
