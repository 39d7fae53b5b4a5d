package gittest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Public is a module version as the module proxy has it.
type Public struct {
	Module
	// Time is its commit's.
	Time time.Time
	// GoMod is its go.mod; what the go command makes up when there is none.
	GoMod []byte
	// Err says why there is no such version; the other fields are then empty.
	Err error

	mu sync.Mutex
	d  *downloaded // nil until its zip was fetched
}

// ListPublic asks the go command what the module proxy of the environment knows
// of module versions; the answers are in the order of the question. Zips are
// fetched when they are wanted: see Files.
func ListPublic(mods []Module) ([]*Public, error) {
	dir, err := os.MkdirTemp("", "gittest-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module gittest.invalid/list\n\ngo 1.21\n"), 0o644); err != nil {
		return nil, err
	}
	known := map[Module]*Public{}
	var trouble error
	for try := 0; try < 2; try++ {
		if try > 0 {
			time.Sleep(time.Second) // a hiccup of the network is not told from an unknown version
		}
		if trouble = listInto(dir, mods, known); trouble == nil {
			break
		}
	}
	all := make([]*Public, len(mods))
	for i, m := range mods {
		if all[i] = known[m]; all[i] == nil {
			return nil, fmt.Errorf("go list -m %s: %w", m, trouble)
		}
	}
	return all, nil
}

func listInto(dir string, mods []Module, known map[Module]*Public) error {
	args := []string{"list", "-m", "-e", "-json"}
	for _, m := range mods {
		if known[m] == nil || known[m].Err != nil {
			args = append(args, m.String())
		}
	}
	out, trouble := try(dir, append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "PWD="+dir), nil, "go", args...)
	for dec := json.NewDecoder(strings.NewReader(out)); ; {
		var line struct {
			Path, Version, GoMod string
			Time                 time.Time
			Error                *struct{ Err string }
		}
		err := dec.Decode(&line)
		if errors.Is(err, io.EOF) {
			return trouble
		}
		if err != nil {
			return errors.Join(err, trouble)
		}
		p := &Public{Module: Module{line.Path, line.Version}, Time: line.Time}
		if line.Error != nil {
			p.Err = errors.New(line.Error.Err)
			trouble = errors.Join(trouble, p.Err)
		} else if p.GoMod, err = os.ReadFile(line.GoMod); err != nil {
			return err
		}
		known[p.Module] = p
	}
}

// Absent tells whether the text of go.mod may be the go command's own, made up
// because the revision has none. Only Files can tell for sure.
func (p *Public) Absent() bool { return string(p.GoMod) == "module "+p.Path+"\n" }

// FetchPublic fetches the zips of modules, those that are not here yet.
func FetchPublic(mods ...*Public) error {
	var todo []*Public
	var names []Module
	for _, p := range mods {
		p.mu.Lock()
		if p.d == nil {
			todo, names = append(todo, p), append(names, p.Module)
		}
		p.mu.Unlock()
	}
	if len(todo) == 0 {
		return nil
	}
	all, err := fetch(names)
	if err != nil {
		return err
	}
	for i, p := range todo {
		p.mu.Lock()
		p.d = &all[i]
		p.mu.Unlock()
	}
	return nil
}

// Files are those of the module's zip, without the prefix of their names. The
// caller must not change them.
func (p *Public) Files() (map[string][]byte, error) {
	if err := FetchPublic(p); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.d.files == nil {
		if err := p.d.read(); err != nil {
			return nil, err
		}
	}
	return p.d.files, nil
}
