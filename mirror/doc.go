// Package mirror is the vocabulary and the rules of gitmirror: what a mirrored
// repository is, where it comes from, when it is synced and what happens to a
// ref when its upstream changes it.
//
// It knows no database, no disk, no wire and no page; those are behind the
// interfaces it declares ([Store], [Fetcher], [Reader]) and import it. It
// imports nothing of ours.
package mirror
