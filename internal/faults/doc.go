// Package faults tests the whole engine – database, disk, syncer and upstream,
// wired as the server wires them – against what can go wrong: upstreams and
// roads that hang, cut, lie and throttle, hostile content, and our own machine
// dying, filling up or losing its database. docs/faults.md says what is tested
// and how to run more of it.
//
// After each fault the same must hold: the served refs are the old set or the
// new set, git fsck finds nothing, no quarantine or temporary file is left, and
// the next sync heals.
package faults
