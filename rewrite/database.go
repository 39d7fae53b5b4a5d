package rewrite

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/sync/errgroup"

	"github.com/gitmirror/gitmirror/mirror"
)

// Database is a public record of what module versions contain: the witness for
// modules that go.sum says nothing about.
type Database interface {
	// Name of the database, for messages.
	Name() string
	// Sums returns what is recorded of each module version, in the same order.
	// An error means that nothing of it may be believed (mirror.ErrIntegrity) or
	// that ctx ended; a database that cannot be asked says so in each Problem.
	Sums(ctx context.Context, modules []mirror.ModuleVersion) ([]Recorded, error)
}

// Recorded is what a Database has of one module version.
type Recorded struct {
	Sums    mirror.Sums
	Problem *mirror.Problem // why there are none; kind ErrNotFound or ErrUpstream
}

// SumDB asks a checksum database of the go command's kind. What it says counts
// only when its log proves it, by the key in DB and by all that was seen of the
// log before.
type SumDB struct {
	DB mirror.SumDB // the zero value is switched off
	// Fetch gets "/lookup/…", "/tile/…" or "/supported" from whoever passes the
	// database on. Its errors are Problems; ErrNotFound means that it has no such thing.
	Fetch func(ctx context.Context, name string) ([]byte, error)
	// Dir remembers what was proven, so that a database that tells different
	// people different stories is found out. Empty = nothing is remembered.
	Dir string
	// Private are modules that are never asked about, in the form of GONOSUMDB.
	Private string
}

// atOnce is how many questions are under way at a time.
const atOnce = 16

// Name is that of the database.
func (s *SumDB) Name() string { return s.DB.Name }

// Sums implements Database.
func (s *SumDB) Sums(ctx context.Context, modules []mirror.ModuleVersion) ([]Recorded, error) {
	all := make([]Recorded, len(modules))
	none := func(p *mirror.Problem) ([]Recorded, error) {
		for i := range all {
			all[i].Problem = p
		}
		return all, nil
	}
	if s.DB.Name == "" {
		return none(&mirror.Problem{Kind: mirror.ErrNotFound, What: "the checksum database is switched off (GOSUMDB=off)"})
	}
	if _, err := s.Fetch(ctx, "/supported"); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		p := mirror.AsProblem(err)
		return none(&mirror.Problem{Kind: mirror.ErrUpstream, What: "the mirror does not pass on the checksum database " + s.DB.Name, Why: p.Error()})
	}
	dir := s.Dir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "gitmirror-sumdb-*"); err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
	}
	ops := &sumOps{SumFiles: s.DB.Files(dir), db: s, ctx: ctx, unknown: map[string]bool{}}
	client := sumdb.NewClient(ops)
	client.SetGONOSUMDB(s.Private)
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i, m := range modules {
		g.Go(func() error {
			all[i] = ops.sums(client, m)
			return nil
		})
	}
	_ = g.Wait()
	switch {
	case ops.fork != "":
		return nil, &mirror.Problem{Code: CodeSum, Kind: mirror.ErrIntegrity,
			What: "the checksum database " + s.DB.Name + " contradicts what it said before", Raw: printable(ops.fork),
			Do: "believe neither the mirror nor the road to the database before you know who tells two stories; nothing was changed"}
	case ops.forged != "":
		return nil, &mirror.Problem{Code: CodeSum, Kind: mirror.ErrIntegrity,
			What: "an answer that should be of the checksum database " + s.DB.Name + " is not", Why: printable(ops.forged),
			Do: "tell the mirror's administrator; nothing was changed"}
	}
	return all, ctx.Err()
}

// sumOps are what a sumdb.Client needs for one run.
type sumOps struct {
	*mirror.SumFiles
	db  *SumDB
	ctx context.Context // of the run; the interface has no room for it

	mu      sync.Mutex
	unknown map[string]bool // questions that were answered "no such thing"
	down    error           // no answer: the other questions need not be asked
	fork    string
	forged  string
}

// sums asks about one module version.
func (o *sumOps) sums(client *sumdb.Client, m mirror.ModuleVersion) Recorded {
	var sums mirror.Sums
	for version, hash := range map[string]*string{m.Version: &sums.Zip, m.Version + "/go.mod": &sums.Mod} {
		lines, err := client.Lookup(m.Path, version)
		if err != nil {
			return Recorded{Problem: o.explain(m, err)}
		}
		for _, line := range lines {
			if fields := strings.Fields(line); len(fields) == 3 && isHash(fields[2]) {
				*hash = fields[2]
			}
		}
	}
	return Recorded{Sums: sums}
}

// explain is why there are no sums; the client gives but text.
func (o *sumOps) explain(m mirror.ModuleVersion, err error) *mirror.Problem {
	o.mu.Lock()
	defer o.mu.Unlock()
	p, err1 := module.EscapePath(m.Path)
	v, err2 := module.EscapeVersion(m.Version)
	switch {
	case errors.Is(err, sumdb.ErrGONOSUMDB):
		return &mirror.Problem{Kind: mirror.ErrNotFound, What: "GONOSUMDB or GOPRIVATE keeps it from the checksum database"}
	case err1 != nil || err2 != nil:
		return &mirror.Problem{Kind: mirror.ErrNotFound, What: "the checksum database knows no such path"}
	case o.unknown["/lookup/"+p+"@"+v]:
		return &mirror.Problem{Kind: mirror.ErrNotFound, What: "the checksum database " + o.db.DB.Name + " does not know it"}
	case o.down != nil:
		return &mirror.Problem{Kind: mirror.ErrUpstream, What: "the checksum database " + o.db.DB.Name + " cannot be asked", Why: mirror.AsProblem(o.down).Error()}
	}
	if o.forged == "" && o.fork == "" {
		o.forged = err.Error()
	}
	return &mirror.Problem{Kind: mirror.ErrIntegrity, What: "the answer is not the checksum database's"}
}

// ReadConfig adds the key to the files.
func (o *sumOps) ReadConfig(name string) ([]byte, error) {
	if name == "key" {
		return []byte(o.db.DB.Key), nil
	}
	return o.SumFiles.ReadConfig(name)
}

// ReadRemote asks whoever passes the database on.
func (o *sumOps) ReadRemote(name string) ([]byte, error) {
	o.mu.Lock()
	down := o.down
	o.mu.Unlock()
	if down != nil {
		return nil, down
	}
	data, err := o.db.Fetch(o.ctx, name)
	if err == nil {
		return data, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if errors.Is(err, mirror.ErrNotFound) {
		o.unknown[name] = true
	} else if o.down == nil {
		o.down = err
	}
	return nil, err
}

// Log is never called by the client.
func (o *sumOps) Log(string) {}

// SecurityError is called with the proof of a fork.
func (o *sumOps) SecurityError(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fork = text
}
