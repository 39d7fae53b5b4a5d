package gitserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gliderlabs/ssh"
	gossh "golang.org/x/crypto/ssh"
)

const (
	// maxRequests a session may make before its command.
	maxRequests = 64
	// commandWait is how long a session may exist without a command.
	commandWait = time.Minute
	// endingWait is how long a command that is cut off has to end by itself.
	endingWait = time.Second
)

// session serves one channel: requests until a command comes, the command, its
// exit status.
func (h *hall) session(_ *ssh.Server, conn *gossh.ServerConn, opened gossh.NewChannel, ctx ssh.Context) {
	c := clientOf(ctx)
	if !h.begin(c) {
		h.refuse(c, opened)
		return
	}
	defer h.end(c)
	channel, requests, err := opened.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	asked, ok := awaitCommand(requests)
	if !ok {
		return
	}
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends when the channel or the connection does
		for r := range requests {
			r.Reply(false, nil)
		}
		cancel()
	}()
	ended := make(chan struct{})
	defer close(ended)
	// A write to a client that takes nothing ends with the connection, not with run.
	context.AfterFunc(run, func() {
		select {
		case <-ended:
		case <-time.After(endingWait):
			c.Close()
		}
	})
	s := &session{hall: h, c: c, channel: channel, asked: asked, cancel: cancel}
	if conn.Permissions != nil {
		s.fingerprint = conn.Permissions.Extensions[verifiedKey]
	}
	status := s.answer(run)
	channel.SendRequest("exit-status", false, gossh.Marshal(struct{ Status uint32 }{status}))
}

// request is what a session asked for.
type request struct {
	shell    bool // no command: somebody tries the connection
	command  string
	protocol string // checked value of GIT_PROTOCOL
}

// awaitCommand answers a session's requests until one is for a command. All
// others are refused, but for GIT_PROTOCOL in the environment.
func awaitCommand(requests <-chan *gossh.Request) (request, bool) {
	timer := time.NewTimer(commandWait)
	defer timer.Stop()
	var asked request
	for n := 0; n < maxRequests; n++ {
		var r *gossh.Request
		select {
		case r = <-requests:
		case <-timer.C:
		}
		if r == nil { // too late, or the client is gone
			go gossh.DiscardRequests(requests) // ends with the channel or the connection
			return request{}, false
		}
		switch r.Type {
		case "env":
			var env struct{ Name, Value string }
			ok := len(r.Payload) <= 256 && gossh.Unmarshal(r.Payload, &env) == nil && env.Name == "GIT_PROTOCOL"
			if ok {
				asked.protocol = protocolOf(env.Value)
			}
			r.Reply(ok, nil)
		case "shell":
			asked.shell = true
			r.Reply(true, nil)
			return asked, true
		case "exec":
			var exec struct{ Command string }
			if gossh.Unmarshal(r.Payload, &exec) != nil {
				r.Reply(false, nil)
				go gossh.DiscardRequests(requests)
				return request{}, false
			}
			asked.command = exec.Command
			r.Reply(true, nil)
			return asked, true
		default: // pty-req, x11-req, auth-agent-req@openssh.com, subsystem, …
			r.Reply(false, nil)
		}
	}
	go gossh.DiscardRequests(requests)
	return request{}, false
}

// session is a running command.
type session struct {
	hall        *hall
	c           *client
	channel     gossh.Channel
	asked       request
	fingerprint string // of the key that signed the handshake
	cancel      context.CancelFunc
	flow        *mirror.Flow
}

// answer runs the command and returns its exit status.
func (s *session) answer(ctx context.Context) uint32 {
	h := s.hall
	s.flow = h.Traffic.Begin("ssh")
	command, err := s.run(ctx)
	if err != nil && ctx.Err() != nil {
		err = context.Canceled // whatever broke because of that
	}
	served := s.flow.End(command, statusOf(err))
	if h.OnRequest != nil {
		h.OnRequest(served)
	}
	if err == nil {
		return 0
	}
	var known told
	if errors.Is(err, context.Canceled) || errors.As(err, &known) {
		return 1
	}
	p := mirror.AsProblem(err)
	if p.Kind == "" {
		h.Log.Error("ssh command failed", "addr", s.c.peer, "key", s.fingerprint, "err", err)
	}
	if errors.Is(err, mirror.ErrBusy) && command == "upload-pack" {
		// gitprotocol-pack, "error-line"; git shows it as "remote error: …".
		text := "ERR " + strings.TrimSpace(strings.ReplaceAll(sentence(p), "\n", "; "))
		text = strings.TrimSuffix(text, ";")
		fmt.Fprintf(s.channel, "%04x%s", len(text)+4, text)
		return 1
	}
	io.WriteString(s.channel.Stderr(), terminal(p))
	return 1
}

func (s *session) run(ctx context.Context) (command string, err error) {
	defer func() { // one client's bug must not end the server
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %s\n%s", mirror.Panicked(v), debug.Stack())
		}
	}()
	// The key is looked up for every command: it may have been removed, or its
	// owner disabled, since the connection was made.
	id, err := s.hall.Accounts.KeyFrom(ctx, s.fingerprint, s.c.peer)
	if err != nil {
		return "sign-in", err
	}
	if s.asked.shell {
		return "greeting", s.greet(ctx, id)
	}
	service, text, err := parseCommand(s.asked.command)
	if err != nil {
		return "invalid", err
	}
	if service == "receive-pack" {
		return service, errReadOnly()
	}
	return service, s.uploadPack(ctx, id, text)
}

// greet answers ssh git@HOST without a command.
func (s *session) greet(ctx context.Context, id auth.Identity) error {
	reads := "You can read the mirrors here."
	if s.hall.Mirrors != nil {
		n, err := s.hall.Mirrors(auth.With(ctx, id))
		if err != nil {
			return err
		}
		reads = fmt.Sprintf("You can read %d mirrors.", n)
		if n == 1 {
			reads = "You can read 1 mirror."
		}
	}
	_, err := fmt.Fprintf(s.channel, "Hi %s! %s No shell here.\n", id.Name, reads)
	return err
}

func (s *session) uploadPack(ctx context.Context, id auth.Identity, text string) error {
	h := s.hall
	path, err := repoPath(text)
	if err != nil {
		return err
	}
	if err := h.Policy.May(id, auth.Read, false); err != nil {
		return hide(id, string(path), err)
	}
	repo, err := h.Catalog.Admit(auth.With(ctx, id), path)
	if err == nil {
		err = h.Policy.Reads(ctx, id, repo.Path, repo.Private)
	}
	if err != nil {
		return hide(id, string(path), err)
	}
	s.flow.For(repo)
	stop := s.guard(ctx)
	defer stop()
	t := s.talk()
	defer t.idle.Stop()
	if !repo.State.Served() {
		if speaksV2(s.asked.protocol) {
			return s.coming(ctx, id, repo, t)
		}
		if repo, err = s.await(ctx, id, repo, t); err != nil {
			return err
		}
	}
	return s.serve(ctx, id, repo, t)
}

// serve holds the conversation: git does before protocol v2.
func (s *session) serve(ctx context.Context, id auth.Identity, repo mirror.Repo, t *talk) error {
	h, who := s.hall, principal(id, s.c.peer)
	t.in.heard.fetching = s.tellAge(repo)
	var err error
	if speaksV2(s.asked.protocol) {
		err = h.Front.converse(ctx, party{who, s.flow}, repo, s.asked.protocol, t.in, t.out)
	} else {
		leave, busy := h.Gate.enter(ctx, who, repo.ID)
		if busy != nil {
			return busy
		}
		defer leave()
		err = h.Packs.UploadPack(ctx, repo.ID, s.asked.protocol, false, false, t.in, t.out, io.Discard)
	}
	if err != nil && ctx.Err() == nil && mirror.AsProblem(err).Kind == "" {
		h.Log.Debug("upload-pack ended with an error", "repo", repo.Path, "addr", s.c.peer, "err", err)
		return &mirror.Problem{
			Code: mirror.CodeGitRequest, Kind: mirror.ErrInvalid, What: "git upload-pack stopped early",
			Why: "it could not answer what the client asked for", Do: "try again; if it stays, an administrator finds the cause in the log",
		}
	}
	return err
}

// tellAge returns what tells a client that fetches, and that wants lines for a
// person, that the mirror is stale: once.
func (s *session) tellAge(repo mirror.Repo) func(quiet bool) {
	text := staleness(s.hall.Catalog, repo)
	return func(quiet bool) {
		if text != "" && !quiet {
			io.WriteString(s.channel.Stderr(), text)
			text = ""
		}
	}
}

// await waits for the first clone of a mirror. Before protocol v2 the server
// speaks first, and learns too late whether anybody wants to see progress: it is
// told on stderr after Silence.
func (s *session) await(ctx context.Context, id auth.Identity, repo mirror.Repo, t *talk) (mirror.Repo, error) {
	h := s.hall
	leave, err := h.Gate.wait(principal(id, s.c.peer))
	if err != nil {
		return repo, err
	}
	defer leave()
	t.idle.Stop()
	defer t.idle.Reset(t.limit)
	say := s.teller(repo)
	say.after = time.Now().Add(h.Silence)
	cloned, _, err := waitTelling(ctx, h.Catalog, repo, say, false)
	if err != nil {
		return repo, err
	}
	return cloned, h.Policy.Reads(ctx, id, cloned.Path, cloned.Private)
}

// guard ends the command when its key is removed or its owner disabled while it runs.
func (s *session) guard(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(s.hall.Recheck)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := s.hall.Accounts.OfferedKey(ctx, s.fingerprint); errors.Is(err, mirror.ErrSignIn) {
					s.cancel()
					return
				}
			}
		}
	}()
	return func() { cancel(); <-ended }
}

// beat tells that bytes move. A client that neither sends nor takes any is cut
// off even if it keeps its connection alive by other messages.
type beat struct {
	rw    io.ReadWriter
	alive func(n int)
	heard *witness // of what is read; may be nil
	gone  func()   // the client takes nothing any more; may be nil
}

func (b *beat) Read(p []byte) (int, error) {
	n, err := b.rw.Read(p)
	if n > 0 {
		b.alive(n)
		if b.heard != nil {
			b.heard.Write(p[:n])
		}
	}
	return n, err
}

func (b *beat) Write(p []byte) (int, error) {
	n, err := b.rw.Write(p)
	if n > 0 {
		b.alive(n)
	}
	if err != nil && b.gone != nil {
		b.gone()
	}
	return n, err
}
