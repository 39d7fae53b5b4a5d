package gitserver

import (
	"fmt"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
)

// Many prefixes cost no more than looking each of them up.
func BenchmarkListWithManyPrefixes(b *testing.B) {
	var l mirror.Listing
	for i := range 50_000 {
		l.Refs = append(l.Refs, mirror.Ref{Name: fmt.Sprintf("refs/tags/v%08d", i), Hash: someID})
	}
	r := v2Request{command: "ls-refs", plain: true}
	for i := range 4_000 {
		r.args = append(r.args, fmt.Sprintf("ref-prefix r%d", i))
	}
	v := newView(l, 1)
	for b.Loop() {
		q, ok := parseList(r)
		if !ok {
			b.Fatal("parseList = false")
		}
		q.answer(v)
	}
}
