// Package git keeps bare repositories on disk, brings them in from upstream and
// hands them out. It is the only package that starts processes and the only one
// that knows go-git.
//
// The heavy work (fetch, index, serve, repack, archive) is done by the git
// binary, always through one function with an environment built from scratch.
// Asking an upstream over http is done in-process, because a child process hides
// status codes and addresses: listing it, and fetching, where git index-pack
// takes the pack and judges it. ssh and servers without protocol version 2 are
// left to git fetch. What needs no more than the refs is answered from memory:
// listing them, and the first answers of protocol version 2. What a
// small sync wants to know of its objects is read from the packs (packread.go),
// and git asked only where that does not tell. go-git reads commits and trees
// for people and modules; it writes refs in place, so it never writes here.
//
// Layout below [Disk].Root, where a name always is an id or random and never
// text of a stranger:
//
//	repos/<id>.git                     served; appears by rename, leaves by rename
//	repos/<id>.git/objects/gm-incoming-*   quarantine of a running fetch
//	staging/<id>-*.git                 first clones in one piece
//	staging/<id>.git                   first clones in steps; they survive a restart
//	trash/                             the only place where trees are deleted
//
// All refs of a repository live in its packed-refs file, which is replaced
// whole under git's own lock: readers see all of a sync or nothing of it.
//
// Whatever goes out passes one guard (guard.go, dial.go): our own clients dial
// through it, and a git that we start reaches the net only through a gate made
// of it (gateproxy.go).
//
// One process owns a Root.
package git
