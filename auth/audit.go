package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// Deed is an entry of the audit trail: who did what, when, from where, and what
// it changed. It holds no secrets.
type Deed struct {
	At time.Time `json:"at"`
	// Actor is the name of the user then; empty = nobody who signed in, or the
	// server itself.
	Actor   string `json:"actor,omitempty"`
	ActorID string `json:"actor_id,omitempty"`
	Via     Via    `json:"via,omitempty"`
	// Credential is the id of the token, or the fingerprint of the key.
	Credential string `json:"credential,omitempty"`
	Addr       string `json:"addr,omitempty"`   // of the peer
	Client     string `json:"client,omitempty"` // what it calls itself: User-Agent
	// Action is the id of the operation of the API that does this, whichever road
	// was taken: "edit-mirror".
	Action string `json:"action"`
	// Objects are what it was done to: "mirror github.com/spf13/cobra".
	Objects []string `json:"objects,omitempty"`
	Outcome Outcome  `json:"outcome"`
	Status  int      `json:"status,omitempty"` // of HTTP
	Code    string   `json:"code,omitempty"`   // of the error catalogue, when it did not succeed
	Request string   `json:"request,omitempty"`
	Changes []Change `json:"changes,omitempty"`
}

// Outcome is how a deed ended.
type Outcome string

// The outcomes.
const (
	Succeeded Outcome = "done"
	Refused   Outcome = "refused" // the caller may not, or what was asked cannot be right
	Failed    Outcome = "failed"  // trouble of ours
)

// ByServer is the Via of what the server does by itself.
const ByServer Via = "server"

// Change is what became of one field. A secret is "(set)".
type Change struct {
	Object string `json:"object,omitempty"` // when the deed has several
	Field  string `json:"field"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// Bounds of what an entry holds.
const (
	maxDeedChanges = 200
	maxDeedObjects = 200
	maxDeedText    = 500 // bytes of one value
)

// AuditRecord is a deed in its place in the chain.
type AuditRecord struct {
	Seq  int64 // 1, 2, 3, …
	Hash string
	// Entry is the deed as it was hashed.
	Entry json.RawMessage
	Deed  Deed
}

// AuditQuery selects entries, newest first. The zero value selects the newest 100.
type AuditQuery struct {
	Actor   string // name of a user, in any case; "-" = nobody and the server
	Action  string
	Object  string // part of it, in any case
	Outcome Outcome
	Since   time.Time
	Until   time.Time // before it
	Before  int64     // Seq to page behind; zero = from the newest
	Limit   int       // zero = 100; at most 1,000
	// Oldest turns the order round; After is then the Seq to page behind.
	Oldest bool
	After  int64
}

// AuditStore keeps the trail.
type AuditStore interface {
	// AddDeed puts a deed at the end of the chain, also while other servers do.
	AddDeed(ctx context.Context, d Deed) error
	Deeds(ctx context.Context, q AuditQuery) ([]AuditRecord, error)
	// AuditHead is the end of the chain as it was remembered apart from it.
	AuditHead(ctx context.Context) (seq int64, hash string, err error)
}

// LinkHash is the hash of an entry: it covers the entry, its place, and by the
// hash before it all that came before.
func LinkHash(before string, seq int64, entry []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "gitmirror audit 1\n%s\n%d\n", before, seq)
	h.Write(entry)
	return hex.EncodeToString(h.Sum(nil))
}

// Chain checks entries one after another. The zero value begins with the first;
// a Seq and Hash that somebody kept begin behind that entry.
type Chain struct {
	Seq  int64
	Hash string
}

// Next checks that r follows, unchanged. The error is of kind ErrIntegrity and
// names the place.
func (c *Chain) Next(r AuditRecord) error {
	if r.Seq != c.Seq+1 {
		return broken(c.Seq+1, fmt.Sprintf("entry %d is followed by entry %d", c.Seq, r.Seq))
	}
	if LinkHash(c.Hash, r.Seq, r.Entry) != r.Hash {
		return broken(r.Seq, "its hash does not follow from its text and the hash before it")
	}
	c.Seq, c.Hash = r.Seq, r.Hash
	return nil
}

func broken(seq int64, why string) error {
	return &mirror.Problem{
		Code: "E5201", Kind: mirror.ErrIntegrity, What: fmt.Sprintf("the audit trail is broken at entry %d", seq), Why: why,
		Do: "compare it with an export or a backup from before; whoever did this could write to the database",
	}
}

// VerifyAudit reads the whole chain and returns its end. kept, unless zero, is an
// end that somebody noted earlier: it must be on the way.
func VerifyAudit(ctx context.Context, store AuditStore, kept Chain) (Chain, error) {
	var c Chain
	met := kept.Seq == 0
	for {
		list, err := store.Deeds(ctx, AuditQuery{Oldest: true, After: c.Seq, Limit: 1000})
		if err != nil {
			return c, err
		}
		for _, r := range list {
			if err := c.Next(r); err != nil {
				return c, err
			}
			if c.Seq == kept.Seq {
				if c.Hash != kept.Hash {
					return c, broken(c.Seq, "it is not the entry that was noted: the trail was written anew")
				}
				met = true
			}
		}
		if len(list) == 0 {
			break
		}
	}
	seq, hash, err := store.AuditHead(ctx)
	if err != nil {
		return c, err
	}
	if seq > c.Seq { // entries may have been added since
		later, err := store.Deeds(ctx, AuditQuery{Oldest: true, After: c.Seq, Limit: 1})
		if err != nil {
			return c, err
		}
		if len(later) == 0 {
			return c, broken(c.Seq+1, fmt.Sprintf("the last %d entries are missing", seq-c.Seq))
		}
	} else if seq < c.Seq || hash != c.Hash {
		return c, broken(c.Seq, "it is not the end that was remembered")
	}
	if !met {
		return c, broken(kept.Seq, "the entry that was noted is not there")
	}
	return c, nil
}
