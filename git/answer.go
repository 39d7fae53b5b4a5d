package git

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// maxWait bounds what a peer may ask us to wait: some say ten years.
const maxWait = time.Hour

// answer is an HTTP answer that is not what git promised.
type answer struct {
	status                       int
	contentType, location, retry string
	limit, reset, body           string // limit and reset are the X-RateLimit headers
	authorized                   bool
}

// newAnswer is what a response says of itself; body is how it begins.
func newAnswer(res *http.Response, body []byte, authorized bool) *answer {
	return &answer{
		status: res.StatusCode, contentType: strings.TrimSpace(strings.Split(res.Header.Get("Content-Type"), ";")[0]),
		location: res.Header.Get("Location"), retry: res.Header.Get("Retry-After"),
		limit: res.Header.Get("X-RateLimit-Remaining"), reset: res.Header.Get("X-RateLimit-Reset"),
		body: string(body), authorized: authorized,
	}
}

func (a *answer) Error() string {
	if a.contentType == "" {
		return fmt.Sprintf("HTTP status %d", a.status)
	}
	return fmt.Sprintf("HTTP status %d (%s)", a.status, a.contentType)
}

// problem explains an HTTP answer by its status, headers and first bytes.
func (a *answer) problem(from mirror.Remote) *mirror.Problem {
	host := from.Upstream.Host
	raw := clean(a.Error(), nil)
	if text, ok := strings.CutPrefix(a.contentType, "text/"); ok && text == "plain" && a.body != "" {
		line, _, _ := strings.Cut(a.body, "\n")
		raw += ": " + clean(line, nil)
	}
	if a.throttled() {
		return a.wait(throttled(from, raw))
	}
	switch {
	case a.status == http.StatusOK:
		why := "it answered with " + quote(a.contentType) + " where git was expected; "
		if a.contentType == "text/html" {
			why += "that is a web page, perhaps a sign-in page or a proxy's message"
			if t := title(a.body); t != "" {
				why += " (" + quote(t) + ")"
			}
		} else {
			why += "it may not be a git repository"
		}
		return &mirror.Problem{Code: mirror.CodeNotGit, Kind: mirror.ErrUpstream, What: from.Upstream.String() + " is not a git repository",
			Why: why, Do: "open the URL in a browser and check it", Raw: raw}
	case a.status >= 300 && a.status < 400:
		return redirected(from, a.location, raw)
	case a.status == http.StatusProxyAuthRequired:
		return &mirror.Problem{Code: mirror.CodeConnect, Kind: mirror.ErrUpstream, What: "the proxy on the way to " + host + " wants a sign-in",
			Why: "it answered with status 407", Do: "put the proxy's user and password into the setting network.proxy", Raw: raw}
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		return refused(from, a.authorized, raw)
	case a.status == http.StatusNotFound, a.status == http.StatusGone:
		return gone(from, raw)
	case a.status >= 500:
		return a.wait(&mirror.Problem{Code: mirror.CodeServer, Kind: mirror.ErrUpstream, What: host + " has trouble of its own",
			Why: fmt.Sprintf("it answered with status %d", a.status), Do: "it is tried again by itself", Raw: raw})
	}
	return &mirror.Problem{Code: mirror.CodeNotGit, Kind: mirror.ErrUpstream, What: from.Upstream.String() + " does not answer as a git server",
		Why: fmt.Sprintf("it answered with status %d", a.status), Do: "check the URL", Raw: raw}
}

func (a *answer) throttled() bool {
	if a.status == http.StatusTooManyRequests {
		return true
	}
	return a.status == http.StatusForbidden && (a.retry != "" || a.limit == "0" || strings.Contains(strings.ToLower(a.body), "rate limit"))
}

// wait adds when the peer wants to be asked again, if it says so in a way that
// can be meant: seconds or a date (RFC 9110, 10.2.3), at most an hour from now.
// Hosts that count requests say it in seconds since 1970 (X-RateLimit-Reset).
func (a *answer) wait(p *mirror.Problem) *mirror.Problem {
	now := time.Now().UTC()
	var until time.Time
	if seconds, err := strconv.ParseInt(a.retry, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		until = now.Add(time.Duration(min(max(seconds, 0), int64(maxWait/time.Second))) * time.Second)
	} else if date, err := http.ParseTime(a.retry); err == nil {
		until = date.UTC()
	} else if epoch, err := strconv.ParseInt(a.reset, 10, 64); err == nil && a.limit == "0" {
		until = time.Unix(epoch, 0).UTC()
	}
	if until.After(now.Add(maxWait)) {
		until = now.Add(maxWait)
	}
	if !until.After(now) {
		return p
	}
	p.RetryAfter = until
	p.Why += " (it asks to wait " + until.Sub(now).Round(time.Second).String() + ")"
	return p
}

func throttled(from mirror.Remote, raw string) *mirror.Problem {
	return &mirror.Problem{Code: mirror.CodeThrottled, Kind: mirror.ErrUpstream, What: from.Upstream.Host + " limits our requests",
		Why: "too many came from this address or account", Do: "it is tried again later by itself; a credential usually raises the limit", Raw: raw}
}

// throttledAnonymous is what some hosts say, in a good answer, to those who do
// not sign in. Who has signed in is limited like anybody.
func throttledAnonymous(from mirror.Remote, raw string) *mirror.Problem {
	if from.Credential != nil {
		return throttled(from, raw)
	}
	return &mirror.Problem{Code: mirror.CodeAnonymous, Kind: mirror.ErrUpstream, What: from.Upstream.Host + " limits those who do not sign in",
		Why: "too many downloads without a credential came from this address", Do: "add a credential for " + from.Upstream.Host + "; without one it is tried again later by itself", Raw: raw}
}

func redirected(from mirror.Remote, to, raw string) *mirror.Problem {
	p := &mirror.Problem{Code: mirror.CodeRedirect, Kind: mirror.ErrUpstream, What: from.Upstream.String() + " redirects elsewhere",
		Why: "redirects are not followed: they could lead anywhere", Do: "if the new place is right, make it the mirror's upstream", Raw: raw}
	if p.Location = location(from, to); p.Location != "" {
		p.Why = "it leads to " + quote(p.Location) + "; " + p.Why
	}
	return p
}

// location is where a redirect of a git request leads, as the URL of a
// repository. It may be relative to the request.
func location(from mirror.Remote, to string) string {
	base, err := url.Parse(from.Upstream.String() + "/info/refs")
	if err != nil || to == "" || len(to) > 8<<10 {
		return ""
	}
	u, err := base.Parse(to)
	if err != nil || u.Host == "" {
		return ""
	}
	clear := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	for _, service := range []string{"/info/refs", "/git-upload-pack"} {
		clear.Path = strings.TrimSuffix(clear.Path, service)
	}
	return clean(clear.String(), nil)
}

var titleTag = regexp.MustCompile(`(?i)<title[^>]*>([^<]*)`)

// title is what a web page calls itself.
func title(body string) string {
	found := titleTag.FindStringSubmatch(body)
	if found == nil {
		return ""
	}
	return clean(strings.Join(strings.Fields(found[1]), " "), nil)
}
