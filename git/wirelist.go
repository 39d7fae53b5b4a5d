package git

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash/maphash"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

// refLines is what an upstream lists of that which is asked for, one line for
// each ref in the form of protocol version 2: "ID NAME" or "ID NAME peeled:ID".
// Whatever way the answer came, the same refs make the same lines.
type refLines struct {
	policy mirror.RefPolicy
	simple bool   // the policy is to mirror all branches and tags
	head   string // the branch HEAD points to
	text   []byte
	last   []byte // the name in the last line of text
	unsort bool   // the names did not come in order
}

func newRefLines(policy mirror.RefPolicy) *refLines {
	return &refLines{policy: policy, simple: len(policy.Include)+len(policy.Exclude) == 0 && !policy.Pulls}
}

// add takes a ref, or HEAD; attributes are those of protocol version 2, empty
// or led by a space.
func (l *refLines) add(hash, name, attributes []byte) {
	if string(name) == "HEAD" {
		if _, target, ok := bytes.Cut(attributes, []byte(" symref-target:")); ok {
			target, _, _ = bytes.Cut(target, []byte(" "))
			l.head = string(target)
		}
		return
	}
	if !l.wants(name) {
		return
	}
	if len(attributes) > 0 && !bytes.HasPrefix(attributes, []byte(" peeled:")) || bytes.Count(attributes, []byte(" ")) > 1 {
		_, peeled, ok := bytes.Cut(attributes, []byte(" peeled:"))
		peeled, _, _ = bytes.Cut(peeled, []byte(" "))
		attributes = nil
		if ok {
			attributes = append([]byte(" peeled:"), peeled...)
		}
	}
	l.unsort = l.unsort || bytes.Compare(l.last, name) > 0
	start := len(l.text)
	l.text = append(append(append(l.text, hash...), ' '), name...)
	l.last = l.text[len(l.text)-len(name):]
	l.text = append(l.text, attributes...)
	// A line feed inside, which no name may hold, would make two lines of one.
	for i := bytes.IndexByte(l.text[start:], '\n'); i >= 0; i = bytes.IndexByte(l.text[start:], '\n') {
		l.text[start+i] = 0
	}
	l.text = append(l.text, '\n')
}

func (l *refLines) wants(name []byte) bool {
	if l.simple {
		return bytes.HasPrefix(name, []byte("refs/heads/")) || bytes.HasPrefix(name, []byte("refs/tags/"))
	}
	return l.policy.Mirrors(string(name))
}

// addPeeled takes what version 0 says of a tag in a line of its own, behind it.
func (l *refLines) addPeeled(hash, name []byte) {
	if bytes.Equal(l.last, name) && bytes.HasSuffix(l.text, append(slices.Clone(name), '\n')) {
		l.text = append(append(l.text[:len(l.text)-1], " peeled:"...), hash...)
		l.text = append(l.text, '\n')
	}
}

// sorted puts the lines in the order of the names, if they are not.
func (l *refLines) sorted() {
	if !l.unsort {
		return
	}
	lines := bytes.SplitAfter(bytes.TrimSuffix(slices.Clone(l.text), []byte("\n")), []byte("\n"))
	slices.SortStableFunc(lines, func(a, b []byte) int { return bytes.Compare(nameIn(a), nameIn(b)) })
	l.text = l.text[:0]
	for _, line := range lines {
		l.text = append(append(l.text, bytes.TrimSuffix(line, []byte("\n"))...), '\n')
	}
	l.unsort = false
}

func nameIn(line []byte) []byte {
	_, rest, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
	name, _, _ := bytes.Cut(rest, []byte(" "))
	return name
}

// peerKey names an upstream and what is asked of it.
func peerKey(from mirror.Remote) string {
	if q := question(from.Refs); q != "" {
		return from.Upstream.String() + " " + q
	}
	return from.Upstream.String()
}

// question is what tells one listing of an upstream from another: its policy.
func question(p mirror.RefPolicy) string {
	if len(p.Include)+len(p.Exclude) == 0 && !p.Pulls {
		return ""
	}
	pulls := ""
	if p.Pulls {
		pulls = " pulls"
	}
	return "include " + strings.Join(p.Include, " ") + " exclude " + strings.Join(p.Exclude, " ") + pulls
}

// fingerprint is a digest of the lines, of HEAD and of the question.
func (l *refLines) fingerprint() string {
	l.sorted()
	h := sha256.New()
	h.Write([]byte(question(l.policy) + "\nHEAD " + l.head + "\n"))
	h.Write(l.text)
	return hex.EncodeToString(h.Sum(nil))
}

// list puts what the lines say into a listing.
func (l *refLines) list(into *mirror.Listing) {
	found := newAdvertised(bytes.Count(l.text, []byte("\n")))
	found.head = l.head
	for line := range strings.Lines(string(l.text)) {
		hash, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		name, attribute, _ := strings.Cut(rest, " ")
		found.add(name, hash, strings.TrimPrefix(attribute, "peeled:"))
	}
	listed := found.listing()
	into.Head, into.Refs, into.Skipped = listed.Head, listed.Refs, listed.Skipped
}

// lsRefs asks for exactly the refs that are mirrored (gitprotocol-v2, ls-refs).
// When the answer is byte for byte the one that is remembered in known, and that
// is the one the caller knows, it is not parsed, and same is true: parsing and
// hashing 3,000 refs costs more than getting them.
func (x *talk) lsRefs(ctx context.Context, l *refLines, known *peer) (same bool, err error) {
	body, err := x.ask(ctx, http.MethodPost, "/git-upload-pack", x.lsRefsRequest(l.policy), resultType)
	if err != nil {
		return false, err
	}
	defer body.Close()
	w := x.disk.state.wire
	start, all, err := w.read(body)
	defer w.put(start)
	if err != nil {
		return false, broken(err)
	}
	answer := io.Reader(bytes.NewReader(*start))
	seen := maphash.Bytes(w.seed, *start)
	switch {
	case !all:
		answer, seen = io.MultiReader(answer, body), 0
	case known.fingerprint != "" && known.fingerprint == x.from.Known && known.seen == seen && known.length == len(*start):
		return true, nil
	}
	known.seen, known.length = seen, len(*start)
	in, done := w.reader(answer)
	defer done()
	return false, l.read(in)
}

// read reads lines of protocol version 2.
func (l *refLines) read(in pktReader) error {
	for {
		line, kind, err := in.line()
		if err != nil {
			return broken(unexpected(err))
		}
		if kind == pktFlush {
			return nil
		}
		i := bytes.IndexByte(line, ' ')
		if kind != pktData || i < 0 {
			return broken(errPkt)
		}
		hash, name := line[:i], line[i+1:]
		var attributes []byte
		if i := bytes.IndexByte(name, ' '); i >= 0 {
			name, attributes = name[:i], name[i:]
		}
		l.add(hash, name, attributes)
	}
}

func (x *talk) lsRefsRequest(policy mirror.RefPolicy) []byte {
	ask := make([]byte, 0, 256)
	line := func(parts ...string) { ask = append(ask, pkt(strings.Join(parts, ""))...) }
	line("command=ls-refs\n")
	line("agent=", x.disk.userAgent())
	line("object-format=sha1")
	ask = append(ask, "0001"...)
	line("peel\n")
	line("symrefs\n")
	line("ref-prefix HEAD\n")
	for _, p := range prefixes(policy) {
		line("ref-prefix ", p, "\n")
	}
	return append(ask, "0000"...)
}

// prefixes are what the names of mirrored refs begin with, none of them a prefix
// of another. An upstream may have more refs that begin so.
func prefixes(p mirror.RefPolicy) []string {
	all := []string{"refs/heads/", "refs/tags/"}
	asked := all
	if len(p.Include) > 0 {
		asked = nil
	}
	for _, glob := range p.Include {
		fixed, _, _ := strings.Cut(glob, "*")
		for _, base := range all {
			if strings.HasPrefix(fixed, base) {
				asked = append(asked, fixed)
			} else if strings.HasPrefix(base, fixed) {
				asked = append(asked, base)
			}
		}
	}
	if p.Pulls {
		asked = append(asked, "refs/pull/")
	}
	slices.Sort(asked)
	narrow := asked[:0]
	for _, prefix := range asked {
		if n := len(narrow); n == 0 || !strings.HasPrefix(prefix, narrow[n-1]) {
			narrow = append(narrow, prefix)
		}
	}
	return narrow
}

// list reads the refs an old server greets with: the first line carries the
// capabilities behind a NUL (gitprotocol-pack).
func (g *oldGreeting) list(l *refLines) error {
	line, kind := []byte(g.line), g.kind
	for first := true; kind != pktFlush; {
		if string(line) == "version 1" { // announced, then as v0
			var err error
			if line, kind, err = g.in.line(); err != nil {
				return broken(err)
			}
			continue
		}
		text, caps, _ := bytes.Cut(line, []byte("\x00"))
		hash, name, ok := bytes.Cut(text, []byte(" "))
		if kind != pktData || !ok {
			return broken(errPkt)
		}
		if first {
			first = false
			for c := range strings.FieldsSeq(string(caps)) {
				if target, ok := strings.CutPrefix(c, "symref=HEAD:"); ok {
					l.head = target
				}
			}
		}
		switch base, peeled := bytes.CutSuffix(name, []byte("^{}")); {
		case string(hash) == "shallow", string(name) == "HEAD":
		case peeled:
			l.addPeeled(hash, base)
		default:
			l.add(hash, name, nil)
		}
		var err error
		if line, kind, err = g.in.line(); err != nil {
			return broken(err)
		}
	}
	return nil
}
