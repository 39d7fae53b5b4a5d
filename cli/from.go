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

	"github.com/gitmirror/gitmirror/mirror"
)

// What --from reads is bounded: in bytes, and in what it names. Ten thousand
// first clones at once are more than anybody means.
const (
	maxList  = 20 << 20
	maxNamed = 10_000
)

// readFrom reads what --from names: a go.mod, a go.sum, a list with one path or
// URL a line, or any of them on standard input ("-").
func (p *program) readFrom(name string) ([]string, error) {
	in := p.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, wrongUsage("--from: "+err.Error(), "name a go.mod, a go.sum, a list, or - for standard input")
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
	read := fromList
	switch listKind(name, text) {
	case "go.mod":
		read = fromGoMod
	case "go.sum":
		read = fromGoSum
	}
	named, err := read(name, text)
	if err == nil && len(named) > maxNamed {
		return nil, wrongUsage(fmt.Sprintf("--from: %s names %d repositories; at most %d are added at a time", name, len(named), maxNamed), "split it; nothing was added")
	}
	return named, err
}

// listKind tells by the name what a file is, and where the name says nothing by
// what it begins with.
func listKind(name string, text []byte) string {
	switch base := filepath.Base(name); {
	case base == "go.mod" || strings.HasSuffix(base, ".mod"):
		return "go.mod"
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

// fromGoMod returns the modules a go.mod requires, but those that it replaces
// by a directory.
func fromGoMod(name string, text []byte) ([]string, error) {
	f, err := modfile.Parse(name, text, nil)
	if err != nil {
		return nil, wrongUsage("--from: "+clipped(err.Error()), "mend go.mod; \"go mod tidy\" tells more")
	}
	local := map[string]bool{}
	for _, r := range f.Replace {
		if r.New.Version == "" {
			local[r.Old.Path] = true
		}
	}
	var paths []string
	for _, r := range f.Require {
		if !local[r.Mod.Path] {
			paths = append(paths, r.Mod.Path)
		}
	}
	return repositories(paths), nil
}

func fromGoSum(name string, text []byte) ([]string, error) {
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
	return repositories(paths), nil
}

// maxLine is more bytes than a path or URL can have.
const maxLine = 2048

func fromList(name string, text []byte) ([]string, error) {
	var items []string
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
			items = append(items, item)
		}
	}
	return unique(items), nil
}

// clipped is a parser's error, which may quote a line of any length.
func clipped(text string) string {
	const most = 300
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// repositories turns module paths into what is to be mirrored: the major
// version is no part of a repository's path, and on hosts whose repositories
// are host/owner/name neither is a directory.
func repositories(paths []string) []string {
	var out []string
	for _, path := range paths {
		prefix, _, ok := module.SplitPathVersion(path)
		if !ok || strings.HasPrefix(path, "gopkg.in/") {
			prefix = path
		}
		if p, err := mirror.ParsePath(prefix); err == nil {
			prefix = string(mirror.RepositoryRoot(p))
		}
		out = append(out, prefix)
	}
	return unique(out)
}

// unique sorts and drops repetitions.
func unique(items []string) []string {
	slices.Sort(items)
	return slices.Compact(items)
}
