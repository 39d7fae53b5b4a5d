package gitserver

import (
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

// v2Request is a request of protocol v2 (gitprotocol-v2) taken apart.
type v2Request struct {
	command string
	args    []string // without line feeds
	// plain tells that all capabilities are ones that change nothing.
	plain bool
}

// parseV2 takes a whole request apart; ok is false when it is not one. The
// texts are parts of text.
func parseV2(text string) (r v2Request, ok bool) {
	line, special, rest, ok := pktCut(text)
	if !ok || special >= 0 {
		return r, false
	}
	if r.command, ok = strings.CutPrefix(line, "command="); !ok {
		return r, false
	}
	r.plain = true
	for inArgs := false; ; {
		if line, special, rest, ok = pktCut(rest); !ok {
			return r, false
		}
		switch {
		case special == 0: // flush
			return r, rest == ""
		case special == 1 && !inArgs:
			inArgs = true
		case special >= 0:
			return r, false
		case inArgs:
			r.args = append(r.args, line)
		case line != "object-format=sha1" && !strings.HasPrefix(line, "agent=") && !strings.HasPrefix(line, "session-id="):
			r.plain = false
		}
	}
}

// fetchRequest is a fetch whose answer depends on nothing but what is here, the
// objects there are and, with includeTag, the tags: equal ones have equal answers.
type fetchRequest struct {
	wants, haves, shallow []string // object ids, sorted, each once
	includeTag, ofsDelta  bool
	thin, done            bool
	depth                 int // zero = all
	filter                string
	progress              bool // the client wants lines to read; no part of the answer that is kept
}

// parseFetch understands the fetches that clients commonly send. All others are
// left to git as they are.
func parseFetch(r v2Request) (*fetchRequest, bool) {
	if r.command != "fetch" || !r.plain {
		return nil, false
	}
	f := &fetchRequest{progress: true}
	for _, line := range r.args {
		word, value, _ := strings.Cut(line, " ")
		ok := value == ""
		switch word {
		case "want":
			f.wants, ok = append(f.wants, value), isHash(value)
		case "have":
			f.haves, ok = append(f.haves, value), isHash(value)
		case "shallow":
			f.shallow, ok = append(f.shallow, value), isHash(value)
		case "deepen":
			n, err := strconv.ParseUint(value, 10, 31)
			ok = err == nil && n > 0 && f.depth == 0 && strconv.FormatUint(n, 10) == value
			f.depth = int(n)
		case "filter":
			ok = f.filter == "" && plainFilter(value)
			f.filter = value
		case "include-tag":
			f.includeTag = true
		case "ofs-delta":
			f.ofsDelta = true
		case "thin-pack":
			f.thin = true
		case "no-progress":
			f.progress = false
		case "done":
			f.done = true
		default: // deepen-since, deepen-not, deepen-relative, want-ref, sideband-all, packfile-uris, wait-for-done, …
			ok = false
		}
		if !ok {
			return nil, false
		}
	}
	for _, list := range []*[]string{&f.wants, &f.haves, &f.shallow} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	if len(f.haves) == 0 {
		f.thin = false // there is nothing a delta could be against
	}
	return f, len(f.wants) > 0
}

// plainFilter tells whether a filter depends on nothing but its own words.
func plainFilter(spec string) bool {
	if spec == "blob:none" {
		return true
	}
	for _, form := range []string{"blob:limit=", "tree:"} {
		if n, ok := strings.CutPrefix(spec, form); ok {
			return n != "" && len(n) <= 12 && strings.Trim(n, "0123456789") == ""
		}
	}
	return false
}

// text is the request as it is sent to git.
func (f *fetchRequest) text() []byte {
	size := 256 + 50*(len(f.wants)+len(f.haves)) + 60*len(f.shallow)
	b := append(make([]byte, 0, size), "0011command=fetch0016object-format=sha10001"...)
	line := func(text string) { b = append(b, pktText(text)...) }
	if f.thin {
		line("thin-pack")
	}
	if !f.progress {
		line("no-progress")
	}
	if f.includeTag {
		line("include-tag")
	}
	if f.ofsDelta {
		line("ofs-delta")
	}
	for _, id := range f.wants {
		b = append(append(b, "0031want "...), id...)
	}
	for _, id := range f.shallow {
		b = append(append(b, "0034shallow "...), id...)
	}
	if f.depth > 0 {
		line("deepen " + strconv.Itoa(f.depth))
	}
	if f.filter != "" {
		line("filter " + f.filter)
	}
	for _, id := range f.haves {
		b = append(append(b, "0031have "...), id...)
	}
	if f.done {
		line("done")
	}
	return append(b, "0000"...)
}

// key is equal for requests with equal answers. With include-tag an answer
// depends on the tags there are, too.
func (f *fetchRequest) key(repo mirror.ID, v *view) cacheKey {
	same := *f
	same.progress = false
	h := sha256.New()
	h.Write([]byte("1\n"))
	if f.includeTag {
		h.Write([]byte(v.tagState()))
	}
	h.Write(same.text())
	return cacheKey{repo, [sha256.Size]byte(h.Sum(nil))}
}

// isHash tells whether s is the id of an object.
func isHash(s string) bool {
	if len(s) != 40 {
		return false
	}
	for _, c := range []byte(s) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return true
}
