package gitserver

import (
	"bufio"
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

const someID = "0123456789abcdef0123456789abcdef01234567"

// Whatever a client sends, what is understood of it means the same when it is
// said again, and git is sent nothing that the client did not say.
func FuzzRequest(f *testing.F) {
	caps := pktText("agent=git/2.39.5") + pktText("object-format=sha1") + "0001"
	for _, seed := range []string{
		"", "0000", "0014command=ls-refs\n0000",
		pktText("command=ls-refs") + caps + pktText("peel") + pktText("ref-prefix refs/heads/") + pktText("ref-prefix refs/") + "0000",
		pktText("command=fetch") + caps + pktText("thin-pack") + pktText("no-progress") + pktText("include-tag") + pktText("ofs-delta") +
			pktText("want "+someID) + pktText("have "+someID) + pktText("shallow "+someID) + pktText("deepen 1") + pktText("filter blob:none") + pktText("done") + "0000",
		pktText("command=fetch") + "0001" + pktText("want "+someID+"\n") + pktText("deepen-since 12") + "0000",
		pktText("command=fetch\n") + pktText("server-option=x") + "0001" + pktText("want "+strings.ToUpper(someID)) + "0000",
		"0003", "fff1", "0004", "000g", "00010000",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, ok := parseV2(text)
		if !ok {
			return
		}
		if q, ok := parseList(r); ok {
			for i, p := range q.prefixes {
				if i > 0 && (p <= q.prefixes[i-1] || strings.HasPrefix(p, q.prefixes[i-1])) {
					t.Errorf("prefixes of %q = %q, want them sorted, and none within another", text, q.prefixes)
				}
			}
		}
		q, ok := parseFetch(r)
		if !ok {
			return
		}
		again, ok := parseV2(string(q.text()))
		if !ok {
			t.Fatalf("parseV2(%q) failed, made of %q", q.text(), text)
		}
		same, ok := parseFetch(again)
		if !ok || !bytes.Equal(same.text(), q.text()) || same.key("x", &view{}) != q.key("x", &view{}) {
			t.Errorf("%q says %q, which says %q", text, q.text(), same.text())
		}
		for _, arg := range again.args {
			if !slices.Contains(r.args, arg) {
				t.Errorf("%q became %q: nobody said %q", text, q.text(), arg)
			}
		}
	})
}

// An answer is taken apart the same way whatever pieces it comes in, and no byte
// of it is lost.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		"", "0000", packfile + "0009\x01PACK" + "0009\x02note" + "0005\x02" + "0000",
		"0014acknowledgments\n" + "0008NAK\n" + "0000", pktText("ERR upload-pack: not our ref " + someID),
		packfile + "0009\x03dead", packfile + "0000more", "0003", "00", "0001" + packfile,
	} {
		f.Add([]byte(seed), 3)
	}
	f.Fuzz(func(t *testing.T, answer []byte, size int) {
		take := func(size int) (parts, notes string, s pktScan, err error) {
			for piece := range slices.Chunk(answer, max(1, size)) {
				err = s.feed(piece, func(raw []byte, kind pktKind) error {
					if kind == pktNote {
						notes += string(raw)
					} else {
						parts += string(raw)
					}
					return nil
				})
				if err != nil {
					break
				}
			}
			return parts, notes, s, err
		}
		parts, notes, whole, err := take(len(answer))
		p, n, pieces, pieceErr := take(size)
		if p != parts || n != notes || pieces.done != whole.done || pieces.told != whole.told || (err == nil) != (pieceErr == nil) {
			t.Errorf("%q in pieces of %d = %q and %q (%v), want %q and %q (%v)", answer, size, p, n, pieceErr, parts, notes, err)
		}
		if err == nil && len(parts)+len(notes)+len(whole.part) != len(answer) {
			t.Errorf("%q = %q and %q with %q to come: bytes are lost", answer, parts, notes, whole.part)
		}
	})
}

// A request over a connection that lasts is read to its flush and not further,
// and only pkt-lines pass.
func FuzzConversation(f *testing.F) {
	f.Add([]byte(pktText("command=fetch") + "0001" + pktText("done") + "0000" + "0000"))
	f.Add([]byte("0000"))
	f.Add([]byte("0004000100020000rest"))
	f.Add([]byte("00"))
	f.Add([]byte("0003"))
	f.Fuzz(func(t *testing.T, said []byte) {
		from := bufio.NewReaderSize(iotest.OneByteReader(bytes.NewReader(said)), 16)
		request, err := io.ReadAll(&framed{r: &oneRequest{r: from}})
		if err != nil {
			return
		}
		rest, _ := io.ReadAll(from)
		if string(request)+string(rest) != string(said) || !bytes.HasSuffix(request, []byte("0000")) {
			t.Errorf("%q = %q, then %q", said, request, rest)
		}
		for s := string(request); s != ""; {
			_, special, more, ok := pktCut(s)
			if !ok || special == 0 && more != "" {
				t.Fatalf("request %q of %q is not pkt-lines up to a flush", request, said)
			}
			s = more
		}
	})
}
