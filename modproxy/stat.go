package modproxy

import (
	"context"
	"errors"
	"path"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// found is the answer to a query: a canonical version and its place.
type found struct {
	version string
	place
}

// stat resolves a version, branch, tag or commit to a canonical version.
// The error is a *versionError when it resolves to none.
func (v *view) stat(ctx context.Context, query string) (found, error) {
	rev, err := v.revision(ctx, v.revOf(query))
	if err != nil {
		return found{}, err
	}
	return v.convert(ctx, rev, query)
}

// convert finds the version of a revision (codeRepo.convert, step by step).
// query is empty for HEAD asked for as the latest.
func (v *view) convert(ctx context.Context, rev revision, query string) (found, error) {
	c := &conversion{view: v, rev: rev, query: query, incompatible: map[string]bool{}}
	if module.IsPseudoVersion(query) {
		f, err := c.canonical(ctx, query)
		if err != nil {
			return found{}, err
		}
		return f, v.checkPseudo(ctx, rev, query)
	}
	if version, ok := v.versionOf(rev.tag); ok {
		f, err := c.canonical(ctx, version)
		var unfit *versionError
		if err == nil || !errors.As(err, &unfit) {
			return f, err
		}
	}
	var highest, base string
	for _, tag := range v.at[rev.Hash] {
		version, canonical := v.versionOf(tag)
		if query != "" && version != "" && semver.Compare(version, query) == 0 {
			if canonical {
				return c.canonical(ctx, version)
			}
			base = version // v1.7.0+meta: no version, but what a pseudo-version is based on
		}
		if !canonical || highest != "" && semver.Compare(highest, version) >= 0 {
			continue
		}
		if ok, err := c.allowed(ctx, version); err != nil {
			return found{}, err
		} else if ok {
			highest = version
		}
	}
	if highest != "" {
		return c.canonical(ctx, highest)
	}
	if base == "" {
		var err error
		if base, err = c.precedingTag(ctx); err != nil {
			return found{}, err
		}
	}
	return c.canonical(ctx, module.PseudoVersion(module.PathMajorPrefix(v.major), base, rev.Time, rev.short()))
}

// versionOf is the version a tag stands for, "" when none. canonical is false
// for those that only lead to one, such as v1.7.0+meta.
func (v *view) versionOf(tag string) (version string, canonical bool) {
	trimmed, ok := strings.CutPrefix(tag, v.tagPrefix())
	if !ok || module.IsPseudoVersion(tag) {
		return "", false
	}
	version = semver.Canonical(trimmed)
	if version == "" || !strings.HasPrefix(trimmed, version) {
		return "", false
	}
	return version, version == trimmed
}

// conversion is one run of convert.
type conversion struct {
	*view
	rev   revision
	query string
	// incompatible caches what mayBeIncompatible has found out, by major version.
	incompatible map[string]bool
}

// allowed tells whether a tag's version fits the module path and is not retracted.
func (c *conversion) allowed(ctx context.Context, version string) (bool, error) {
	if !module.MatchPathMajor(version, c.major) {
		ok, err := c.mayBeIncompatible(ctx, version)
		if !ok || err != nil {
			return false, err
		}
	}
	retracted, err := c.isRetracted(ctx, version)
	return !retracted, err
}

// mayBeIncompatible tells whether the version may get the suffix +incompatible:
// the revision asked about has no go.mod at the root and, unless the suffix was
// asked for, none in a directory for that major version.
func (c *conversion) mayBeIncompatible(ctx context.Context, version string) (bool, error) {
	if c.dir != "" || c.major != "" {
		return false, nil
	}
	names := map[string]string{"": "go.mod"}
	if !strings.HasSuffix(c.query, "+incompatible") {
		major := semver.Major(version)
		names[major] = path.Join(major, "go.mod")
	}
	for key, name := range names {
		ok, seen := c.incompatible[key]
		if !seen {
			has, err := c.has(ctx, c.rev.Hash, name)
			if err != nil {
				return false, err
			}
			ok = !has
			c.incompatible[key] = ok
		}
		if !ok {
			return false, nil
		}
	}
	return true, nil
}

// canonical checks that a version fits the module path and adds the suffix
// +incompatible where it belongs (checkCanonical).
func (c *conversion) canonical(ctx context.Context, version string) (found, error) {
	p, err := c.place(ctx, version)
	if err != nil {
		return found{}, err
	}
	if version == strings.TrimSuffix(c.query, "+incompatible") {
		version = c.query
	}
	base := strings.TrimSuffix(version, "+incompatible")
	var misfit error
	if !module.MatchPathMajor(base, c.major) {
		ok, err := c.mayBeIncompatible(ctx, base)
		switch {
		case err != nil:
			return found{}, err
		case ok:
			version = base + "+incompatible"
		case c.major != "":
			misfit = unfit("module path includes a major version suffix, so major version must match")
		default:
			misfit = unfit("module contains a go.mod file, so module path must match major version (%q)", path.Join(c.prefix, semver.Major(version)))
		}
	} else if strings.HasSuffix(version, "+incompatible") {
		misfit = unfit("+incompatible suffix not allowed: major version %s is compatible", semver.Major(version))
	}
	if c.query != "" && c.query == module.CanonicalVersion(c.query) {
		if asked := strings.TrimSuffix(c.query, "+incompatible"); asked != base {
			return found{}, unfit("resolves to version %s (%s is not a tag)", version, asked)
		}
	}
	if misfit != nil {
		return found{}, misfit
	}
	return found{version, p}, nil
}
