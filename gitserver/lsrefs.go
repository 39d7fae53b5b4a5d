package gitserver

import (
	"slices"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

// listRequest is an ls-refs command (gitprotocol-v2, ls-refs).
type listRequest struct {
	peel, symrefs bool
	// prefixes are sorted, and none begins with another; nil = everything.
	prefixes []string
}

// parseList understands what git clients send. What it does not understand is
// left to git, which also knows how to complain.
func parseList(r v2Request) (q listRequest, ok bool) {
	if r.command != "ls-refs" || !r.plain {
		return q, false
	}
	var prefixes []string
	for _, line := range r.args {
		prefix, isPrefix := strings.CutPrefix(line, "ref-prefix ")
		switch {
		case isPrefix:
			prefixes = append(prefixes, prefix)
		case line == "peel":
			q.peel = true
		case line == "symrefs":
			q.symrefs = true
		case line != "unborn": // only of repositories without the branch that HEAD names
			return q, false
		}
	}
	slices.Sort(prefixes)
	for _, p := range prefixes {
		if n := len(q.prefixes); n == 0 || !strings.HasPrefix(p, q.prefixes[n-1]) {
			q.prefixes = append(q.prefixes, p)
		}
	}
	if len(q.prefixes) == 1 && q.prefixes[0] == "" {
		q.prefixes = nil
	}
	return q, true
}

// name is equal for requests with equal answers.
func (q listRequest) name() string {
	b := make([]byte, 2, 64)
	if q.peel {
		b[0] = 1
	}
	if q.symrefs {
		b[1] = 1
	}
	for _, p := range q.prefixes {
		b = append(append(b, p...), '\n') // no line holds one
	}
	return string(b)
}

// answer lists the refs in the order git has them.
func (q listRequest) answer(v *view) []byte {
	parts := [][]mirror.Ref{v.heads, v.tags}
	head := v.tip()
	if q.prefixes != nil {
		parts = parts[:0]
		showsHead := false
		for _, refs := range [][]mirror.Ref{v.heads, v.tags} {
			for _, p := range q.prefixes {
				parts = append(parts, below(refs, p))
			}
		}
		for _, p := range q.prefixes {
			showsHead = showsHead || strings.HasPrefix("HEAD", p)
		}
		if !showsHead {
			head = ""
		}
	}
	size := 128
	for _, refs := range parts {
		for _, r := range refs {
			size += 48 + len(r.Name) + len(" peeled:") + len(r.Peeled)
		}
	}
	out := make([]byte, 0, size)
	if head != "" {
		out = q.line(out, mirror.Ref{Name: "HEAD", Hash: head}, v.head)
	}
	for _, refs := range parts {
		for _, r := range refs {
			out = q.line(out, r, "")
		}
	}
	return append(out, "0000"...)
}

func (q listRequest) line(out []byte, r mirror.Ref, target string) []byte {
	at := len(out)
	out = append(append(append(out, "0000"...), r.Hash...), ' ')
	out = append(out, r.Name...)
	if q.symrefs && target != "" {
		out = append(append(out, " symref-target:"...), target...)
	}
	if q.peel && r.Peeled != "" {
		out = append(append(out, " peeled:"...), r.Peeled...)
	}
	out = append(out, '\n')
	n := len(out) - at
	const digits = "0123456789abcdef"
	out[at], out[at+1], out[at+2], out[at+3] = digits[n>>12&15], digits[n>>8&15], digits[n>>4&15], digits[n&15]
	return out
}
