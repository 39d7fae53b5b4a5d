package modproxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/singleflight"

	"github.com/gitmirror/gitmirror/mirror"
)

// SumDB passes one checksum database on: what it gives out it has proven to be
// of one growing log with all it gave out before, and has kept, so that it goes
// on answering when the database cannot be reached. Its methods fail with a
// Problem of kind ErrNotFound (the database has no such thing), ErrInvalid,
// ErrUpstream (it cannot be asked) or ErrIntegrity (it contradicts itself).
type SumDB struct {
	DB mirror.SumDB
	// Proxies says how to reach it, in the form of a GOPROXY setting: the first
	// that passes the database on is asked. "direct", or nothing, is the
	// database itself; "off" is nobody.
	Proxies string
	// Client goes out.
	Client *http.Client
	// Dir keeps what was proven.
	Dir string
	Log *slog.Logger // nil = nobody

	once   sync.Once
	files  *mirror.SumFiles
	flight singleflight.Group
	road   road
	pace   pace // of those who had to hear that it does not know something

	mu     sync.Mutex
	asked  time.Time // when the newest tree was asked for last
	failed error     // why there was no answer; nil = there was
}

// How long one question may take, whoever waits for it; how long somebody waits
// for a newer tree than we have; for how long the newest tree is taken for the
// newest; and how soon it is asked for again by who knows of a newer one, or
// when there was no answer.
const (
	sumWait   = 30 * time.Second
	treeWait  = 5 * time.Second
	treeFresh = time.Minute
	treeSoon  = time.Second
	treeRetry = 10 * time.Second
)

func (s *SumDB) init() {
	s.once.Do(func() {
		s.files = s.DB.Files(s.Dir)
		s.road.db, s.road.proxies, s.road.client = s.DB, s.Proxies, s.Client
	})
}

// Answer gives what is behind "sumdb/NAME/" in a request: "supported", "latest",
// "lookup/MODULE@VERSION" or "tile/8/…". forever says that it never changes.
func (s *SumDB) Answer(ctx context.Context, question string) (data []byte, forever bool, err error) {
	s.init()
	switch kind, rest, _ := strings.Cut(question, "/"); {
	case question == "supported":
		return nil, false, s.supported(ctx)
	case question == "latest":
		data, err = s.latest(ctx)
		return data, false, err
	case kind == "lookup":
		m, err := parseLookup(rest)
		if err != nil {
			return nil, false, err
		}
		data, err = s.lookup(ctx, m)
		return data, true, err
	case kind == "tile":
		t, err := tlog.ParseTilePath(question)
		if err != nil || t.H != mirror.TileHeight || t.L < 0 || t.L > 7 || t.N > 1<<40 {
			return nil, false, noSuchSum("there is no such tile")
		}
		data, err = s.tile(ctx, t)
		return data, true, err
	}
	return nil, false, noSuchSum("a checksum database answers supported, latest, lookup/ and tile/")
}

// parseLookup reads MODULE@VERSION as it stands in a URL.
func parseLookup(text string) (module.Version, error) {
	escapedPath, escapedVersion, _ := strings.Cut(text, "@")
	p, err1 := module.UnescapePath(escapedPath)
	v, err2 := module.UnescapeVersion(escapedVersion)
	if len(text) > 2*maxPathBytes || err1 != nil || err2 != nil || module.Check(p, v) != nil {
		return module.Version{}, &mirror.Problem{Code: mirror.CodeBadPath, Kind: mirror.ErrInvalid,
			What: show(text) + " is not a module and a version", Do: "write MODULE@VERSION, upper case as !lower"}
	}
	return module.Version{Path: p, Version: v}, nil
}

func noSuchSum(what string) error {
	return &mirror.Problem{Code: mirror.CodeNoVersion, Kind: mirror.ErrNotFound, What: what}
}

// supported tells whether questions can be answered: the go command asks nobody
// else once we said so.
func (s *SumDB) supported(ctx context.Context) error {
	_, err := s.latest(ctx)
	return err
}

// latest is the newest signed tree: of the database, or of those we know.
func (s *SumDB) latest(ctx context.Context) ([]byte, error) {
	known, err := s.files.ReadConfig(s.DB.Name + "/latest")
	if err != nil {
		return nil, err
	}
	wait := ctx
	if len(known) > 0 {
		var cancel context.CancelFunc
		wait, cancel = context.WithTimeout(ctx, treeWait)
		defer cancel()
	}
	if err := s.refresh(wait, treeFresh); err != nil && (len(known) == 0 || ctx.Err() != nil || errors.Is(err, mirror.ErrIntegrity)) {
		return nil, err
	}
	return s.files.ReadConfig(s.DB.Name + "/latest")
}

// refresh asks for the newest tree, unless that was done within age, and takes
// it when the tree we have is a part of it. Who waits meanwhile shares the answer.
func (s *SumDB) refresh(ctx context.Context, age time.Duration) error {
	s.mu.Lock()
	asked, failed := s.asked, s.failed
	s.mu.Unlock()
	switch since := time.Since(asked); {
	case failed != nil && since < treeRetry:
		return failed
	case failed == nil && since < age:
		return nil
	}
	_, err := s.shared(ctx, "latest", func(ctx context.Context) ([]byte, error) {
		err := s.takeLatest(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked, s.failed = time.Now(), err
		return nil, err
	})
	return err
}

func (s *SumDB) takeLatest(ctx context.Context) error {
	data, err := s.road.get(ctx, "/latest")
	if err != nil {
		return err
	}
	for {
		known, err := s.files.ReadConfig(s.DB.Name + "/latest")
		if err != nil {
			return err
		}
		newer, err := s.follows(ctx, known, data)
		if err != nil || !newer {
			return err
		}
		if err := s.files.WriteConfig(s.DB.Name+"/latest", known, data); !errors.Is(err, sumdb.ErrWriteConflict) {
			return err
		}
	}
}

// follows tells whether the signed tree now is newer than known. One of the two
// must be a part of the other.
func (s *SumDB) follows(ctx context.Context, known, now []byte) (bool, error) {
	next, err := s.tree(now)
	if err != nil {
		return false, err
	}
	var before tlog.Tree
	if len(known) > 0 {
		if before, err = s.tree(known); err != nil {
			return false, err
		}
	}
	older, newer := before, next
	if next.N < before.N {
		older, newer = next, before
	}
	if older.N == 0 {
		return next.N > before.N || len(known) == 0, nil
	}
	hash, err := tlog.TreeHash(older.N, s.hashes(ctx, newer))
	if err != nil {
		return false, s.unproven(ctx, err)
	}
	if hash != older.Hash {
		return false, s.forked(fmt.Sprintf("its tree of %d records is not a part of its tree of %d", older.N, newer.N))
	}
	return next.N > before.N, nil
}

// tree opens a signed tree.
func (s *SumDB) tree(signed []byte) (tlog.Tree, error) {
	verifier, err := note.NewVerifier(s.DB.Key)
	if err != nil {
		return tlog.Tree{}, err
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, s.forged("its tree is not signed with its key")
	}
	tree, err := tlog.ParseTree([]byte(opened.Text))
	if err != nil {
		return tlog.Tree{}, s.forged("what it signed is no tree")
	}
	return tree, nil
}

// lookupFile is where the record of a module version is kept.
func (s *SumDB) lookupFile(m module.Version) (string, error) {
	escapedPath, err := module.EscapePath(m.Path)
	if err != nil {
		return "", err
	}
	escapedVersion, err := module.EscapeVersion(m.Version)
	return path.Join(s.DB.Name, "lookup", escapedPath+"@"+escapedVersion), err
}

// lookup is the record of a module version.
func (s *SumDB) lookup(ctx context.Context, m module.Version) ([]byte, error) {
	file, err := s.lookupFile(m)
	if err != nil {
		return nil, err
	}
	if data, err := s.files.ReadCache(file); err == nil {
		return data, nil
	}
	return s.shared(ctx, file, func(ctx context.Context) ([]byte, error) {
		ops := &sumOps{SumFiles: s.files, db: s, ctx: ctx}
		// A client of its own for each: it remembers failures for ever.
		began := time.Now()
		if _, err := sumdb.NewClient(ops).Lookup(m.Path, m.Version); err != nil {
			if err = ops.explain(m, err); errors.Is(err, mirror.ErrNotFound) {
				s.pace.add(time.Since(began))
			}
			return nil, err
		}
		if ops.record == nil { // it has come between our look into what is kept and the client's
			return s.files.ReadCache(file)
		}
		return ops.record, nil
	})
}

// tile is a piece of the log: hashes, each proven to be in the newest tree.
func (s *SumDB) tile(ctx context.Context, t tlog.Tile) ([]byte, error) {
	name := s.DB.Name + "/" + t.Path()
	if data, err := s.files.ReadCache(name); err == nil {
		return data, nil
	}
	return s.shared(ctx, name, func(ctx context.Context) ([]byte, error) {
		for range 2 {
			signed, err := s.files.ReadConfig(s.DB.Name + "/latest")
			if err != nil {
				return nil, err
			}
			var tree tlog.Tree
			if len(signed) > 0 {
				if tree, err = s.tree(signed); err != nil {
					return nil, err
				}
			}
			if last := t.N<<mirror.TileHeight + int64(t.W); last <= tree.N>>(mirror.TileHeight*t.L) {
				return s.proven(ctx, tree, t)
			}
			if err := s.refresh(ctx, treeSoon); err != nil { // who asks knows a larger tree
				return nil, err
			}
		}
		return nil, noSuchSum("the database has no such tile yet")
	})
}

// proven reads the hashes of a tile through the tree that holds them.
func (s *SumDB) proven(ctx context.Context, tree tlog.Tree, t tlog.Tile) ([]byte, error) {
	indexes := make([]int64, t.W)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(t.L*mirror.TileHeight, t.N<<mirror.TileHeight+int64(i))
	}
	hashes, err := s.hashes(ctx, tree).ReadHashes(indexes)
	if err != nil {
		return nil, s.unproven(ctx, err)
	}
	data := make([]byte, 0, len(hashes)*tlog.HashSize)
	for _, h := range hashes {
		data = append(data, h[:]...)
	}
	return data, nil
}

func (s *SumDB) hashes(ctx context.Context, tree tlog.Tree) tlog.HashReader {
	return tlog.TileHashReader(tree, &tiles{db: s, ctx: ctx})
}

// shared lets those who ask the same at the same time share one answer, which
// outlives who asked first.
func (s *SumDB) shared(ctx context.Context, key string, ask func(context.Context) ([]byte, error)) ([]byte, error) {
	done := s.flight.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sumWait)
		defer cancel()
		return ask(ctx)
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case result := <-done:
		data, _ := result.Val.([]byte)
		return data, result.Err
	}
}

// forked is the finding that the database tells different stories.
func (s *SumDB) forked(why string) error {
	if s.Log != nil {
		s.Log.Error("checksum database contradicts itself", "db", s.DB.Name, "err", why)
	}
	return &mirror.Problem{Code: mirror.CodeModuleSum, Kind: mirror.ErrIntegrity,
		What: "the checksum database " + s.DB.Name + " contradicts what it said before", Why: why,
		Do: "nothing of it is passed on; find out who answers for it on the way there"}
}

// forged is the finding that an answer is not the database's.
func (s *SumDB) forged(why string) error {
	if s.Log != nil {
		s.Log.Error("answer is not the checksum database's", "db", s.DB.Name, "err", why)
	}
	return &mirror.Problem{Code: mirror.CodeModuleSum, Kind: mirror.ErrIntegrity,
		What: "an answer that should be of the checksum database " + s.DB.Name + " is not", Why: why,
		Do: "find out who answers for it on the way there (settings modules.proxies and modules.sumdb)"}
}

// unproven explains why a proof could not be had.
func (s *SumDB) unproven(ctx context.Context, err error) error {
	var known *mirror.Problem
	switch {
	case errors.As(err, &known), ctx.Err() != nil:
		return err
	}
	return s.forged(show(err.Error()))
}
