package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/gitmirror/gitmirror/mirror"
)

// What --from reads is bounded in bytes; mirror.MaxBulk bounds what it names.
const maxList = 20 << 20

// named is one thing a list names: a module, or whatever "mirror add" takes.
type named struct {
	text   string
	module bool
}

// pattern tells whether it is a rule's.
func (n named) pattern() bool { return !n.module && strings.Contains(n.text, "*") }

// readFrom reads what --from names: a go.mod, a go.work, a go.sum, a list with
// one path or URL a line (or what "go list -m all" prints), or any of them but
// go.work on standard input ("-"). Which repository a module is in, the server knows.
func (p *program) readFrom(name string) ([]named, error) {
	text, err := p.readList(name)
	if err != nil {
		return nil, err
	}
	read := fromList
	switch listKind(name, text) {
	case "go.mod":
		read = fromGoMod
	case "go.work":
		read = p.fromGoWork
	case "go.sum":
		read = fromGoSum
	}
	list, err := read(name, text)
	if err == nil && len(list) > mirror.MaxBulk {
		return nil, wrongUsage(fmt.Sprintf("--from: %s names %d repositories; at most %d are added at a time", name, len(list), mirror.MaxBulk), "split it; nothing was added")
	}
	return list, err
}

func (p *program) readList(name string) ([]byte, error) {
	in := p.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, wrongUsage("--from: "+err.Error(), "name a go.mod, a go.sum, a go.work, a list, or - for standard input")
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxList+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxList {
		return nil, wrongUsage(fmt.Sprintf("--from: %s is larger than %d MB", name, maxList>>20), "split it")
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // some editors begin a file with it
	if bytes.IndexByte(text, 0) >= 0 || !utf8.Valid(text) {
		return nil, wrongUsage("--from: "+name+" is not a text file", "name a go.mod, a go.sum, or a list with one path or URL a line")
	}
	return text, nil
}

// listKind tells by the name what a file is, and where the name says nothing by
// what it begins with.
func listKind(name string, text []byte) string {
	switch base := filepath.Base(name); {
	case base == "go.mod" || strings.HasSuffix(base, ".mod"):
		return "go.mod"
	case base == "go.work" || strings.HasSuffix(base, ".work"):
		return "go.work"
	case base == "go.sum" || strings.HasSuffix(base, ".sum"):
		return "go.sum"
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || strings.HasPrefix(fields[0], "//") || strings.HasPrefix(fields[0], "#"):
			continue
		case fields[0] == "module":
			return "go.mod"
		case len(fields) == 3 && strings.HasPrefix(fields[2], "h1:"):
			return "go.sum"
		}
		break
	}
	return "list"
}

// fromGoMod returns the modules that a go.mod requires, as its replacements
// have them; those that it replaces by a directory are no repository's.
func fromGoMod(name string, text []byte) ([]named, error) {
	f, err := modfile.Parse(name, text, nil)
	if err != nil {
		return nil, wrongUsage("--from: "+clipped(err.Error()), "mend go.mod; \"go mod tidy\" tells more")
	}
	return required(f.Require, f.Replace), nil
}

func required(requires []*modfile.Require, replaces []*modfile.Replace) []named {
	instead := make(map[module.Version]module.Version, len(replaces))
	for _, r := range replaces {
		instead[r.Old] = r.New
	}
	var paths []string
	for _, r := range requires {
		to, ok := instead[r.Mod]
		if !ok {
			to, ok = instead[module.Version{Path: r.Mod.Path}]
		}
		switch {
		case !ok:
			paths = append(paths, r.Mod.Path)
		case to.Version != "":
			paths = append(paths, to.Path)
		}
	}
	return modules(paths)
}

// fromGoWork returns what the modules of a workspace require of others.
func (p *program) fromGoWork(name string, text []byte) ([]named, error) {
	if name == "-" {
		return nil, wrongUsage("--from: a go.work on standard input leads to no directories", "name the file: --from go.work")
	}
	work, err := modfile.ParseWork(name, text, nil)
	if err != nil {
		return nil, wrongUsage("--from: "+clipped(err.Error()), "mend go.work")
	}
	if len(work.Use) > maxUses {
		return nil, wrongUsage(fmt.Sprintf("--from: %s uses %d directories; at most %d are read", name, len(work.Use), maxUses), "name their go.mod files one by one")
	}
	own := map[string]bool{}
	var all []named
	for _, use := range work.Use {
		file := filepath.Join(filepath.FromSlash(use.Path), "go.mod")
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(name), file)
		}
		text, err := p.readList(file)
		if err != nil {
			return nil, err
		}
		f, err := modfile.Parse(file, text, nil)
		if err != nil {
			return nil, wrongUsage("--from: "+clipped(err.Error()), "mend go.mod; \"go mod tidy\" tells more")
		}
		if f.Module != nil {
			own[f.Module.Mod.Path] = true
		}
		all = append(all, required(f.Require, append(f.Replace, work.Replace...))...) // those of go.work win
	}
	all = slices.DeleteFunc(all, func(n named) bool { return own[n.text] })
	return unique(all), nil
}

// maxUses bounds the directories of a workspace.
const maxUses = 1_000

func fromGoSum(name string, text []byte) ([]named, error) {
	var paths []string
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 3 {
			return nil, wrongUsage(fmt.Sprintf("--from: %s:%d: not a line of go.sum", name, number), "")
		}
		paths = append(paths, fields[0])
	}
	return modules(paths), nil
}

// maxLine is more bytes than a path or URL can have.
const maxLine = 2048

func fromList(name string, text []byte) ([]named, error) {
	var items []named
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		item, _, _ := strings.Cut(line, " #")
		item = strings.TrimSpace(item)
		switch {
		case item == "" || strings.HasPrefix(item, "#"):
		case len(item) > maxLine:
			return nil, wrongUsage(fmt.Sprintf("--from: %s:%d: the line is longer than %d bytes", name, number, maxLine),
				"write one path or URL a line")
		default:
			items = append(items, listed(item)...)
		}
	}
	return unique(items), nil
}

// listed reads a line of a list. "PATH VERSION" and "PATH VERSION => PATH
// VERSION" are what "go list -m all" prints.
func listed(line string) []named {
	fields := strings.Fields(line)
	switch {
	case len(fields) == 2 && semver.IsValid(fields[1]):
		return []named{{fields[0], true}}
	case len(fields) == 5 && fields[2] == "=>" && semver.IsValid(fields[1]) && semver.IsValid(fields[4]):
		return []named{{fields[3], true}}
	case len(fields) == 4 && fields[2] == "=>" && semver.IsValid(fields[1]):
		return nil // a directory
	}
	return []named{{text: line}}
}

// clipped is a parser's error, which may quote a line of any length.
func clipped(text string) string {
	const most = 300
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

func modules(paths []string) []named {
	out := make([]named, len(paths))
	for i, path := range paths {
		out[i] = named{path, true}
	}
	return unique(out)
}

// modulesOf reads a go.mod or go.sum that was pasted into a form.
func modulesOf(text string) (paths []string, known bool, err error) {
	read := fromGoMod
	switch listKind("", []byte(text)) {
	case "go.mod":
	case "go.sum":
		read = fromGoSum
	default:
		return nil, false, nil
	}
	list, err := read("pasted text", []byte(text))
	if err != nil {
		p := *mirror.AsProblem(err)
		p.What = strings.TrimPrefix(p.What, "--from: ")
		return nil, true, &p
	}
	for _, n := range list {
		paths = append(paths, n.text)
	}
	return paths, true, nil
}

// unique sorts and drops repetitions.
func unique(items []named) []named {
	slices.SortFunc(items, func(a, b named) int { return strings.Compare(a.text, b.text) })
	return slices.CompactFunc(items, func(a, b named) bool { return a.text == b.text })
}
