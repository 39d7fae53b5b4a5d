// Package rewrite knows other people's Go projects: it makes go.mod, go.sum,
// go.work.sum and vendor/modules.txt name the mirror, gives back the bytes that
// were there before, and tells which Go and git settings go with it.
//
// It runs neither go nor git and fetches nothing itself: what a module is, where
// it is mirrored and what its hashes are comes from a [Resolver], and is written
// only where the project's own go.sum proves it. Files are edited by byte
// offset, never reformatted. The rules are those of the go command, observed.
package rewrite
