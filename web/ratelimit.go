package web

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// rates bounds how often one caller may use the API: a user, or the address of
// somebody anonymous. It remembers the 10,000 who asked last.
type rates struct {
	perSecond float64
	burst     int

	mu      sync.Mutex
	callers *lru.Cache[string, *rate.Limiter]
}

// rateBurst is how many seconds' worth of requests may come at once.
const rateBurst = 10

func newRates(perSecond int) (*rates, error) {
	if perSecond <= 0 {
		return nil, nil
	}
	callers, err := lru.New[string, *rate.Limiter](10_000)
	return &rates{perSecond: float64(perSecond), burst: rateBurst * perSecond, callers: callers}, err
}

func (r *rates) of(caller string) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	l, ok := r.callers.Get(caller)
	if !ok {
		l = rate.NewLimiter(rate.Limit(r.perSecond), r.burst)
		r.callers.Add(caller, l)
	}
	return l
}

// limitRate is the middleware of the API that refuses who asks too often, and
// tells everybody in the header how much is left.
func (s *Server) limitRate(c *gin.Context) {
	if s.rates == nil {
		return
	}
	caller := "addr " + c.RemoteIP()
	if id := auth.From(c.Request.Context()); !id.Anonymous() {
		caller = "user " + id.User
	}
	l := s.rates.of(caller)
	allowed := l.Allow()
	left := max(0, l.Tokens())
	h := c.Writer.Header()
	h.Set("RateLimit-Limit", strconv.Itoa(s.rates.burst))
	h.Set("RateLimit-Remaining", strconv.Itoa(int(left)))
	h.Set("RateLimit-Reset", strconv.Itoa(int(math.Ceil((float64(s.rates.burst)-left)/s.rates.perSecond))))
	h.Set("RateLimit-Policy", strconv.Itoa(s.rates.burst)+";w="+strconv.Itoa(rateBurst))
	if allowed {
		return
	}
	p := newProblem(c.Request.Context(), &mirror.Problem{Kind: mirror.ErrBusy, What: "you ask too often", Why: strconv.Itoa(int(s.rates.perSecond)) + " requests a second are allowed for long", Do: "wait as long as Retry-After says"})
	p.Status, p.RetryAfter = http.StatusTooManyRequests, time.Second
	s.write(c, p)
}
