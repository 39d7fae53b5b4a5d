package git

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

// maxListRequest is the longest ls-refs that is answered here; git has the rest.
const maxListRequest = 64 << 10

// speaksV2 tells whether a GIT_PROTOCOL asks for version 2.
func speaksV2(protocol string) bool {
	return slices.Contains(strings.Split(protocol, ":"), "version=2")
}

// listRequest is an ls-refs command (gitprotocol-v2, ls-refs).
type listRequest struct {
	peel, symrefs bool
	prefixes      []string
}

// parseListRequest understands what git clients send. What it does not
// understand is left to git, which also knows how to complain.
func parseListRequest(data []byte) (q listRequest, ok bool) {
	in := pktReader{bufio.NewReader(bytes.NewReader(data))}
	if line, kind, err := in.next(); err != nil || kind != pktData || line != "command=ls-refs" {
		return q, false
	}
	for {
		line, kind, err := in.next()
		if err != nil || kind != pktDelim && kind != pktData {
			return q, false
		}
		if kind == pktDelim {
			break
		}
		if !strings.HasPrefix(line, "agent=") && line != "object-format=sha1" {
			return q, false
		}
	}
	for {
		line, kind, err := in.next()
		switch {
		case err != nil:
			return q, false
		case kind == pktFlush:
			_, _, err := in.next()
			return q, err == io.EOF
		case kind != pktData:
			return q, false
		}
		prefix, isPrefix := strings.CutPrefix(line, "ref-prefix ")
		switch {
		case isPrefix:
			q.prefixes = append(q.prefixes, prefix)
		case line == "peel":
			q.peel = true
		case line == "symrefs":
			q.symrefs = true
		case line != "unborn": // only of repositories without the branch that HEAD names
			return q, false
		}
	}
}

// isShallowClone tells whether a request of version 2 is for a few commits by a
// client that has none: what the go command and CI do.
func isShallowClone(data []byte) bool {
	in := pktReader{bufio.NewReader(bytes.NewReader(data))}
	deepen := false
	for {
		line, _, err := in.next()
		if err != nil {
			return deepen && err == io.EOF
		}
		if strings.HasPrefix(line, "have ") {
			return false
		}
		deepen = deepen || strings.HasPrefix(line, "deepen ")
	}
}

func (q listRequest) wants(name string) bool {
	return len(q.prefixes) == 0 || slices.ContainsFunc(q.prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// write answers with the refs in the order git has them.
func (q listRequest) write(w io.Writer, l mirror.Listing) error {
	out := bufio.NewWriterSize(w, 32<<10)
	var line []byte
	send := func(name, target string, ref mirror.Ref) {
		if !q.wants(name) {
			return
		}
		line = append(append(append(line[:4], ref.Hash...), ' '), name...)
		if q.symrefs && target != "" {
			line = append(append(line, " symref-target:"...), target...)
		}
		if q.peel && ref.Peeled != "" {
			line = append(append(line, " peeled:"...), ref.Peeled...)
		}
		line = append(line, '\n')
		copy(line, fmt.Appendf(nil, "%04x", len(line)))
		_, _ = out.Write(line) // an error stays until Flush
	}
	line = make([]byte, 4, 256)
	if head, ok := l.Ref(l.Head); ok {
		send("HEAD", l.Head, head)
	}
	for _, ref := range l.Refs {
		if upstreams(ref.Name) { // our own are hidden
			send(ref.Name, "", ref)
		}
	}
	_, _ = out.WriteString("0000")
	return out.Flush()
}

// answer does without git what needs none: the ls-refs of version 2, and its
// advertisement, which is the same for all repositories. It returns false when
// git must answer, to which u.In then gives all that was sent.
func (d *Disk) answer(ctx context.Context, u *UploadPack) (done bool, err error) {
	if !u.Stateless || !speaksV2(u.Protocol) {
		return false, nil
	}
	if u.Advertise {
		text := d.state.advertisement.Load()
		if text == nil {
			return false, nil
		}
		_, err := u.Out.Write(*text)
		return true, err
	}
	start, err := io.ReadAll(io.LimitReader(u.In, maxListRequest))
	u.In = io.MultiReader(bytes.NewReader(start), u.In)
	if err != nil {
		return true, err
	}
	q, ok := parseListRequest(start)
	if !ok {
		u.shallow = len(start) < maxListRequest && isShallowClone(start)
		return false, nil
	}
	l, err := d.Refs(ctx, u.Repo)
	if err != nil || l.Head == "" {
		return err != nil, err
	}
	return true, q.write(u.Out, l)
}
