package git

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

const (
	listTimeout  = 30 * time.Second
	maxListBytes = 64 << 20
)

// List asks upstream for its branches, tags and HEAD. Over http it speaks
// protocol v2, and v0 with servers that know no better, in this process.
func (d *Disk) List(ctx context.Context, from mirror.Remote) (mirror.Listing, error) {
	up, err := checkedUpstream(from.Upstream)
	if err != nil {
		return mirror.Listing{}, err
	}
	d.state.bandwidths.set(up.Host, from.Bandwidth)
	asked := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, listTimeout, errStalled)
	defer cancel()
	found := newAdvertised()
	if up.Scheme == "ssh" {
		err = d.listSSH(ctx, from, found)
	} else {
		err = d.listHTTP(ctx, from, found)
	}
	if err != nil {
		if asked.Err() != nil {
			return mirror.Listing{}, interrupted(asked)
		}
		return mirror.Listing{}, d.explain(ctx, err, from)
	}
	l := found.listing()
	l.Fingerprint = l.Digest()
	if l.Fingerprint == from.Known {
		return mirror.Listing{Fingerprint: l.Fingerprint}, nil
	}
	return l, nil
}

// listSSH has git ask, because ssh is git's to run.
func (d *Disk) listSSH(ctx context.Context, from mirror.Remote, found *advertised) error {
	r, err := d.road(ctx, from)
	if err != nil {
		return err
	}
	defer r.close()
	out, err := d.output(ctx, maxListBytes, command{
		args:   []string{"ls-remote", "--symref", "--end-of-options", r.url},
		scheme: from.Upstream.Scheme, config: r.config, env: r.env, gate: r.gate, secrets: r.secrets,
	})
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(out)) {
		hash, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if target, ok := strings.CutPrefix(hash, "ref: "); ok {
			if name == "HEAD" {
				found.head = target
			}
			continue
		}
		found.add(name, hash)
	}
	return nil
}

func (d *Disk) listHTTP(ctx context.Context, from mirror.Remote, found *advertised) error {
	header, _, err := d.authorization(ctx, from)
	if err != nil {
		return err
	}
	base := from.Upstream.String()
	body, err := d.ask(ctx, http.MethodGet, base+"/info/refs?service=git-upload-pack", header, nil,
		"application/x-git-upload-pack-advertisement")
	if err != nil {
		return err
	}
	defer body.Close()
	in := pktReader{bufio.NewReader(body)}
	line, kind, err := in.next()
	if err == nil && strings.HasPrefix(line, "# service=") {
		if _, kind, err = in.next(); err == nil && kind == pktFlush {
			line, kind, err = in.next()
		}
	}
	if err != nil {
		return broken(err)
	}
	if line != "version 2" {
		return readV0(in, line, kind, found)
	}
	for kind != pktFlush {
		if line, kind, err = in.next(); err != nil {
			return broken(err)
		}
		if format, ok := strings.CutPrefix(line, "object-format="); ok && format != "sha1" {
			return notSHA1(from, format)
		}
	}
	return d.lsRefs(ctx, base, header, found)
}

// lsRefs asks for exactly the refs that are mirrored (gitprotocol-v2, ls-refs).
func (d *Disk) lsRefs(ctx context.Context, base, header string, found *advertised) error {
	ask := pkt("command=ls-refs\n") + pkt("agent="+d.userAgent()) + pkt("object-format=sha1") + "0001" +
		pkt("peel\n") + pkt("symrefs\n") + pkt("ref-prefix HEAD\n") +
		pkt("ref-prefix refs/heads/\n") + pkt("ref-prefix refs/tags/\n") + "0000"
	body, err := d.ask(ctx, http.MethodPost, base+"/git-upload-pack", header, []byte(ask), "application/x-git-upload-pack-result")
	if err != nil {
		return err
	}
	defer body.Close()
	in := pktReader{bufio.NewReader(body)}
	for {
		line, kind, err := in.next()
		if err != nil {
			return broken(err)
		}
		if kind == pktFlush {
			return nil
		}
		fields := strings.Split(line, " ")
		if kind != pktData || len(fields) < 2 {
			return broken(errPkt)
		}
		hash, name := fields[0], fields[1]
		found.add(name, hash)
		for _, attr := range fields[2:] {
			if target, ok := strings.CutPrefix(attr, "symref-target:"); ok && name == "HEAD" {
				found.head = target
			}
			if peeled, ok := strings.CutPrefix(attr, "peeled:"); ok {
				found.add(name+"^{}", peeled)
			}
		}
	}
}

// readV0 reads the advertisement of an old server: the first line carries the
// capabilities behind a NUL (gitprotocol-pack).
func readV0(in pktReader, line string, kind pktKind, found *advertised) error {
	first := true
	for {
		if kind == pktFlush {
			return nil
		}
		if line == "version 1" { // announced, then as v0
			var err error
			if line, kind, err = in.next(); err != nil {
				return broken(err)
			}
			continue
		}
		text, caps, _ := strings.Cut(line, "\x00")
		if first {
			for c := range strings.FieldsSeq(caps) {
				if target, ok := strings.CutPrefix(c, "symref=HEAD:"); ok {
					found.head = target
				}
			}
			first = false
		}
		hash, name, ok := strings.Cut(text, " ")
		if kind != pktData || !ok && !strings.HasPrefix(text, "shallow ") {
			return broken(errPkt)
		}
		found.add(name, hash)
		var err error
		if line, kind, err = in.next(); err != nil {
			return broken(err)
		}
	}
}

// ask sends one request and returns the body of a good answer.
func (d *Disk) ask(ctx context.Context, method, url, authorization string, send []byte, want string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(send))
	if err != nil {
		return nil, fmt.Errorf("ask upstream: %w", err)
	}
	req.Header.Set("User-Agent", d.userAgent())
	req.Header.Set("Git-Protocol", "version=2")
	req.Header.Set("Accept", "*/*")
	if send != nil {
		req.Header.Set("Content-Type", "application/x-git-upload-pack-request")
		req.Header.Set("Accept", want)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	res, err := d.state.client.Do(req)
	if err != nil {
		return nil, err
	}
	got := strings.TrimSpace(strings.Split(res.Header.Get("Content-Type"), ";")[0])
	if res.StatusCode == http.StatusOK && got == want {
		return limitedBody{io.LimitReader(res.Body, maxListBytes), res.Body}, nil
	}
	defer res.Body.Close()
	start, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	return nil, newAnswer(res, start, authorization != "")
}

type limitedBody struct {
	io.Reader
	io.Closer
}

// broken is an answer that began as git and did not go on as git.
func broken(err error) error {
	var peer *peerError
	if errors.As(err, &peer) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", errListing, err)
}

var errListing = errors.New("the list of refs is cut off or garbled")
