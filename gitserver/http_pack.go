package gitserver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

const (
	// maxRequest bounds what a client sends to ask for a pack, unpacked: a
	// million haves are 50 MB.
	maxRequest = 64 << 20
	// maxRatio bounds how far a compressed request may unfold; hex digits of
	// object names give 2 to 3.
	maxRatio = 100
	// bodyTime is for the whole of the request body.
	bodyTime = 2 * time.Minute
)

// protocolForm is what a GIT_PROTOCOL value may look like; all others are
// ignored, which means protocol v0 (git's documentation, gitprotocol-v2).
var protocolForm = regexp.MustCompile(`^version=[0-2](:[a-z0-9=.-]+)*$`)

// protocolOf returns the greatest version that a value names, as "version=2" and
// with nothing behind it: what we understand of it is what git is told. It is ""
// for a value that is not of that form.
func protocolOf(value string) string {
	if len(value) > 64 || !protocolForm.MatchString(value) {
		return ""
	}
	greatest := "version=0"
	for part := range strings.SplitSeq(value, ":") {
		if part == "version=1" || part == "version=2" {
			greatest = max(greatest, part)
		}
	}
	return greatest
}

// infoRefs answers GET <repo>/info/refs?service=….
func (h *HTTP) infoRefs(w *answer, r *http.Request, text string) (command string, err error) {
	switch r.URL.Query().Get("service") {
	case "git-upload-pack":
	case "git-receive-pack":
		return "receive-pack", h.receivePack(text)
	default: // "" is the dumb protocol
		return "unknown", &mirror.Problem{
			Code: mirror.CodeGitRequest, Kind: mirror.ErrNotFound, What: "the dumb HTTP protocol is not served", Do: "use git 1.6.6 or newer",
		}
	}
	if len(r.URL.Query()["service"]) != 1 {
		return "invalid", refuse(http.StatusBadRequest, "the request names more than one service", "", "")
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return "invalid", errMethod("GET")
	}
	repo, id, err := h.find(r, text)
	if err != nil {
		return "info-refs", err
	}
	w.flow.For(repo)
	protocol := protocolOf(r.Header.Get("Git-Protocol"))
	v2 := speaksV2(protocol)
	repo, _, err = h.await(r, id, repo, v2)
	if err != nil {
		return "info-refs", err
	}
	noCache(w.Header())
	h.tellAge(w, repo)
	w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
	if r.Method == http.MethodHead {
		return "info-refs", nil
	}
	if v2 { // whatever the repository, even one whose clone still runs
		return "info-refs", send(w, []byte(capabilities))
	}
	leave, err := h.Gate.enter(r.Context(), principal(id, h.peer(r)), repo.ID)
	if err != nil {
		return "info-refs", err
	}
	defer leave()
	w.prefix = "001e# service=git-upload-pack\n0000" // gitprotocol-http, "Smart Server Response"
	return "info-refs", h.run(w, r, repo, protocol, true, http.NoBody, w)
}

// uploadPack answers POST <repo>/git-upload-pack.
func (h *HTTP) uploadPack(w *answer, r *http.Request, text string) (command string, err error) {
	if service := r.URL.Query()["service"]; len(service) > 0 && (len(service) > 1 || service[0] != "git-upload-pack") {
		return "invalid", refuse(http.StatusBadRequest, "the query contradicts the path of the request", "", "")
	}
	if r.Method != http.MethodPost {
		return "invalid", errMethod("POST")
	}
	if got := r.Header.Get("Content-Type"); got != "application/x-git-upload-pack-request" {
		return "invalid", refuse(http.StatusUnsupportedMediaType, "this is not a request of a git client", "its Content-Type is not application/x-git-upload-pack-request", "")
	}
	repo, id, err := h.find(r, text)
	if err != nil {
		return "fetch", err
	}
	w.flow.For(repo)
	// All of the request is here before it takes a place at the gate: one who
	// sends slowly holds none, and what breaks a limit is refused with a status.
	control := http.NewResponseController(w.ResponseWriter)
	control.SetReadDeadline(time.Now().Add(bodyTime)) // unsupported only without a connection
	in, err := h.receive(r)
	if err != nil {
		return "fetch", err
	}
	defer in.Close()
	control.SetReadDeadline(time.Time{})
	w.flow.Asked()
	(&witness{flow: w.flow}).Write(in.start)
	protocol := protocolOf(r.Header.Get("Git-Protocol"))
	v2 := speaksV2(protocol)
	listing := v2 && bytes.HasPrefix(in.start, []byte("0014command=ls-refs"))
	if !repo.State.Served() {
		if v2 && !listing && plainClone(in) {
			return "fetch", h.cloneComing(w, r, id, repo, protocol, in)
		}
		var coming mirror.Listing
		if repo, coming, err = h.await(r, id, repo, listing); err != nil {
			return "fetch", err
		}
		if !repo.State.Served() {
			resultHead(w)
			done, err := h.Front.listComing(coming, in, w)
			if done || err != nil {
				return "ls-refs", err
			}
			if repo, _, err = h.await(r, id, repo, false); err != nil {
				return "ls-refs", err
			}
		}
	}
	resultHead(w)
	h.tellAge(w, repo)
	who := principal(id, h.peer(r))
	if v2 {
		command, err := h.Front.answer(r.Context(), party{who, w.flow}, repo, protocol, in, w)
		return command, h.ended(w, r, repo, err)
	}
	leave, err := h.Gate.enter(r.Context(), who, repo.ID)
	if err != nil {
		return "fetch", err
	}
	defer leave()
	return "fetch", h.run(w, r, repo, protocol, false, in, w)
}

func resultHead(w http.ResponseWriter) {
	noCache(w.Header())
	w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
}

// run streams upload-pack's answer.
func (h *HTTP) run(w *answer, r *http.Request, repo mirror.Repo, protocol string, advertise bool, in io.Reader, out io.Writer) error {
	return h.ended(w, r, repo, h.Packs.UploadPack(r.Context(), repo.ID, protocol, true, advertise, in, out, io.Discard))
}

// ended puts the end of git's answer into words.
func (h *HTTP) ended(w *answer, r *http.Request, repo mirror.Repo, err error) error {
	switch {
	case err == nil || r.Context().Err() != nil:
		return r.Context().Err()
	case w.err != nil:
		h.Log.Debug("client stopped reading", "repo", repo.Path, "addr", h.peer(r), "err", w.err)
		return context.Canceled
	case errors.Is(err, errBroken):
		return err
	case w.begun(): // git has told the client in its own words
		h.Log.Debug("upload-pack ended with an error", "repo", repo.Path, "addr", h.peer(r), "err", err)
		return nil
	case mirror.AsProblem(err).Kind != "":
		return err
	}
	h.Log.Warn("upload-pack ended without an answer", "repo", repo.Path, "addr", h.peer(r), "err", err)
	return refuse(http.StatusBadRequest, "git upload-pack could not answer the request", "it asks for what is not there, or in a way git does not understand", "")
}
