package gitserver

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
)

func line(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }

const someHash = "0123456789012345678901234567890123456789"

// The witness has no door of its own: what it tells apart would need a client
// and a server for every row.
func TestWitness(t *testing.T) {
	clone := line("command=fetch") + line("agent=git/2.39.5") + "0001" + line("ofs-delta") + line("want "+someHash+"\n") + line("done\n") + "0000"
	quietClone := line("command=fetch") + "0001" + line("no-progress") + line("want "+someHash+"\n") + line("done\n") + "0000"
	pull := line("command=fetch") + "0001" + line("want "+someHash+"\n") + line("have "+someHash+"\n") + "0000"
	list := line("command=ls-refs\n") + "0001" + line("peel\n") + line("ref-prefix HEAD\n") + "0000"
	old := line("want "+someHash+" multi_ack side-band-64k agent=git/1.0\n") + line("want "+someHash+"\n")
	for name, row := range map[string]struct{ sent, want string }{
		"list":              {list, ""},
		"list, then clone":  {list + clone + "0000", "clone fetch"},
		"quiet clone":       {quietClone, "clone quiet fetch"},
		"pull in two turns": {list + pull + pull, "fetch fetch"},
		"pull after quiet":  {quietClone + pull, "clone quiet fetch fetch"},
		"v0 clone":          {old + "0000" + line("done\n"), "clone fetch"},
		"v0 quiet":          {line("want "+someHash+" no-progress ofs-delta\n") + "0000" + line("done"), "clone quiet fetch"},
		"v0 pull":           {old + "0000" + line("have "+someHash+"\n") + "0000" + line("done\n"), "fetch"},
		"v0 wants nothing":  {"0000", ""},
		"a long line":       {line("command=fetch") + "0001" + line("filter sparse:"+strings.Repeat("x", 60_000)) + line("want "+someHash) + "0000", "clone fetch"},
		"cut short":         {clone[:len(clone)-4], ""},
		"no pkt-line":       {"zzzz" + clone, ""},
		"length of 3":       {"0003" + clone, ""},
		"empty lines":       {"00040004" + clone, "clone fetch"},
	} {
		for _, step := range []int{1, 3, 4096, len(row.sent)} {
			var traffic mirror.Traffic
			flow := traffic.Begin("ssh")
			var got []string
			w := &witness{flow: flow, fetching: func(quiet bool) {
				if quiet {
					got = append(got, "quiet")
				}
				got = append(got, "fetch")
			}}
			for rest := row.sent; rest != ""; {
				n := min(step, len(rest))
				w.Write([]byte(rest[:n]))
				rest = rest[n:]
			}
			text := strings.Join(got, " ")
			if flow.End("upload-pack", "ok").Clone {
				text = "clone " + text
			}
			if text != row.want {
				t.Errorf("%s, in pieces of %d bytes = %q, want %q", name, step, text, row.want)
			}
			if cap(w.line) > 2*witnessed {
				t.Errorf("%s: the witness keeps %d bytes, want at most about %d", name, cap(w.line), witnessed)
			}
		}
	}
}

func FuzzWitness(f *testing.F) {
	f.Add([]byte(line("command=fetch")+"0001"+line("want "+someHash+"\n")+line("done\n")+"0000"), 3)
	f.Add([]byte("0000ffff0004zzzz"), 1)
	f.Fuzz(func(t *testing.T, sent []byte, at int) {
		count := func(pieces ...[]byte) (n int) {
			w := &witness{fetching: func(bool) { n++ }}
			for _, p := range pieces {
				if got, err := w.Write(p); got != len(p) || err != nil {
					t.Errorf("Write = %d, %v, want %d", got, err, len(p))
				}
			}
			return n
		}
		at = max(0, min(at, len(sent)))
		if whole, cut := count(sent), count(sent[:at], sent[at:]); whole != cut {
			t.Errorf("%q = %d fetches, in two pieces %d", sent, whole, cut)
		}
	})
}
