package modproxy

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// place is a module at a revision.
type place struct {
	revision
	dir   string // of the module in the tree, with /vN if it lives there
	gomod []byte // nil when the revision has none
}

// place finds the directory and go.mod of a version (findDir). The error is a
// *versionError when there is no such module.
func (v *view) place(ctx context.Context, version string) (place, error) {
	rev, err := v.revision(ctx, v.revOf(version))
	if err != nil {
		return place{}, err
	}
	short := v.revOf(version)
	file1 := path.Join(v.dir, "go.mod")
	gomod1, found1, err := v.gomod(ctx, rev.Hash, file1)
	if err != nil {
		return place{}, err
	}
	path1 := modfile.ModulePath(gomod1)
	fits1 := found1 && (isMajor(path1, v.major) || v.major == "" && strings.HasPrefix(path1, "gopkg.in/"))

	inDir := strings.HasPrefix(v.major, "/") && v.root != v.path
	if inDir {
		dir2 := path.Join(v.dir, v.major[1:])
		gomod2, found2, err := v.gomod(ctx, rev.Hash, path.Join(dir2, "go.mod"))
		if err != nil {
			return place{}, err
		}
		path2 := modfile.ModulePath(gomod2)
		fits2 := found2 && isMajor(path2, v.major)
		switch {
		case fits1 && fits2:
			return place{}, unfit("%s and %s/go.mod both have …%s module paths at revision %s", file1, dir2, v.major, short)
		case fits2:
			return place{rev, dir2, gomod2}, nil
		case found2 && path2 == "":
			return place{}, unfit("%s/go.mod is missing a module path at revision %s", dir2, short)
		case found2:
			return place{}, unfit("%s/go.mod has non-…%s module path %q at revision %s", dir2, v.major, path2, short)
		}
	}
	if fits1 {
		return place{rev, v.dir, gomod1}, nil
	}
	if found1 {
		return place{}, v.misfit(file1, path1, version, short)
	}
	if v.dir == "" && (v.major == "" || v.gopkg()) {
		return place{rev, "", nil}, nil
	}
	return place{}, unfit("missing %s at revision %s", file1, short)
}

// misfit explains a go.mod whose module path belongs to another major version.
func (v *view) misfit(file, declared, version, rev string) error {
	switch {
	case declared == "":
		return unfit("%s is missing a module path at revision %s", file, rev)
	case v.major != "":
		return unfit("%s has non-…%s module path %q at revision %s", file, v.major, declared, rev)
	}
	if _, _, ok := module.SplitPathVersion(declared); !ok {
		return unfit("%s has malformed module path %q at revision %s", file, declared, rev)
	}
	return unfit("%s has post-%s module path %q at revision %s", file, semver.Major(version), declared, rev)
}

func (v *view) gomod(ctx context.Context, commit, name string) (data []byte, found bool, err error) {
	data, err = v.file(ctx, commit, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if data == nil {
		data = []byte{}
	}
	return data, err == nil, err
}

// isMajor tells whether a module that declares the path may have the versions
// that pathMajor stands for (isMajor in coderepo.go, word for word: only the
// major suffix counts, because forks stand in for other paths by replace).
func isMajor(declared, pathMajor string) bool {
	if declared == "" {
		return false
	}
	_, major, ok := module.SplitPathVersion(declared)
	if !ok {
		return false
	}
	if pathMajor == "" {
		switch module.PathMajorPrefix(major) {
		case "", "v0", "v1":
			return true
		}
		return false
	}
	return major != "" && pathMajor[1:] == major[1:]
}
