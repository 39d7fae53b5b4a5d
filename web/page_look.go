package web

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"
)

// themeCookie remembers "light" or "dark"; without it the browser decides.
const themeCookie = "gitmirror-theme"

// lookLife is how long a browser remembers language and theme, in seconds.
const lookLife = 365 * 24 * 60 * 60

// setLook remembers the language or the theme in this browser, for whoever sits
// there: also for those who have not signed in yet.
func (c *console) setLook(g *gin.Context) error {
	if code := g.PostForm("language"); code != "" {
		for _, w := range c.tongues {
			if w.Code == code {
				c.remember(g, languageCookie, code)
			}
		}
	}
	switch theme := g.PostForm("theme"); theme {
	case "light", "dark":
		c.remember(g, themeCookie, theme)
	case "system":
		c.remember(g, themeCookie, "")
	}
	g.Redirect(http.StatusSeeOther, localPath(g.PostForm("next")))
	return nil
}

// remember keeps a choice that is no secret; an empty one is forgotten.
func (c *console) remember(g *gin.Context, name, value string) {
	cookie := &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: lookLife, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: strings.HasPrefix(c.Site.URL, "https://"),
	}
	if value == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(g.Writer, cookie)
}

// theme is the choice of this browser; empty = as the browser's own is.
func theme(r *http.Request) string {
	if cookie, err := r.Cookie(themeCookie); err == nil && (cookie.Value == "light" || cookie.Value == "dark") {
		return cookie.Value
	}
	return ""
}

// address is the address to come back to from a form of the frame: this page's, or
// that of the form this page answers.
func address(r *http.Request) string {
	if r.Method == http.MethodGet {
		return r.URL.RequestURI()
	}
	from, err := url.Parse(r.Referer())
	if err != nil {
		return "/"
	}
	return localPath(from.RequestURI())
}
