package rewrite

import (
	"bytes"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/gitmirror/gitmirror/mirror"
)

// Facts are what a project's own files say of its use of a mirror. Nothing is
// asked of anybody.
type Facts struct {
	// Roots are the mirrors that marked statements name: "git.corp.test".
	Roots []string
	// Replaced are the replacements that lead to one of Roots, or to the root
	// that was asked for, by path and version.
	Replaced []mirror.ModuleVersion
	// Plain are requirements that nothing replaces.
	Plain []mirror.ModuleVersion
	// NoSum are replacements of requirements of which go.sum has no line.
	NoSum []mirror.ModuleVersion
	// Vendored: builds read vendor/ and fetch nothing.
	Vendored bool
	// VendorStale are the modules.txt that do not list the replacements.
	VendorStale []string
	// Go is the newest go line, "1.22"; empty = none.
	Go string
}

// Inspect reads a project. root is that of the mirror in use, "" when it is not
// known.
func Inspect(fsys fs.FS, root string, dirs ...string) (Facts, error) {
	proj, _, err := readProject(fsys, dirs)
	if err != nil {
		return Facts{}, err
	}
	var f Facts
	var work []*gomod
	if proj.work != nil {
		work = []*gomod{proj.work.mod}
		f.roots(proj.work.mod)
	}
	mains := map[string]bool{}
	for _, m := range proj.modules {
		f.roots(m.mod)
		mains[m.mod.main] = true
		if m.mod.golang != "" && semver.Compare("v"+m.mod.golang, "v"+f.Go) > 0 {
			f.Go = m.mod.golang
		}
	}
	roots := slices.Clone(f.Roots)
	if root != "" {
		roots = append(roots, root)
	}
	here := func(path string) bool {
		return slices.ContainsFunc(roots, func(r string) bool { return strings.HasPrefix(path, r+"/") })
	}
	replaced, plain, noSum := map[module.Version]bool{}, map[module.Version]bool{}, map[module.Version]bool{}
	for _, m := range proj.modules {
		files, sums := []*gomod{m.mod}, []*gosum{m.sum}
		if m.inWork {
			files, sums = append(slices.Clone(work), m.mod), append(sums, proj.work.sum)
		}
		for _, file := range files {
			for _, r := range file.replaces {
				if r.new.Version != "" && here(r.new.Path) {
					replaced[r.new] = true
				}
			}
		}
		for _, r := range m.mod.needs.require {
			need := proj.names.of(r)
			to := replacedBy(files, need)
			switch {
			case to.Path == "" && !mains[need.Path]:
				plain[need] = true
			case to.Version != "" && here(to.Path) && !slices.ContainsFunc(sums, func(s *gosum) bool { return s != nil && s.sums(proj.names.id(to)).Mod != "" }):
				noSum[to] = true
			}
		}
		if m.vendor != nil && !m.inWork {
			f.vendor(m.vendor, files)
		}
	}
	if proj.work != nil && proj.work.vendor != nil {
		files := slices.Clone(work)
		for _, m := range proj.modules {
			if m.inWork {
				files = append(files, m.mod)
			}
		}
		f.vendor(proj.work.vendor, files)
	}
	f.Replaced, f.Plain, f.NoSum = versions(replaced), versions(plain), versions(noSum)
	return f, nil
}

func (f *Facts) roots(m *gomod) {
	for _, b := range m.blocks {
		if !slices.Contains(f.Roots, b.host) {
			f.Roots = append(f.Roots, b.host)
		}
	}
}

func (f *Facts) vendor(v *text, files []*gomod) {
	f.Vendored = true
	if !bytes.Equal(rewriteVendor(v.data, files), v.data) {
		f.VendorStale = append(f.VendorStale, v.name)
	}
}

func versions(set map[module.Version]bool) (all []mirror.ModuleVersion) {
	for _, m := range sorted(set) {
		all = append(all, mirror.ModuleVersion(m))
	}
	return all
}
