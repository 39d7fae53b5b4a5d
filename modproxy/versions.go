package modproxy

import (
	"context"
	"errors"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// versions lists the module's tagged versions, in order, those with
// +incompatible last (codeRepo.Versions). Retracted ones are among them.
func (v *view) versions(ctx context.Context) ([]string, error) {
	if v.gopkg() && strings.HasSuffix(v.path, "-unstable") {
		return nil, nil
	}
	var list, incompatible []string
	for tag := range v.tags {
		version, ok := strings.CutPrefix(tag, v.tagPrefix())
		if !ok || version == "" || version != semver.Canonical(version) || module.IsPseudoVersion(version) {
			continue
		}
		if module.CheckPathMajor(version, v.major) == nil {
			list = append(list, version)
		} else if v.dir == "" && v.major == "" && semver.Major(version) > "v1" {
			incompatible = append(incompatible, version)
		}
	}
	semver.Sort(list)
	semver.Sort(incompatible)
	if len(incompatible) == 0 {
		return list, nil
	}
	if len(list) > 0 {
		// Who has a go.mod at the latest v0 or v1 wants users to stay there.
		has, err := v.has(ctx, v.tags[list[len(list)-1]], "go.mod")
		if has || err != nil {
			return list, err
		}
	}
	return v.appendIncompatible(ctx, list, incompatible)
}

// appendIncompatible adds the major versions whose latest tag has no go.mod.
func (v *view) appendIncompatible(ctx context.Context, list, incompatible []string) ([]string, error) {
	latest := map[string]string{}
	for _, version := range incompatible {
		latest[semver.Major(version)] = version
	}
	modular := map[string]bool{}
	for major, version := range latest {
		has, err := v.has(ctx, v.tags[version], "go.mod")
		if err != nil {
			return nil, err
		}
		modular[major] = has
	}
	for _, version := range incompatible {
		if !modular[semver.Major(version)] {
			list = append(list, version+"+incompatible")
		}
	}
	return list, nil
}

// isRetracted tells whether the go.mod of the highest version retracts version.
// A go.mod that cannot be read retracts nothing.
func (v *view) isRetracted(ctx context.Context, version string) (bool, error) {
	if v.retracted == nil {
		intervals, err := v.retractions(ctx)
		if err != nil {
			return false, err
		}
		v.retracted = func(version string) bool {
			return isRetractedBy(intervals, version)
		}
	}
	return v.retracted(version), nil
}

func (v *view) retractions(ctx context.Context) ([]retraction, error) {
	list, err := v.versions(ctx)
	if err != nil {
		return nil, err
	}
	for len(list) > 0 && strings.HasSuffix(list[len(list)-1], "+incompatible") {
		list = list[:len(list)-1] // those have no go.mod
	}
	highest := highestOf(list, func(string) (bool, error) { return true, nil })
	if highest == "" {
		return nil, nil
	}
	p, err := v.place(ctx, highest)
	var unfit *versionError
	if errors.As(err, &unfit) || err == nil && p.gomod == nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return retractionsOf(p.gomod), nil
}

// retraction is an interval of versions, both ends included.
type retraction = modfile.VersionInterval

// retractionsOf are those of a go.mod. One that cannot be read retracts nothing.
func retractionsOf(gomod []byte) []retraction {
	f, err := modfile.ParseLax("go.mod", gomod, nil)
	if err != nil {
		return nil
	}
	var intervals []retraction
	for _, r := range f.Retract {
		intervals = append(intervals, r.VersionInterval)
	}
	return intervals
}

func isRetractedBy(intervals []retraction, version string) bool {
	return slices.ContainsFunc(intervals, func(in retraction) bool {
		return semver.Compare(in.Low, version) <= 0 && semver.Compare(version, in.High) <= 0
	})
}

// highestOf returns the highest release of a sorted list that ok accepts, else
// the highest pre-release, else "". An error counts as a refusal.
func highestOf(list []string, ok func(string) (bool, error)) string {
	for _, pre := range []bool{false, true} {
		for i := len(list) - 1; i >= 0; i-- {
			if (semver.Prerelease(list[i]) != "") != pre {
				continue
			}
			if yes, err := ok(list[i]); yes && err == nil {
				return list[i]
			}
		}
	}
	return ""
}

// latest is the version behind @latest.
func (v *view) latest(ctx context.Context) (found, error) {
	list, err := v.versions(ctx)
	if err != nil {
		return found{}, err
	}
	highest := highestOf(list, func(version string) (bool, error) {
		retracted, err := v.isRetracted(ctx, version)
		return !retracted, err
	})
	if highest != "" {
		return v.stat(ctx, highest)
	}
	rev, err := v.revision(ctx, "HEAD")
	if err != nil {
		return found{}, err
	}
	return v.convert(ctx, rev, "")
}
