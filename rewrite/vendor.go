package rewrite

import (
	"strings"

	"golang.org/x/mod/module"
)

// rewriteVendor returns vendor/modules.txt as "go mod vendor" would write it
// after the replaces changed: the vendored files themselves stay. files are the
// go.work, if any, and the go.mod of the main modules, in that order.
func rewriteVendor(data []byte, files []*gomod) []byte {
	eol := lineEnd(data)
	var lines []string
	for raw := range strings.Lines(string(data)) {
		lines = append(lines, strings.TrimRight(raw, "\r\n"))
	}
	var out []string
	written := map[module.Version]bool{}
	for i, line := range lines {
		m, ok := vendorHeader(line)
		if !ok {
			out = append(out, line)
			continue
		}
		next := ""
		if i+1 < len(lines) {
			next = lines[i+1]
		}
		if next == "" || strings.HasPrefix(next, "# ") {
			continue // a replace that vendors nothing; they are written anew below
		}
		written[m] = true
		out = append(out, vendorLine(m, replacedBy(files, m)))
	}
	for _, f := range files {
		for _, r := range f.replaces {
			if written[r.old] {
				continue
			}
			written[r.old] = true
			if to := replacedBy(files, r.old); to.Path != "" {
				out = append(out, vendorLine(r.old, to))
			}
		}
	}
	text := strings.Join(out, eol)
	if len(out) > 0 {
		text += eol
	}
	return []byte(text)
}

// replacedBy is what the first file that replaces m replaces it by: go.work
// wins over go.mod.
func replacedBy(files []*gomod, m module.Version) module.Version {
	for _, f := range files {
		if r, ok := f.replaced(m); ok {
			return r.new
		}
	}
	return module.Version{}
}

// vendorHeader reads "# PATH [VERSION] [=> PATH [VERSION]]".
func vendorHeader(line string) (module.Version, bool) {
	rest, ok := strings.CutPrefix(line, "# ")
	if !ok {
		return module.Version{}, false
	}
	old, _, _ := strings.Cut(rest, " => ")
	fields := strings.Fields(old)
	switch len(fields) {
	case 1:
		return module.Version{Path: fields[0]}, true
	case 2:
		return module.Version{Path: fields[0], Version: fields[1]}, true
	}
	return module.Version{}, false
}

func vendorLine(old, to module.Version) string {
	line := "# " + old.Path
	if old.Version != "" {
		line += " " + old.Version
	}
	if to.Path != "" {
		line += " => " + to.Path
		if to.Version != "" {
			line += " " + to.Version
		}
	}
	return line
}
