package rewrite

import (
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// unwinder takes this package's work out of files that were edited since, by
// what it knows of it.
type unwinder struct {
	*reader
	hosts   []string // whose paths are replacements
	inPlace []recordEdit
	sums    []recordSum
	undo    func(*gosum) *gosum // of sums; made when it is needed
	// ours maps replacement → original of the marked statements, where sums
	// says nothing.
	ours map[module.Version]module.Version
	// guess takes a right side on the mirror that nothing explains back to the
	// repository it names.
	guess bool

	guessed []string // replaces that were guessed
	lost    []string // modules whose zip checksum could not be restored
}

// file returns the content of a file without this package's work in it.
func (w *unwinder) file(name string, data []byte) ([]byte, error) {
	switch path.Base(name) {
	case "go.mod":
		mod, err := w.parseGoMod(name, data)
		if err != nil {
			return nil, err
		}
		return w.mod(mod), nil
	case "go.work":
		mod, _, err := w.parseGoWork(name, data)
		if err != nil {
			return nil, err
		}
		return w.mod(mod), nil
	case "go.sum", "go.work.sum":
		sum, err := w.reader.sums.parse(name, data)
		if err != nil {
			return nil, err
		}
		return w.sum(sum), nil
	}
	return w.vendor(data), nil
}

func (w *unwinder) mod(m *gomod) []byte {
	back := map[*replaceLine]module.Version{}
	for _, r := range m.replaces {
		if r.ours {
			continue
		}
		if was, ok := w.was(m.name, r); ok {
			back[r] = was
		}
	}
	return m.edit("", nil, back)
}

func (w *unwinder) was(name string, r *replaceLine) (module.Version, bool) {
	for _, e := range w.inPlace {
		if e.File == name && module.Version(e.Old) == r.old && module.Version(e.Now) == r.new {
			return module.Version(e.Was), true
		}
	}
	if !w.guess {
		return module.Version{}, false
	}
	for _, host := range w.hosts {
		if rest, ok := strings.CutPrefix(r.new.Path, host+"/"); ok && r.new.Version != "" {
			was := module.Version{Path: withoutDotGit(rest), Version: r.new.Version}
			if module.Check(was.Path, was.Version) == nil {
				w.guessed = append(w.guessed, r.old.Path+" => "+was.String())
				w.ours[r.new] = was
				return was, true
			}
		}
	}
	return module.Version{}, false
}

// sum restores the lines of originals. The go.mod hash of a replacement tells
// the one of its original; a zip hash does not.
func (w *unwinder) sum(s *gosum) []byte {
	if w.undo == nil {
		w.undo = undo(w.reader.sums, w.sums)
	}
	x := &exchanger{}
	return bytesOf(x.exchange(w.undo(s), func(l *sumLine) (*sumLine, bool) {
		old, ok := w.ours[l.mod]
		hash := l.hash
		switch {
		case !ok:
			return nil, false
		case l.file == "":
			if !slices.Contains(w.lost, old.String()) {
				w.lost = append(w.lost, old.String())
			}
			return nil, true
		case hash == hashGoMod("module "+modfile.AutoQuote(l.mod.Path)+"\n"): // it has none
			hash = hashGoMod("module " + modfile.AutoQuote(old.Path) + "\n")
		}
		return w.reader.sums.made(old, l.file, hash), true
	}, nil))
}

// vendor takes replacements out of vendor/modules.txt.
func (w *unwinder) vendor(data []byte) []byte {
	var out strings.Builder
	lines := slices.Collect(strings.Lines(string(data)))
	for i, raw := range lines {
		line := strings.TrimRight(raw, "\r\n")
		old, isHeader := vendorHeader(line)
		_, right, arrow := strings.Cut(line, " => ")
		if !isHeader || !arrow || !w.onMirror(right) {
			out.WriteString(raw)
			continue
		}
		to := w.vendorWas(old, right)
		bare := i+1 == len(lines) || strings.HasPrefix(lines[i+1], "# ")
		if bare && to.Path == "" {
			continue
		}
		out.WriteString(vendorLine(old, to) + raw[len(line):])
	}
	return []byte(out.String())
}

func (w *unwinder) onMirror(p string) bool {
	return slices.ContainsFunc(w.hosts, func(host string) bool { return strings.HasPrefix(p, host+"/") })
}

func (w *unwinder) vendorWas(old module.Version, right string) module.Version {
	for _, e := range w.inPlace {
		if (e.Old.Path == old.Path && (e.Old.Version == "" || e.Old.Version == old.Version)) && right == e.Now.Path+" "+e.Now.Version {
			return module.Version(e.Was)
		}
	}
	return module.Version{}
}
