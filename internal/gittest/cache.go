package gittest

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/mod/semver"
)

// recipe is part of the cache's key: another one when repositories are built
// differently.
const recipe = "gittest 1"

func compare(v, w string) int { return semver.Compare(v, w) }

// initBare makes an empty bare repository.
func initBare(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	_, err := try(dir, Env(os.DevNull), nil, "git", "init", "--quiet", "--bare", "--template=", "--initial-branch=main", ".")
	return err
}

// made is a fixture and the module it was asked for as.
type made struct {
	Asked   Module
	Fixture Fixture
}

// build adds mods, which all live in the repository at dir, to those already
// there, in the order of their dates.
func build(dir string, before, mods []Module, dressed bool) ([]made, error) {
	all, err := download(slices.Concat(before, mods))
	if err != nil {
		return nil, err
	}
	b := &builder{dir: dir, latest: map[string]map[string][]byte{}, tags: map[string][]string{}, dressed: dressed}
	for i, d := range all[:len(before)] {
		loc, err := locate(before[i])
		if err != nil {
			return nil, err
		}
		b.latest[loc.dir] = d.files
		if loc.tag != "" {
			b.tags[loc.prefix] = append(b.tags[loc.prefix], path.Base(loc.tag))
		}
	}
	fresh := all[len(before):]
	slices.SortStableFunc(fresh, func(a, b downloaded) int {
		return cmp.Or(a.time.Compare(b.time), cmp.Compare(a.Path, b.Path))
	})
	var done []made
	for i := range fresh {
		fix, err := b.add(&fresh[i])
		if err != nil {
			return nil, err
		}
		done = append(done, made{Module{fresh[i].Path, fresh[i].Version}, fix})
	}
	return done, nil
}

// cached puts a repository of mods at dir, building it in the machine's cache
// if it is not there yet. Several processes may do so at once.
func cached(dir string, mods []Module, dressed bool) ([]made, error) {
	home, err := os.UserCacheDir()
	if err != nil { // no home directory: build every time
		if err := initBare(dir); err != nil {
			return nil, err
		}
		return build(dir, nil, mods, dressed)
	}
	key := sha256.New()
	fmt.Fprintln(key, recipe)
	if dressed {
		fmt.Fprintln(key, "dressed 1")
	}
	mods = slices.Clone(mods)
	slices.SortFunc(mods, func(a, b Module) int { return cmp.Compare(a.String(), b.String()) })
	for _, m := range mods {
		loc, _ := locate(m)
		fmt.Fprintln(key, m, loc)
	}
	entry := filepath.Join(home, "gitmirror-gittest", fmt.Sprintf("%x", key.Sum(nil)[:12]))
	if _, err := os.Stat(entry); errors.Is(err, os.ErrNotExist) {
		if err := buildEntry(entry, mods, dressed); err != nil {
			return nil, err
		}
	}
	var fixtures []made
	data, err := os.ReadFile(filepath.Join(entry, "fixtures.json"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &fixtures); err != nil {
		return nil, err
	}
	return fixtures, linkTree(filepath.Join(entry, "repo.git"), dir)
}

func buildEntry(entry string, mods []Module, dressed bool) error {
	if err := os.MkdirAll(filepath.Dir(entry), 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(entry), "building-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	repo := filepath.Join(temp, "repo.git")
	if err := initBare(repo); err != nil {
		return err
	}
	fixtures, err := build(repo, nil, mods, dressed)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(fixtures, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(temp, "fixtures.json"), data, 0o644); err != nil {
		return err
	}
	err = os.Rename(temp, entry)
	if _, there := os.Stat(filepath.Join(entry, "fixtures.json")); there == nil {
		return nil // somebody else was faster: theirs is the same
	}
	return err
}
