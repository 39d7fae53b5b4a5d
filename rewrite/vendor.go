package rewrite

import (
	"go/version"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// rewriteVendor returns vendor/modules.txt as "go mod vendor" (with a go.work in
// front of files: "go work vendor") would write it after the replaces changed:
// the vendored files themselves stay. files are the go.work, if any, and the
// go.mod of the main modules, in that order.
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
	ancient := !slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, "## explicit") })
	for _, f := range files {
		if ancient && before114(f) {
			continue // go mod vendor then writes only the replaces of what is vendored
		}
		for _, r := range f.replaces {
			if written[r.old] {
				continue
			}
			written[r.old] = true
			to := replacedBy(files, r.old)
			if f.main == "" {
				to = r.new
			}
			if to.Path != "" {
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

// before114 tells of a go.mod older than go 1.14.
func before114(f *gomod) bool {
	return f.main != "" && (f.golang == "" || version.Compare("go"+f.golang, "go1.14") < 0)
}

// replacedBy is what the first file that replaces m replaces it by: go.work
// wins over go.mod. A main module itself is not replaced (replacementFrom). In a
// workspace directories are seen from go.work (canonicalizeReplacePath).
func replacedBy(files []*gomod, m module.Version) module.Version {
	work := files[0].main == ""
	for _, f := range files {
		if m.Version == "" && f.main == m.Path {
			return module.Version{}
		}
	}
	for _, f := range files {
		r, ok := f.replaced(m)
		if !ok {
			continue
		}
		to := r.new
		if work && f.main != "" && to.Version == "" && !path.IsAbs(to.Path) {
			if to.Path = path.Join(path.Dir(f.name), to.Path); !modfile.IsDirectoryPath(to.Path) {
				to.Path = "./" + to.Path
			}
		}
		return to
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
