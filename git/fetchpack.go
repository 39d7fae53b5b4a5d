package git

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/gitmirror/gitmirror/mirror"
)

// The fetch command of protocol version 2 (gitprotocol-v2), asked by this
// process: one request that names what is wanted and what is there, whose answer
// is a pack that git indexes and checks.

const (
	// maxHaves is how many commits of ours an upstream is told of.
	maxHaves    = 256
	maxTagHaves = 64
	// fewObjects is a pack that is indexed before anybody could look at progress.
	fewObjects = 1000
	// maxProgressText is how much of an upstream's messages is looked at.
	maxProgressText = 1 << 20
)

// errNoPack is an answer to fetch that ends without a pack.
var errNoPack = errors.New("no pack came")

// receive fetches the missing objects into the quarantine.
func (in *incoming) receive(ctx context.Context, from mirror.Remote, want []mirror.Ref, missing []string, m *meter) error {
	ctx, stop := in.watched(ctx, m)
	defer stop()
	m.enter(mirror.Negotiating)
	x, err := in.disk.talk(ctx, from, newPhases(), func(int) {})
	if err != nil {
		return err
	}
	x.identity = true
	reading, unread := context.WithCancelCause(ctx)
	defer unread(nil)
	body, err := x.ask(reading, http.MethodPost, "/git-upload-pack", x.fetchRequest(missing, in.haves(ctx, want)), resultType)
	if err == nil {
		err = in.take(ctx, x, body, unread, m)
		_ = body.Close()
	}
	if err != nil && errors.Is(context.Cause(ctx), errStalled) {
		return in.disk.explain(ctx, err, from)
	}
	return err
}

// fetchRequest asks for everything in one round: "done" says that what we have
// is all told.
func (x *talk) fetchRequest(wants, haves []string) []byte {
	ask := make([]byte, 0, 256+50*(len(wants)+len(haves)))
	line := func(parts ...string) { ask = append(ask, pkt(strings.Join(parts, ""))...) }
	line("command=fetch")
	line("agent=", x.disk.userAgent())
	line("object-format=sha1")
	ask = append(ask, "0001"...)
	line("ofs-delta")
	if len(haves) > 0 {
		line("thin-pack")
	}
	for _, id := range wants {
		line("want ", id, "\n")
	}
	for _, id := range haves {
		line("have ", id, "\n")
	}
	line("done\n")
	return append(ask, "0000"...)
}

// haves are commits of ours that upstream likely has: first those that the
// wanted refs were at, then the other branches and the latest releases.
func (in *incoming) haves(ctx context.Context, want []mirror.Ref) []string {
	if in.first {
		return nil
	}
	have, err := in.disk.Refs(ctx, in.id)
	if err != nil {
		return nil // a larger pack does as well
	}
	var ids []string
	told := map[string]bool{}
	tell := func(r mirror.Ref) {
		if id := r.Commit(); id != "" && len(ids) < maxHaves && !told[id] {
			told[id] = true
			ids = append(ids, id)
		}
	}
	if head, ok := have.Ref(have.Head); ok {
		tell(head)
	}
	for _, w := range want {
		if old, ok := have.Ref(w.Name); ok {
			tell(old)
		}
	}
	var latest []int // tags, the latest first
	later := func(a, b int) bool { return semver.Compare(have.Refs[a].Short(), have.Refs[b].Short()) > 0 }
	for i, r := range slices.Backward(have.Refs) { // by name, so that most of the latest come first
		if !r.IsTag() {
			continue
		}
		if len(latest) == maxTagHaves {
			if !later(i, latest[maxTagHaves-1]) {
				continue
			}
			latest = latest[:maxTagHaves-1]
		}
		at, _ := slices.BinarySearchFunc(latest, i, func(there, i int) int {
			return semver.Compare(have.Refs[i].Short(), have.Refs[there].Short())
		})
		latest = slices.Insert(latest, at, i)
	}
	for _, r := range have.Refs {
		if r.IsHead() {
			tell(r)
		}
	}
	for _, i := range latest {
		tell(have.Refs[i])
	}
	return ids
}

// take reads the answer to fetch; unread ends the reading.
func (in *incoming) take(ctx context.Context, x *talk, body io.Reader, unread context.CancelCauseFunc, m *meter) error {
	pkts, done := in.disk.state.wire.reader(body)
	defer done()
	line, kind, err := pkts.line()
	if err != nil {
		return unexpected(err)
	}
	if kind != pktData || string(line) != "packfile" {
		return errPkt // a section that was not asked for
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ix := &indexer{in: in, ctx: ctx, meter: m, from: x.from, unread: unread}
	messages := &tail{line: func(line string) bool { return m.take("remote: " + line) }}
	broke := demultiplex(pkts, ix, messages, m)
	if broke != nil && !ix.gaveUp() {
		cancel(broke) // ends git
		_ = ix.finish()
		return broke
	}
	if err := ix.finish(); err != nil {
		return err
	}
	return broke
}

// demultiplex takes the bands of a pack section apart, up to its end.
func demultiplex(pkts pktReader, pack *indexer, messages *tail, m *meter) error {
	said := 0
	for {
		data, kind, err := pkts.packet()
		if err != nil {
			return unexpected(err)
		}
		if kind != pktData {
			if kind == pktFlush {
				return nil
			}
			return errPkt
		}
		if len(data) == 0 {
			return errPkt
		}
		band, data := data[0], data[1:]
		switch band {
		case 1:
			m.add(len(data))
			if err := pack.write(data); err != nil {
				return err
			}
		case 2:
			if said += len(data); said <= maxProgressText {
				_, _ = messages.Write(data)
			}
		case 3:
			return &peerError{text: clean(strings.TrimSpace(string(data)), nil)}
		default:
			return errPkt
		}
	}
}

// indexer gives a pack to git index-pack, which stores it in the quarantine,
// checks every object as fsck does, and that everything they name is there:
// in the pack, or in what we had, which is complete. A first clone's pack must
// be complete by itself.
type indexer struct {
	in    *incoming
	ctx   context.Context // of the process
	meter *meter
	from  mirror.Remote

	unread  context.CancelCauseFunc // ends the reading of what comes
	start   []byte                  // what came before git was started
	git     *process
	refused bool          // git took no more
	ended   chan struct{} // closed when git has ended
	err     error         // how, then
}

const packHead = 12

func (ix *indexer) write(data []byte) error {
	if ix.git == nil {
		ix.start = append(ix.start, data...)
		if len(ix.start) < packHead {
			return nil
		}
		if err := ix.begin(); err != nil {
			return err
		}
		data = ix.start
		ix.start = nil
	}
	_, err := ix.git.stdin.Write(data)
	ix.refused = err != nil
	return err
}

func (ix *indexer) begin() error {
	if string(ix.start[:4]) != "PACK" {
		return corrupt(ix.from, "the pack is damaged", "it does not begin with PACK")
	}
	ix.meter.enter(mirror.Receiving)
	args := []string{"index-pack", "--stdin"}
	// What is moved in is synced then, file by file.
	config := [][2]string{{"core.fsync", "none"}}
	if binary.BigEndian.Uint32(ix.start[8:packHead]) < fewObjects {
		config = append(config, [2]string{"pack.writeReverseIndex", "false"})
	} else {
		args = append(args, "-v")
	}
	if ix.in.first {
		args = append(args, "--check-self-contained-and-connected")
	} else {
		args = append(args, "--fix-thin")
	}
	var tolerated []string
	for _, fault := range fsckTolerated {
		tolerated = append(tolerated, fault+"=ignore")
	}
	args = append(args, "--strict="+strings.Join(tolerated, ","))
	var err error
	ix.git, err = ix.in.disk.start(ix.ctx, ix.in.command(command{args: args, config: config, piped: true, line: ix.meter.take}))
	if err != nil {
		return err
	}
	ix.ended = make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, ix.git.stdout)
		ix.err = ix.git.wait()
		close(ix.ended)
		if ix.err != nil {
			ix.unread(ix.err) // who is silent would be waited for in vain
		}
	}()
	return nil
}

// gaveUp tells whether git ended before the pack did, which is then the reason
// of whatever else went wrong.
func (ix *indexer) gaveUp() bool {
	if ix.git == nil {
		return false
	}
	select {
	case <-ix.ended:
		return ix.err != nil
	default:
		return ix.refused
	}
}

// finish ends the pack and waits for git's judgement.
func (ix *indexer) finish() error {
	if ix.git == nil {
		return errNoPack
	}
	_ = ix.git.stdin.Close()
	<-ix.ended
	var f *failure
	if ix.in.first && errors.As(ix.err, &f) && f.code == 1 && f.cause == nil && f.stderr == "" { // how it says so
		return corrupt(ix.from, "objects its refs need are missing", "the pack is not complete by itself")
	}
	return ix.err
}
