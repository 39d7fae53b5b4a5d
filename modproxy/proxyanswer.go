package modproxy

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// noAnswer explains why there was none. The error may name the URL, so nothing
// of its text is passed on but that of our own guard.
func (p *proxy) noAnswer(err error, slow bool) *mirror.Problem {
	var known *mirror.Problem
	var timeout net.Error
	var cert *tls.CertificateVerificationError
	do := "look at modules.proxies and at the network of the server"
	switch {
	case errors.As(err, &known):
		return p.problem(known.Code, mirror.ErrUpstream, strings.TrimSuffix(known.What+": "+known.Why, ": "), known.Do)
	case slow, errors.As(err, &timeout) && timeout.Timeout():
		return p.problem(mirror.CodeStalled, mirror.ErrUpstream, "it did not answer in time", do)
	case errors.As(err, &cert):
		return p.problem(mirror.CodeTLS, mirror.ErrUpstream, "its certificate is not trusted", do)
	}
	return p.problem(mirror.CodeConnect, mirror.ErrUpstream, "no connection", do)
}

// judgeStatus is the table from what a proxy answers to what we make of it.
func (p *proxy) judgeStatus(res *http.Response) *mirror.Problem {
	status := res.StatusCode
	switch {
	case status == http.StatusOK:
		return nil
	case p.missing[status]:
		return mirror.AsProblem(p.notThere(status, said(res)))
	case status == http.StatusUnauthorized || status == http.StatusProxyAuthRequired:
		return p.problem(mirror.CodeConnect, mirror.ErrUpstream, "it wants other credentials", "put user and password into its URL in modules.proxies")
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable && res.Header.Get("Retry-After") != "":
		problem := p.problem(mirror.CodeThrottled, mirror.ErrBusy, fmt.Sprintf("it answers %d: too many questions", status), "try again later")
		problem.RetryAfter = retryAfter(res)
		return problem
	}
	why := fmt.Sprintf("it answers %d %s", status, http.StatusText(status))
	if text := said(res); text != "" {
		why += ": " + text
	}
	return p.problem(mirror.CodeServer, mirror.ErrUpstream, why, "try again later")
}

// retryAfter is when a proxy wants to be asked again: in 10 s if it does not say,
// in 10 minutes at most.
func retryAfter(res *http.Response) time.Time {
	now, wait := time.Now(), 10*time.Second
	text := res.Header.Get("Retry-After")
	if n, err := strconv.Atoi(text); err == nil && n >= 0 {
		wait = time.Duration(min(n, 600)) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = max(0, at.Sub(now))
	}
	return now.Add(min(wait, 10*time.Minute))
}

// said is the first line of a plain text answer.
func said(res *http.Response) string {
	kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil || kind != "text/plain" {
		return ""
	}
	line, _ := bufio.NewReader(io.LimitReader(res.Body, maxSaid)).ReadString('\n')
	return show(strings.ToValidUTF8(strings.TrimSpace(line), "?"))
}
