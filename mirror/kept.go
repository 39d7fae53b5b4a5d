package mirror

import (
	"slices"
	"sort"
	"strings"
	"time"
)

// KeptWhy is why a ref was kept when upstream took it away.
type KeptWhy string

// The reasons. A ref that an older version kept has none.
const (
	KeptDeleted  KeptWhy = "deleted"  // upstream dropped it
	KeptForced   KeptWhy = "forced"   // a branch was rewritten
	KeptMoved    KeptWhy = "moved"    // a tag that was followed
	KeptLeftOut  KeptWhy = "left-out" // the ref policy leaves it out now
	KeptReplaced KeptWhy = "replaced" // it was restored here, and upstream wants the name
)

// keptStamp is the time in the name of a kept ref, UTC.
const keptStamp = "20060102T150405Z"

// Kept is a ref that upstream no longer has as it was, with what it was.
type Kept struct {
	Ref  Ref       // under KeptPrefix
	Name string    // what it was called: "refs/heads/main"
	At   time.Time // when it was kept, to the second
	Why  KeptWhy
}

// ParseKept reads the name of a kept ref: refs/gitmirror/kept/TIME-WHY/heads/main.
func ParseKept(r Ref) (Kept, bool) {
	rest, ok := strings.CutPrefix(r.Name, KeptPrefix)
	stamp, name, found := strings.Cut(rest, "/")
	if !ok || !found {
		return Kept{}, false
	}
	when, why, _ := strings.Cut(stamp, "-")
	at, err := time.Parse(keptStamp, when)
	if err != nil {
		return Kept{}, false
	}
	return Kept{Ref: r, Name: "refs/" + name, At: at, Why: KeptWhy(why)}, true
}

// Kept are the refs that upstream no longer has, the newest first.
func (l Listing) Kept() []Kept {
	var out []Kept
	for _, r := range slices.Backward(l.under(KeptPrefix)) {
		if k, ok := ParseKept(r); ok {
			out = append(out, k)
		}
	}
	return out
}

// Ours tells whether a branch or tag is served because a person wants it and
// not because upstream has it.
func (l Listing) Ours(name string) bool {
	_, ok := l.Ref(oursName(name))
	return ok
}

// under are the refs whose names begin with prefix, which ends in "/".
func (l Listing) under(prefix string) []Ref {
	from := sort.Search(len(l.Refs), func(i int) bool { return l.Refs[i].Name >= prefix })
	n := sort.Search(len(l.Refs)-from, func(i int) bool { return !strings.HasPrefix(l.Refs[from+i].Name, prefix) })
	return l.Refs[from : from+n : from+n]
}

// keeper names what one transaction keeps. No two transactions share a time, so
// that no name is taken.
type keeper struct{ stamp string }

func newKeeper(have Listing, now time.Time) keeper {
	for {
		stamp := now.UTC().Format(keptStamp)
		i := sort.Search(len(have.Refs), func(i int) bool { return have.Refs[i].Name >= KeptPrefix+stamp })
		if i == len(have.Refs) || !strings.HasPrefix(have.Refs[i].Name, KeptPrefix+stamp) {
			return keeper{stamp}
		}
		now = now.Add(time.Second)
	}
}

func (k keeper) keep(name, hash string, why KeptWhy) RefUpdate {
	return RefUpdate{Name: KeptPrefix + k.stamp + "-" + string(why) + "/" + strings.TrimPrefix(name, "refs/"), New: hash}
}

func oursName(ref string) string { return OursPrefix + strings.TrimPrefix(ref, "refs/") }
func heldName(ref string) string { return HeldPrefix + strings.TrimPrefix(ref, "refs/") }
func goneName(ref string) string { return HeldPrefix + "gone/" + strings.TrimPrefix(ref, "refs/") }
