package gitserver

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

// sentence is a problem as a terminal shows it: the fact with its code, the
// cause, what to do; one line each. Text of upstreams is made harmless.
func sentence(p *mirror.Problem) string {
	var b strings.Builder
	if p.Code != "" {
		fmt.Fprintf(&b, "%s: ", p.Code)
	}
	b.WriteString(oneLine(p.What) + "\n")
	if p.Why != "" {
		b.WriteString(oneLine(p.Why) + "\n")
	}
	if p.Do != "" {
		b.WriteString(oneLine(p.Do) + "\n")
	}
	return b.String()
}

// oneLine drops control characters, which a terminal might obey.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0xfffd:
			return -1
		}
		return r
	}, s)
}

// statusOf names the kind of an error for metrics.
func statusOf(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, context.Canceled):
		return "gone"
	case errors.Is(err, mirror.ErrNotFound):
		return "not-found"
	case errors.Is(err, mirror.ErrSignIn):
		return "sign-in"
	case errors.Is(err, mirror.ErrDenied):
		return "denied"
	case errors.Is(err, mirror.ErrInvalid):
		return "invalid"
	case errors.Is(err, mirror.ErrBusy):
		return "busy"
	case errors.Is(err, mirror.ErrUpstream):
		return "upstream"
	}
	return "error"
}

func errReadOnly() error {
	return &mirror.Problem{
		Code: mirror.CodePush, Kind: mirror.ErrDenied, What: "Mirrors are read-only.",
		Do: "Push to the upstream: git remote set-url --push origin URL-OF-THE-UPSTREAM",
	}
}

// errNotYet is the answer for a mirror without a successful sync.
func errNotYet(repo mirror.Repo) error {
	p := &mirror.Problem{
		Kind: mirror.ErrBusy, What: fmt.Sprintf("the first clone of %s is still running", repo.Path), Do: "try again in a minute",
	}
	if trouble := repo.State.Problem; trouble != nil {
		p.Code, p.What = trouble.Code, fmt.Sprintf("%s could not be cloned from its upstream yet", repo.Path)
		p.Why, p.Do = trouble.What, "it is tried again; an administrator sees the details in the console"
		if trouble.Why != "" {
			p.Why += ": " + trouble.Why
		}
	}
	return p
}
