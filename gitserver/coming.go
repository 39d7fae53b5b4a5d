package gitserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

const (
	// tellEvery is how often a client that waits hears something, news or not:
	// proxies on the way close what is silent.
	tellEvery = time.Second
	packfile  = "000dpackfile\n" // gitprotocol-v2, the section behind which side-bands begin
)

// plainClone tells whether a request is a v2 fetch of everything by a client
// that has nothing, so that the pack is the first section of the answer.
func plainClone(in *body) bool {
	whole, ok := in.whole()
	if !ok {
		return false
	}
	lines, ok := pktTexts(whole)
	if !ok || len(lines) == 0 || lines[0] != "command=fetch" || !slices.Contains(lines, "done") {
		return false
	}
	for _, l := range lines {
		word, _, _ := strings.Cut(l, " ")
		switch word {
		case "have", "shallow", "deepen", "deepen-since", "deepen-not", "deepen-relative",
			"want-ref", "sideband-all", "packfile-uris", "wait-for-done":
			return false
		}
	}
	return true
}

// cloneComing answers a clone of a mirror whose own first clone still runs: how
// that goes, then the pack.
func (h *HTTP) cloneComing(w *answer, r *http.Request, id auth.Identity, repo mirror.Repo, protocol string, in *body) error {
	leave, err := h.Gate.wait(principal(id, h.peer(r)))
	if err != nil {
		return err
	}
	defer leave()
	resultHead(w)
	if _, err := io.WriteString(w, packfile); err != nil {
		return context.Canceled
	}
	texts, _ := pktTexts(in.start)
	say := &teller{name: string(repo.Path), quiet: slices.Contains(texts, "no-progress"), send: func(text string) error {
		return sideband(w, 2, text)
	}}
	cloned, _, err := waitTelling(r.Context(), h.Catalog, repo, say, false)
	if err == nil {
		err = h.Policy.Reads(r.Context(), id, cloned.Path, cloned.Private)
	}
	leave()
	out := &behindPackfile{w: w}
	if err == nil {
		_, err = h.Front.answer(r.Context(), party{principal(id, h.peer(r)), w.flow}, cloned, protocol, in, out)
	}
	if !out.open && mirror.AsProblem(err) != nil && mirror.AsProblem(err).Kind != "" {
		return h.refuseInBand(w, r, repo, err)
	}
	if err := h.ended(w, r, cloned, err); err != nil {
		return err
	}
	return out.close()
}

// refuseInBand ends an answer that has begun, with the reason.
func (h *HTTP) refuseInBand(w *answer, r *http.Request, repo mirror.Repo, err error) error {
	if r.Context().Err() != nil {
		return r.Context().Err()
	}
	if p := mirror.AsProblem(err); p.Kind == "" {
		h.Log.Error("git request failed", "path", r.URL.Path, "addr", h.peer(r), "err", err)
	}
	if sendErr := sideband(w, 3, sentence(mirror.AsProblem(err))); sendErr != nil {
		return context.Canceled
	}
	io.WriteString(w, "0000")
	return err
}

// waitTelling waits for a first clone and tells how it goes. With refsDo it also
// returns when what the clone will serve is known; the mirror is not served then.
func waitTelling(ctx context.Context, catalog Catalog, repo mirror.Repo, say *teller, refsDo bool) (mirror.Repo, mirror.Listing, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	news := make(chan mirror.Progress, 1)
	type ended struct {
		repo mirror.Repo
		err  error
	}
	done := make(chan ended, 1)
	go func() {
		cloned, err := catalog.FirstClone(ctx, repo, func(p mirror.Progress) {
			select {
			case <-news: // the latest counts
			default:
			}
			news <- p
		})
		done <- ended{cloned, err}
	}()
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case e := <-done:
			if e.err != nil {
				if ctx.Err() != nil {
					return repo, mirror.Listing{}, context.Cause(ctx)
				}
				return repo, mirror.Listing{}, notCloned(ctx, repo, say.last, e.err)
			}
			return e.repo, mirror.Listing{}, say.end()
		case p := <-news:
			if l, ok := catalog.Coming(repo.ID); refsDo && ok && l.Head != "" {
				stop(errRefsKnown)
				<-done
				return repo, l, nil
			}
			if p.Phase != mirror.Done {
				say.news(p)
			}
		case <-tick.C:
			if err := say.tell(); err != nil {
				stop(err)
				<-done
				return repo, mirror.Listing{}, context.Canceled
			}
		}
	}
}

// teller makes lines of progress for a person: the last one is written over
// while a phase goes on.
type teller struct {
	name  string
	quiet bool // nobody wants lines; the connection is kept alive
	// after is when lines begin, for clients that cannot say whether they want
	// any; zero = at once.
	after time.Time
	send  func(text string) error // an empty text keeps the connection alive

	last  mirror.Progress
	width int // of the line that is on the screen
}

func (t *teller) news(p mirror.Progress) { t.last = p }

func (t *teller) tell() error {
	if t.quiet || time.Now().Before(t.after) {
		return t.send("")
	}
	return t.line(describe(t.last), "\r")
}

// end leaves the last line on the screen.
func (t *teller) end() error {
	if t.quiet || t.width == 0 {
		return nil
	}
	return t.line("done", "\n")
}

func (t *teller) line(text, end string) error {
	text = fmt.Sprintf("gitmirror: first clone of %s: %s", t.name, text)
	pad := max(0, t.width-len(text))
	t.width = len(text)
	return t.send(text + strings.Repeat(" ", pad) + end)
}

// sideband writes one packet of a side-band (gitprotocol-pack). An empty text
// only keeps the connection alive.
func sideband(w io.Writer, band byte, text string) error {
	const most = 900 // lines of ours; old clients take no more in a packet
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	_, err := fmt.Fprintf(w, "%04x%c%s", len(text)+5, band, text)
	return err
}

// behindPackfile drops the header of the pack's section, which has been sent.
// What git says instead of it, an error, goes to the side-band for errors.
type behindPackfile struct {
	w     io.Writer
	start []byte
	open  bool
}

func (b *behindPackfile) Write(p []byte) (int, error) {
	if b.open {
		return b.w.Write(p)
	}
	b.start = append(b.start, p...)
	rest, ok := bytes.CutPrefix(b.start, []byte(packfile))
	if !ok {
		if len(b.start) > 64<<10 {
			return 0, errors.New("git upload-pack began with what is no pack")
		}
		return len(p), nil
	}
	b.open, b.start = true, nil
	if len(rest) > 0 {
		if _, err := b.w.Write(rest); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// close tells the client when there was no pack.
func (b *behindPackfile) close() error {
	if b.open {
		return nil
	}
	lines, _ := pktTexts(b.start)
	why := strings.TrimPrefix(strings.Join(lines, "; "), "ERR ")
	if why == "" {
		why = "git upload-pack could not answer the request"
	}
	if err := sideband(b.w, 3, oneLine(why)+"\n"); err != nil {
		return context.Canceled
	}
	io.WriteString(b.w, "0000")
	return refuse(http.StatusBadRequest, why, "", "clone again")
}
