package modproxy

import (
	"context"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// checkPseudo checks that a pseudo-version says the truth about its revision
// (validatePseudoVersion). That a higher tag precedes the revision is no fault:
// it may be younger than the pseudo-version.
func (v *view) checkPseudo(ctx context.Context, rev revision, version string) error {
	named, err := module.PseudoVersionRev(version)
	if err != nil {
		return unfit("invalid pseudo-version: %v", err)
	}
	switch short := rev.short(); {
	case named == short:
	case strings.HasPrefix(named, short):
		return unfit("invalid pseudo-version: revision is longer than canonical (expected %s)", short)
	case strings.HasPrefix(short, named):
		return unfit("invalid pseudo-version: revision is shorter than canonical (expected %s)", short)
	default:
		return unfit("invalid pseudo-version: does not match short name of revision (expected %s)", short)
	}
	at, err := module.PseudoVersionTime(version)
	if err != nil {
		return unfit("invalid pseudo-version: %v", err)
	}
	if !at.Equal(rev.Time.Truncate(time.Second)) {
		return unfit("invalid pseudo-version: does not match version-control timestamp (expected %s)",
			rev.Time.UTC().Format(module.PseudoVersionTimestampFormat))
	}
	base, err := module.PseudoVersionBase(strings.TrimSuffix(version, "+incompatible"))
	if err != nil {
		return unfit("invalid pseudo-version: %v", err)
	}
	if base == "" {
		if module.PathMajorPrefix(v.major) == "" && semver.Major(version) == "v1" {
			return unfit("invalid pseudo-version: major version without preceding tag must be v0, not v1")
		}
		return nil
	}
	return v.checkBase(ctx, rev, base)
}

// checkBase checks that the version a pseudo-version is based on is the tag of
// an ancestor.
func (v *view) checkBase(ctx context.Context, rev revision, base string) error {
	for _, tag := range v.at[rev.Hash] {
		if strings.TrimPrefix(tag, v.tagPrefix()) == base {
			return unfit("invalid pseudo-version: tag (%s) found on revision %s is already canonical, so should not be replaced with a pseudo-version derived from that tag", tag, rev.short())
		}
	}
	last := ""
	for tag, commit := range v.tags {
		trimmed, ok := strings.CutPrefix(tag, v.tagPrefix()+base)
		if !ok || semver.Compare(base+trimmed, base) != 0 {
			continue
		}
		last = tag
		ok, err := v.ancestor(ctx, commit, rev.Hash)
		if ok || err != nil {
			return err
		}
	}
	if last == "" {
		return unfit("invalid pseudo-version: preceding tag (%s) not found", base)
	}
	return unfit("invalid pseudo-version: revision %s is not a descendent of preceding tag (%s)", rev.short(), last)
}

// precedingTag is the highest fitting version among the tags of ancestors,
// highest first so that few are asked about; "" when there is none.
func (c *conversion) precedingTag(ctx context.Context) (string, error) {
	type candidate struct{ version, commit string }
	var all []candidate
	for tag, commit := range c.tags {
		if version, _ := c.versionOf(tag); version != "" {
			all = append(all, candidate{version, commit})
		}
	}
	slices.SortFunc(all, func(a, b candidate) int { return semver.Compare(b.version, a.version) })
	for _, one := range all {
		ok, err := c.allowed(ctx, one.version)
		if err != nil {
			return "", err
		}
		if !ok {
			continue
		}
		ok, err = c.ancestor(ctx, one.commit, c.rev.Hash)
		if err != nil {
			return "", err
		}
		if ok {
			return one.version, nil
		}
	}
	return "", nil
}
