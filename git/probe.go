package git

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

const (
	probeTimeout = 15 * time.Second
	// probeBytes is how much of an answer a probe waits for: old servers list all
	// their refs.
	probeBytes = 64 << 10
)

// Probe measures the road to an upstream by one real exchange on a connection
// of its own: what git asks first of a repository, or with ssh the greeting of
// the server. The Trip holds the phases that were gone through, also when the
// probe failed. It takes 15 seconds at most.
func (d *Disk) Probe(ctx context.Context, from mirror.Remote) (mirror.Trip, error) {
	up, err := checkedUpstream(from.Upstream)
	if err != nil {
		return mirror.Trip{}, err
	}
	d.state.bandwidths.set(up.Host, from.Bandwidth)
	asked := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, errStalled)
	defer cancel()
	j := newPhases()
	if up.Scheme == "ssh" {
		err = d.probeSSH(ctx, up, j)
	} else {
		err = d.probeHTTP(ctx, from, j)
	}
	trip := j.end()
	if err != nil && asked.Err() != nil {
		return trip, interrupted(asked)
	}
	if err != nil {
		return trip, d.explain(ctx, err, from)
	}
	return trip, nil
}

func (d *Disk) probeHTTP(ctx context.Context, from mirror.Remote, j *phases) error {
	header, _, err := d.authorization(ctx, from)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(j.trace(ctx), http.MethodGet, from.Upstream.String()+"/info/refs?service=git-upload-pack", nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", d.userAgent())
	req.Header.Set("Git-Protocol", "version=2")
	if header != "" {
		req.Header.Set("Authorization", header)
	}
	fresh := d.newTransport()
	defer fresh.CloseIdleConnections()
	client := http.Client{Transport: fresh, CheckRedirect: d.state.client.CheckRedirect}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	start, err := io.ReadAll(io.LimitReader(&traveller{res.Body, j}, probeBytes))
	if err != nil {
		return err
	}
	a := newAnswer(res, start[:min(len(start), 4<<10)], header != "")
	if a.status != http.StatusOK || a.contentType != "application/x-git-upload-pack-advertisement" {
		return a
	}
	return nil
}

// probeSSH reads the server's greeting (RFC 4253, 4.2), which may come behind
// lines of other text.
func (d *Disk) probeSSH(ctx context.Context, up mirror.Upstream, j *phases) error {
	conn, err := d.dial(j.trace(ctx), "tcp", net.JoinHostPort(up.Host, up.DialPort()))
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	j.connected(conn.RemoteAddr(), false)
	in := bufio.NewReader(io.LimitReader(&traveller{conn, j}, probeBytes))
	for {
		line, err := in.ReadString('\n')
		if strings.HasPrefix(line, "SSH-2.0-") {
			return nil
		}
		if err == io.EOF && line != "" {
			return &mirror.Problem{Code: mirror.CodeNotGit, Kind: mirror.ErrUpstream, What: up.Address() + " does not answer as an ssh server",
				Why: "it began with " + quote(clean(line, nil)), Do: "check the URL and its port"}
		}
		if err != nil {
			return err
		}
	}
}

// phases times the phases of one exchange. The hooks of a trace may come from
// several goroutines, and late.
type phases struct {
	mu    sync.Mutex
	start time.Time
	phase time.Time // when the present phase began
	sent  time.Time // when the connection was there
	trip  mirror.Trip
}

func newPhases() *phases { return &phases{start: time.Now()} }

// trace has the requests of a context timed.
func (j *phases) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart:          func(httptrace.DNSStartInfo) { j.begin() },
		DNSDone:           func(httptrace.DNSDoneInfo) { j.done(&j.trip.DNS) },
		ConnectStart:      func(string, string) { j.begin() },
		ConnectDone:       func(string, string, error) { j.done(&j.trip.Connect) },
		TLSHandshakeStart: func() { j.begin() },
		TLSHandshakeDone:  func(tls.ConnectionState, error) { j.done(&j.trip.TLS) },
		GotConn:           func(c httptrace.GotConnInfo) { j.connected(c.Conn.RemoteAddr(), c.Reused) },
		GotFirstResponseByte: func() {
			j.first()
		},
	})
}

func (j *phases) begin() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.phase = time.Now()
}

func (j *phases) done(phase *time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	*phase = time.Since(j.phase)
}

func (j *phases) connected(to net.Addr, reused bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.trip.Address, j.trip.Reused = to.String(), reused && (j.sent.IsZero() || j.trip.Reused)
	j.sent = time.Now()
}

func (j *phases) first() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.trip.FirstByte == 0 && !j.sent.IsZero() {
		j.trip.FirstByte = time.Since(j.sent)
	}
}

// end is what was measured so far.
func (j *phases) end() mirror.Trip {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.trip.Total = time.Since(j.start)
	return j.trip
}

// traveller counts what comes, and notices the first of it.
type traveller struct {
	io.Reader
	phases *phases
}

func (t *traveller) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p)
	if n > 0 {
		t.phases.first()
		t.phases.mu.Lock()
		t.phases.trip.Bytes += int64(n)
		t.phases.mu.Unlock()
	}
	return n, err
}
