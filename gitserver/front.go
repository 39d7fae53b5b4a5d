package gitserver

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"

	"github.com/gitmirror/gitmirror/mirror"
)

// Front speaks protocol v2 with git clients, whatever the transport. What it can
// it answers by itself: what the server is able to do, the refs, and objects it
// has sent before. All else, and whatever is unusual, goes to git as it came.
// HTTP and SSH share one.
type Front struct {
	Packs Packs
	// Gate bounds the packs made at once; nil = one of its own.
	Gate *Gate
	// Cache keeps what was sent; nil = every fetch is git's.
	Cache *Cache
	// TempDir is for requests that are too large for memory; empty = the system's.
	TempDir string
	Log     *slog.Logger // nil = discard

	once   sync.Once
	bodies *bodies
	habits *habits
	views  *lru[mirror.ID, *view]
	lists  *lru[listKey, *listText]
	held   holding
}

// listKey names an answer to ls-refs.
type listKey struct {
	repo       mirror.ID
	generation uint64
	request    string
}

const (
	keptViews = 32 << 20 // bytes, of the refs that are kept sorted
	keptLists = 64 << 20 // bytes of answers to ls-refs
	listedKey = 4 << 10  // the longest request whose answer is kept
)

// capabilities is what a server of protocol v2 says first. It is the same for
// all repositories; git 2.39, the oldest we run, can do all of it.
const capabilities = "000eversion 2\n" + "0014agent=gitmirror\n" + "0013ls-refs=unborn\n" +
	"0027fetch=shallow wait-for-done filter\n" + "0012server-option\n" + "0017object-format=sha1\n" + "0000"

func (f *Front) init() *Front {
	f.once.Do(func() {
		if f.Gate == nil {
			f.Gate = &Gate{}
		}
		if f.Log == nil {
			f.Log = slog.New(slog.DiscardHandler)
		}
		f.habits = newHabits()
		f.bodies = newBodies(f.TempDir)
		f.views = newLRU[mirror.ID, *view](keptViews)
		f.lists = newLRU[listKey, *listText](keptLists)
	})
	return f
}

// speaksV2 tells whether a checked GIT_PROTOCOL asks for version 2.
func speaksV2(protocol string) bool {
	return protocol == "version=2" || strings.HasPrefix(protocol, "version=2:")
}

// answer answers one request of protocol v2, by who may read the repository, to
// out. An error may come when a part of the answer is out; errBroken says that
// the client cannot know it is not whole unless the connection ends.
func (f *Front) answer(ctx context.Context, who party, repo mirror.Repo, protocol string, in *body, out io.Writer) (command string, err error) {
	command = "fetch"
	if whole, ok := in.whole(); ok {
		if r, ok := parseV2(string(whole)); ok {
			if command = commandName(r.command); command == "ls-refs" {
				done, err := f.list(ctx, repo.ID, r, out)
				if done || err != nil {
					return command, err
				}
			}
			if q, ok := parseFetch(r); ok && f.Cache != nil {
				done, err := f.fetch(ctx, who, repo.ID, q, out)
				if done || err != nil {
					return command, err
				}
			}
		}
	}
	leave, err := f.Gate.enter(ctx, who.principal, repo.ID)
	if err != nil {
		return command, err
	}
	defer leave()
	return command, f.Packs.UploadPack(ctx, repo.ID, protocol, true, false, in, out, io.Discard)
}

// commandName is what the observer hears: a client's text must not become a label.
func commandName(command string) string {
	switch command {
	case "ls-refs", "fetch":
		return command
	}
	return "unknown"
}

// list answers an ls-refs, if it is one we know and the refs are ordinary.
func (f *Front) list(ctx context.Context, id mirror.ID, r v2Request, out io.Writer) (done bool, err error) {
	q, ok := parseList(r)
	if !ok {
		return false, nil
	}
	v, err := f.view(ctx, id)
	if err != nil || v.head == "" { // unborn or detached
		return false, err
	}
	key := listKey{id, v.generation, q.name()}
	text, ok := f.lists.get(key)
	if !ok {
		text = &listText{bytes: q.answer(v)}
		if len(key.request) <= listedKey {
			f.lists.put(key, text, len(text.bytes)+len(key.request)+256)
		}
	}
	if !f.held.take(text) {
		return false, nil // git needs less memory for it
	}
	defer f.held.give(text)
	return true, send(out, text.bytes)
}

// listComing answers an ls-refs for a mirror whose clone still runs.
func (f *Front) listComing(coming mirror.Listing, in *body, out io.Writer) (done bool, err error) {
	whole, ok := in.whole()
	if !ok {
		return false, nil
	}
	r, ok := parseV2(string(whole))
	if !ok {
		return false, nil
	}
	q, ok := parseList(r)
	if !ok {
		return false, nil
	}
	return true, send(out, q.answer(newView(coming, 0)))
}

// view is what clients may see of a repository now.
func (f *Front) view(ctx context.Context, id mirror.ID) (*view, error) {
	now, err := f.Packs.Snapshot(ctx, id)
	if err != nil {
		return nil, err
	}
	if v, ok := f.views.get(id); ok && v.generation == now.Generation {
		return v, nil
	}
	v := newView(now.Listing, now.Generation)
	f.views.put(id, v, 1024+2*48*(len(v.heads)+len(v.tags)))
	return v, nil
}

// sized is an answer that wants to know its length before the first byte.
type sized interface{ willSend(n int64) }

// send writes an answer that is there as a whole.
func send(out io.Writer, text []byte) error {
	if s, ok := out.(sized); ok {
		s.willSend(int64(len(text)))
	}
	for len(text) > 0 { // in pieces: a client has time for each, not for all
		n, err := out.Write(text[:min(len(text), 1<<20)])
		if err != nil {
			return err
		}
		text = text[n:]
	}
	return nil
}
