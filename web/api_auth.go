package web

import (
	"context"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// byCredential is the middleware of the API: the caller is whom the
// Authorization header proves or, without one, whom the console's session
// names. A credential that is not good is refused even where none is needed.
func (s *Server) byCredential(c *gin.Context) {
	who, err := s.credential(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	ctx := c.Request.Context()
	id, err := who(ctx)
	if err != nil {
		s.fail(c, err)
		return
	}
	ctx = context.WithValue(ctx, againKey{}, who)
	ctx = context.WithValue(ctx, peerKey{}, c.RemoteIP())
	c.Request = c.Request.WithContext(auth.With(ctx, id))
}

type (
	againKey struct{}
	peerKey  struct{}
)

// peer is the address of the caller, for throttling.
func peer(ctx context.Context) string {
	addr, _ := ctx.Value(peerKey{}).(string)
	return addr
}

// stillMay checks the credential of a request that goes on for long once more,
// and whether its owner still may.
func (s *Server) stillMay(ctx context.Context, need access) error {
	who, ok := ctx.Value(againKey{}).(func(context.Context) (auth.Identity, error))
	if !ok {
		return mirror.ErrSignIn
	}
	id, err := who(ctx)
	if err != nil {
		return err
	}
	return s.check(auth.With(ctx, id), need)
}

// credential reads what the request brings and returns how to look it up.
func (s *Server) credential(c *gin.Context) (func(context.Context) (auth.Identity, error), error) {
	peer := c.RemoteIP()
	scheme, rest, _ := strings.Cut(c.GetHeader("Authorization"), " ")
	switch strings.ToLower(scheme) {
	case "":
		return s.sessionIdentity, nil
	case "bearer":
		return func(ctx context.Context) (auth.Identity, error) {
			return s.Accounts.TokenFrom(ctx, strings.TrimSpace(rest), peer)
		}, nil
	case "basic":
		if user, password, ok := c.Request.BasicAuth(); ok {
			return func(ctx context.Context) (auth.Identity, error) {
				if code := c.GetHeader("Gitmirror-Otp"); code != "" {
					return s.Accounts.BasicCode(ctx, user, password, code, peer)
				}
				return s.Accounts.Basic(ctx, user, password, peer)
			}, nil
		}
	}
	return nil, &mirror.Problem{
		Kind: mirror.ErrSignIn, What: "the Authorization header cannot be used",
		Do: "send \"Bearer\" and an API token, or basic authentication",
	}
}
