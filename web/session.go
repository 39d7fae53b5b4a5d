package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

const (
	sessionIdle  = 12 * time.Hour     // without a page
	sessionLife  = 7 * 24 * time.Hour // whatever happens
	sessionTouch = 5 * time.Minute    // how exactly we know when it was last used
)

// Keys of a session.
const (
	keyUser   = "user"   // string: user id
	keyEpoch  = "epoch"  // int64: auth.User.Epoch at sign-in
	keySeen   = "seen"   // int64: Unix seconds of the last page, to within sessionTouch
	keySignIn = "signin" // string: id of the auth.SignIn
	keyFlash  = "flash"  // []string: kind, text, kind, text, …
)

func (s *Server) newSessions() *scs.SessionManager {
	m := scs.New()
	m.Store = s.Sessions
	m.HashTokenInStore = true // who reads the database cannot use what is in it
	m.Lifetime = sessionLife
	// IdleTimeout stays off: it writes the session at every request, and a
	// request that began before a sign-out would bring the session back.
	m.Cookie.Name = "gitmirror"
	if strings.HasPrefix(s.Site.URL, "https://") {
		m.Cookie.Name = "__Host-gitmirror" // browsers take it only from this host, over TLS
		m.Cookie.Secure = true
	}
	m.Cookie.HttpOnly = true
	m.Cookie.SameSite = http.SameSiteLaxMode
	m.ErrorFunc = func(w http.ResponseWriter, r *http.Request, err error) {
		s.logFailure(r.Context(), err, "session")
		writeProblem(w, newProblem(r.Context(), err))
	}
	return m
}

// withSession loads the session of the request. Only pages save it: an event
// stream of the API that ended hours later would write an old session over a
// newer one, and files need none.
func (s *Server) withSession(next http.Handler) http.Handler {
	pages := s.sessions.LoadAndSave(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/api/") && !strings.HasPrefix(r.URL.Path, "/static/") {
			pages.ServeHTTP(w, r)
			return
		}
		token := ""
		if cookie, err := r.Cookie(s.sessions.Cookie.Name); err == nil && strings.HasPrefix(r.URL.Path, "/api/") {
			token = cookie.Value
		}
		ctx, err := s.sessions.Load(r.Context(), token)
		if err != nil {
			s.sessions.ErrorFunc(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// sessionIdentity is who the session of ctx belongs to; nobody when it is over
// or its user may no longer use it. An error means that we cannot tell.
func (s *Server) sessionIdentity(ctx context.Context) (auth.Identity, error) {
	user := s.sessions.GetString(ctx, keyUser)
	if user == "" || time.Since(time.Unix(s.sessions.GetInt64(ctx, keySeen), 0)) > sessionIdle {
		return auth.Identity{}, nil
	}
	id, err := s.Accounts.Session(ctx, user, s.sessions.GetInt64(ctx, keyEpoch), s.sessions.GetString(ctx, keySignIn))
	if errors.Is(err, mirror.ErrSignIn) || errors.Is(err, mirror.ErrNotFound) {
		return auth.Identity{}, nil
	}
	return id, err
}

// bySession is the middleware of pages: the caller is whom the session names.
func (s *Server) bySession(c *gin.Context) {
	ctx := c.Request.Context()
	id, err := s.sessionIdentity(ctx)
	if err != nil {
		s.fail(c, err)
		return
	}
	if id.Anonymous() {
		if s.sessions.Exists(ctx, keyUser) {
			s.sessions.Remove(ctx, keyUser)
		}
	} else if now := time.Now(); now.Sub(time.Unix(s.sessions.GetInt64(ctx, keySeen), 0)) > sessionTouch {
		s.sessions.Put(ctx, keySeen, now.Unix())
		if err := s.Accounts.Saw(ctx, id.SignIn, now); err != nil {
			s.logFailure(ctx, err, "session")
		}
	}
	c.Request = c.Request.WithContext(auth.With(ctx, id))
}

// signIn makes the session that of a user, under a new token, so that a token
// somebody planted before is worth nothing.
func (s *Server) signIn(c *gin.Context, userID string, via auth.Via) error {
	ctx := c.Request.Context()
	if before := s.sessions.GetString(ctx, keySignIn); before != "" { // of whoever was signed in here
		if err := s.Accounts.SignOut(ctx, "", before); err != nil && !errors.Is(err, mirror.ErrNotFound) {
			return err
		}
	}
	user, err := s.Accounts.User(ctx, userID)
	if err != nil {
		return err
	}
	if err := s.sessions.RenewToken(ctx); err != nil {
		return err
	}
	begun, err := s.Accounts.Begin(ctx, user.ID, via, c.RemoteIP(), c.Request.UserAgent(), sessionLife)
	if err != nil {
		return err
	}
	s.sessions.Put(ctx, keySignIn, begun.ID)
	s.sessions.Put(ctx, keyUser, user.ID)
	s.sessions.Put(ctx, keyEpoch, user.Epoch)
	s.sessions.Put(ctx, keySeen, time.Now().Unix())
	s.noteSignIn(c, user)
	return nil
}

// noteSignIn puts the beginning of a session into the audit trail: into the entry
// of the request or, when it came back by a link from elsewhere, as one of its own.
func (s *Server) noteSignIn(c *gin.Context, user auth.User) {
	id := auth.Identity{User: user.ID, Name: user.Name, Role: user.Role, Via: auth.BySession}
	if safeMethod(c.Request.Method) {
		d := auth.Deed{Action: "sign-in", Objects: []string{"user " + user.Name}, Outcome: auth.Succeeded, Addr: c.RemoteIP(),
			Client: c.Request.UserAgent(), Request: requestID(c.Request.Context())}
		d.By(id)
		s.Trail.Add(c.Request.Context(), d)
		return
	}
	auth.Note(c.Request.Context(), "user "+user.Name)
	if auth.From(c.Request.Context()).Anonymous() {
		auth.NoteActor(c.Request.Context(), id)
	}
}

// signOut ends the session, here and in the store.
func (s *Server) signOut(c *gin.Context) error {
	ctx := c.Request.Context()
	if id := s.sessions.GetString(ctx, keySignIn); id != "" {
		if err := s.Accounts.SignOut(ctx, "", id); err != nil && !errors.Is(err, mirror.ErrNotFound) {
			return err
		}
	}
	return s.sessions.Destroy(ctx)
}

// identity is who asks; the zero value is nobody.
func (s *Server) identity(c *gin.Context) auth.Identity { return auth.From(c.Request.Context()) }

// may returns nil when the caller may do a. Pages show private and public
// mirrors alike to people who signed in, so they ask with private = true.
func (s *Server) may(c *gin.Context, a auth.Action, private bool) error {
	return s.Policy.May(s.identity(c), a, private)
}

// Flash is a message for the next page this session sees.
type Flash struct {
	Kind string // "done" or "problem"
	Text string
}

// flash leaves a message for the page a redirect leads to.
func (s *Server) flash(c *gin.Context, kind, text string) {
	ctx := c.Request.Context()
	list, _ := s.sessions.Get(ctx, keyFlash).([]string)
	if len(list) > 16 { // nobody reads them; keep the session small
		list = list[2:]
	}
	s.sessions.Put(ctx, keyFlash, append(list, kind, text))
}

// flashes takes the messages that are waiting.
func (s *Server) flashes(c *gin.Context) []Flash {
	ctx := c.Request.Context()
	if !s.sessions.Exists(ctx, keyFlash) {
		return nil
	}
	list, _ := s.sessions.Pop(ctx, keyFlash).([]string)
	var out []Flash
	for i := 0; i+1 < len(list); i += 2 {
		out = append(out, Flash{Kind: list[i], Text: list[i+1]})
	}
	return out
}
