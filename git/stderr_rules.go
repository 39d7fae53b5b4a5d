package git

import (
	"strconv"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

// rule recognises a failure in what git and its helpers said.
type rule struct {
	any     []string // one of these, in lower case
	explain func(from mirror.Remote, raw string) *mirror.Problem
}

// rules in order: the most telling first. A broken connection comes last, since most failures also break the connection.
func rules() []rule {
	return []rule{
		{[]string{"limiting some unauthenticated", "limiting unauthenticated"}, throttledAnonymous},
		{[]string{"temporarily limiting", "rate limit", "too many requests"}, throttled},
		{[]string{"fsck error", "fsck-objects", "error in object: "}, failedFsck},
		{[]string{"object-format", "mismatched algorithms", "unknown object format"},
			func(from mirror.Remote, _ string) *mirror.Problem { return notSHA1(from, "other") }},
		{[]string{"could not resolve host", "could not resolve hostname"}, unresolved},
		{[]string{"host key verification failed", "no matching host key"}, unknownHostKey},
		{[]string{"certificate has expired", "certificate expired"}, expired},
		{[]string{"ssl certificate problem", "server certificate verification failed", "gnutls_handshake", "ssl_connect", "certificate verify"}, untrusted},
		{[]string{"repository not found", "' not found"}, gone},
		{[]string{"unable to update url base from redirection", "redirection"},
			func(from mirror.Remote, raw string) *mirror.Problem { return redirected(from, "", raw) }},
		{[]string{"authentication failed", "could not read username", "could not read password", "permission denied (", "too many authentication failures"},
			func(from mirror.Remote, raw string) *mirror.Problem {
				return refused(from, from.Credential != nil, raw)
			}},
		{[]string{"not our ref", "unadvertised object", "no such remote ref", "couldn't find remote ref"}, changed},
		{[]string{"did not send all necessary objects", "missing blob", "missing tree", "missing commit"},
			func(from mirror.Remote, raw string) *mirror.Problem {
				return corrupt(from, "objects its refs need are missing", raw)
			}},
		// The end came too soon: the road. It is asked before what is about the
		// content, because a cut pack is a damaged pack to those who read it.
		{[]string{"early eof", "unexpected disconnect", "transfer closed with", "rpc failed; curl 18", "rpc failed; curl 56", "rpc failed; curl 92",
			"connection reset", "stream was not closed cleanly", "gnutls recv error", "non-properly terminated", "unexpected eof while reading"}, truncated},
		{[]string{"sha1 collision", "pack is corrupted", "inflate returned", "serious inflate", "bad pack header", "unresolved deltas", "pack has bad object",
			"pack signature mismatch", "not a valid object", "garbage at end of pack", "bad object", "delta base offset", "pack version", "bad packet", "bad line length character",
			"unable to unpack", "bad band", "protocol error"},
			func(from mirror.Remote, raw string) *mirror.Problem { return corrupt(from, "the pack is damaged", raw) }},
		{[]string{"hung up unexpectedly", "invalid index-pack output", "fatal: expected "}, truncated},
		{[]string{"failed to connect", "connection refused", "connection timed out", "couldn't connect", "network is unreachable", "no route to host",
			"connection closed by", "operation timed out", "rpc failed"}, unreachable},
		{[]string{"could not read from remote repository"}, gone},
	}
}

// problem explains a git that failed against an upstream. What its gate knows
// of the road is more than git could see through it; when the road was good,
// git's words count.
func (f *failure) problem(from mirror.Remote) *mirror.Problem {
	p := f.said(from)
	if f.road == nil || f.full || p.Class() != mirror.Network && p.Class() != mirror.ServerTrouble && p.Code != mirror.CodeCorrupt {
		return p
	}
	known := mirror.AsProblem(f.road)
	if known.Code == "" {
		known = mirror.AsProblem(overTheWire(f.road, from))
	}
	if known.Raw == "" {
		known.Raw = f.stderr
	}
	return known
}

// said explains a failure by what git said.
func (f *failure) said(from mirror.Remote) *mirror.Problem {
	if f.full {
		return diskFull(f.stderr)
	}
	text := strings.ToLower(f.stderr)
	if status := httpStatus(text); status != 0 {
		a := &answer{status: status, authorized: from.Credential != nil}
		p := a.problem(from)
		p.Raw = f.stderr
		return p
	}
	for _, r := range rules() {
		for _, word := range r.any {
			if strings.Contains(text, word) {
				return r.explain(from, f.stderr)
			}
		}
	}
	return &mirror.Problem{Code: mirror.CodeServer, Kind: mirror.ErrUpstream,
		What: "git could not fetch from " + from.Upstream.Host, Why: "it stopped with exit code " + strconv.Itoa(f.code),
		Do: "see what git said; it is tried again by itself", Raw: f.stderr}
}

// httpStatus finds curl's "The requested URL returned error: 404".
func httpStatus(text string) int {
	for _, before := range []string{"requested url returned error: ", "rpc failed; http "} {
		if _, rest, ok := strings.Cut(text, before); ok && len(rest) >= 3 {
			if n, err := strconv.Atoi(rest[:3]); err == nil && n >= 300 && n < 600 {
				return n
			}
		}
	}
	return 0
}

func failedFsck(from mirror.Remote, raw string) *mirror.Problem {
	return &mirror.Problem{Code: mirror.CodeFsck, Kind: mirror.ErrIntegrity, What: "the repository holds an object that git's checks refuse",
		Why: "such objects can harm those who check them out", Do: "the new objects were discarded, what is served did not change; tell the owner of " + from.Upstream.String(), Raw: raw}
}

func unresolved(from mirror.Remote, raw string) *mirror.Problem {
	return &mirror.Problem{Code: mirror.CodeDNS, Kind: mirror.ErrUpstream, What: "the name " + from.Upstream.Host + " could not be resolved",
		Do: "check the spelling of the URL and this machine's name server", Raw: raw}
}

func unknownHostKey(from mirror.Remote, raw string) *mirror.Problem {
	return &mirror.Problem{Code: mirror.CodeTLS, Kind: mirror.ErrUpstream, What: "the ssh host key of " + from.Upstream.Host + " is not known here, or is another than before",
		Why: "only servers whose key is in known_hosts are trusted", Do: "compare the key with the one the host publishes and put it into ssh/known_hosts of the data directory", Raw: raw}
}

func changed(from mirror.Remote, raw string) *mirror.Problem {
	return &mirror.Problem{Code: mirror.CodeCorrupt, Kind: mirror.ErrUpstream, What: from.Upstream.String() + " changed while it was being fetched",
		Why: "it listed a commit that it no longer gives away", Do: "it is tried again by itself", Raw: raw}
}

func truncated(from mirror.Remote, raw string) *mirror.Problem {
	return &mirror.Problem{Code: mirror.CodeCutOff, Kind: mirror.ErrUpstream, What: from.Upstream.Host + " stopped in the middle of the transfer",
		Why: "the pack ended early", Do: "it is tried again by itself; what is served did not change", Raw: raw}
}
