package rewrite

import (
	"strings"

	"github.com/pmezard/go-difflib/difflib"
)

// Diff is the unified diff of the plan.
func (p *Plan) Diff() string { return Diff(p.Edits) }

func (e Edit) diff(name string) string {
	from, to := "a/"+name, "b/"+name
	if e.Created {
		from = "/dev/null"
	}
	if e.Removed {
		to = "/dev/null"
	}
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: diffLines(bytesOf(e.Before)), B: diffLines(bytesOf(e.After)), FromFile: from, ToFile: to, Context: 3,
	})
	if err != nil { // writing to a string does not fail
		return ""
	}
	return text
}

// diffLines cuts text into lines; a last one without EOL is marked as diff does.
func diffLines(data []byte) []string {
	var lines []string
	for line := range strings.Lines(string(data)) {
		lines = append(lines, line)
	}
	if n := len(lines); n > 0 && !strings.HasSuffix(lines[n-1], "\n") {
		lines[n-1] += "\n\\ No newline at end of file\n"
	}
	return lines
}
