package mirror

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind is a kind of failure that every edge (page, API, git, go, ssh, exit code)
// has an answer for. It is an error to compare with errors.Is, and its name
// travels in JSON and in the database. Text that comes with one is meant for the
// user; any other error is for the log.
type Kind string

const (
	// ErrNotFound: no such repository, module, user, … or none that the caller may see.
	ErrNotFound Kind = "not-found"
	// ErrInvalid: what was asked cannot be right, however often it is asked.
	ErrInvalid Kind = "invalid"
	// ErrExists: the name is taken, or somebody else changed the thing first.
	ErrExists Kind = "exists"
	// ErrDenied: the caller is known, and may not.
	ErrDenied Kind = "denied"
	// ErrSignIn: the caller is not known; signing in may help.
	ErrSignIn Kind = "sign-in"
	// ErrUpstream: the upstream, or the road to it, is in trouble; later may work.
	ErrUpstream Kind = "upstream"
	// ErrHeld: a person must decide before this goes on.
	ErrHeld Kind = "held"
	// ErrIntegrity: content is not what a hash promised.
	ErrIntegrity Kind = "integrity"
	// ErrBusy: a limit is reached; the same call works later.
	ErrBusy Kind = "busy"
)

// Kinds are all of them.
func Kinds() []Kind {
	return []Kind{ErrNotFound, ErrInvalid, ErrExists, ErrDenied, ErrSignIn, ErrUpstream, ErrHeld, ErrIntegrity, ErrBusy}
}

// Error is the kind in words.
func (k Kind) Error() string {
	switch k {
	case ErrNotFound:
		return "not found"
	case ErrExists:
		return "already exists"
	case ErrDenied:
		return "not allowed"
	case ErrSignIn:
		return "sign-in required"
	case ErrUpstream:
		return "upstream unavailable"
	case ErrHeld:
		return "held for a decision"
	}
	return string(k)
}

// Code names an entry of the error catalogue, "E1105". Codes are stable: people
// search for them and alerts are keyed by them.
type Code string

// The catalogue. The first digit says whose trouble it is: 1 upstream and
// mirroring, 2 modules, 3 git clients, 4 what somebody typed or has on disk,
// 5 the server itself.
const (
	CodeDNS         Code = "E1101"
	CodeConnect     Code = "E1102"
	CodeTLS         Code = "E1103"
	CodeNotGit      Code = "E1104"
	CodeStalled     Code = "E1105"
	CodeCorrupt     Code = "E1106"
	CodeRedirect    Code = "E1107"
	CodeBlocked     Code = "E1108"
	CodeSelf        Code = "E1109"
	CodeCutOff      Code = "E1110"
	CodeNoImport    Code = "E1111"
	CodeAuth        Code = "E1201"
	CodeThrottled   Code = "E1202"
	CodeGone        Code = "E1203"
	CodeServer      Code = "E1205"
	CodeAnonymous   Code = "E1206"
	CodeDisk        Code = "E1301"
	CodeFsck        Code = "E1304"
	CodeLocal       Code = "E1305"
	CodeInterrupted Code = "E1306"
	CodeDamaged     Code = "E1307"
	CodeTagMoved    Code = "E1401"
	CodeRewound     Code = "E1402"
	CodeDeletions   Code = "E1403"
	CodeDeleted     Code = "E1404"
	CodeOffBranch   Code = "E1405"
	CodeLeftOut     Code = "E1406"
	CodeHeadMoved   Code = "E1407"
	CodeRefName     Code = "E1408"
	CodeSignIn      Code = "E2101"
	CodeCredentials Code = "E2102"
	CodeMayNot      Code = "E2103"
	CodeNotMirrored Code = "E2104"
	CodeNoVersion   Code = "E2105"
	CodeModuleSum   Code = "E2106"
	CodeSumAway     Code = "E2107"
	CodeModuleBad   Code = "E2108"
	CodeTooMany     Code = "E2109"
	CodeOffline     Code = "E2110"
	CodeModuleRule  Code = "E2111"
	CodeFactor      Code = "E2112"
	CodeSSHKey      Code = "E3102"
	CodeCommand     Code = "E3104"
	CodePush        Code = "E3201"
	CodeGitRequest  Code = "E3202"
	CodeBadURL      Code = "E4003"
	CodeBadPath     Code = "E4004"
)

// Problem is a failure as a person wants to hear it: what happened, why, and
// what to do next. Raw is what the tool or the peer said, at most a few KB,
// with secrets already cut out.
type Problem struct {
	Code Code   `json:"code"`
	Kind Kind   `json:"kind,omitempty"`
	What string `json:"what"`
	Why  string `json:"why,omitempty"`
	Do   string `json:"do,omitempty"`
	Raw  string `json:"raw,omitempty"`
	// RetryAfter is when the peer wants to be asked again (RFC 9110, 10.2.3).
	RetryAfter time.Time `json:"retry_after,omitzero"`
	// Location is the URL a redirect leads to, without query and credentials.
	Location string `json:"location,omitempty"`
}

// Error is the fact and its cause on one line, led by the code.
func (p *Problem) Error() string {
	var b strings.Builder
	if p.Code != "" {
		fmt.Fprintf(&b, "%s: ", p.Code)
	}
	b.WriteString(p.What)
	if p.Why != "" {
		b.WriteString(": ")
		b.WriteString(p.Why)
	}
	return b.String()
}

// Unwrap makes errors.Is(err, ErrUpstream) and friends work.
func (p *Problem) Unwrap() error {
	if p.Kind == "" {
		return nil
	}
	return p.Kind
}

// AsProblem returns err as a Problem: the one inside it, or one made of its
// text when err has a kind, or an unexplained internal one (whose text is for
// the log, so What does not repeat it).
func AsProblem(err error) *Problem {
	if err == nil {
		return nil
	}
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	for _, kind := range Kinds() {
		if errors.Is(err, kind) {
			return &Problem{Kind: kind, What: err.Error()}
		}
	}
	return &Problem{What: "internal error"}
}
