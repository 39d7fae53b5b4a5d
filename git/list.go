package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/gitmirror/gitmirror/mirror"
)

const maxListBytes = 64 << 20

// List asks upstream for HEAD and the refs of from.Refs. Over http this process
// does it: in protocol v2, by one request when the upstream is known, and in v0
// with servers that know no better. See mirror.Fetcher. Of a listing that failed
// there is the Trip.
func (d *Disk) List(ctx context.Context, from mirror.Remote) (mirror.Listing, error) {
	up, err := checkedUpstream(from.Upstream)
	if err != nil {
		return mirror.Listing{}, err
	}
	d.state.bandwidths.set(up.Host, from.Bandwidth)
	asked, trip := ctx, newPhases()
	ctx, patience := newPatience(ctx, d.StallAfter)
	defer patience.end()
	key := peerKey(from)
	w := d.state.wire
	known, _ := w.peers.Get(key)
	was, lines, same := known, newRefLines(from.Refs), false
	if up.Scheme == "ssh" {
		err = d.listSSH(ctx, from, lines)
	} else {
		same, err = d.listHTTP(ctx, from, lines, &known, trip, patience.got)
	}
	l := mirror.Listing{Trip: trip.end()}
	if err != nil {
		if asked.Err() != nil {
			return l, interrupted(asked)
		}
		return l, d.explain(ctx, err, from)
	}
	if !same {
		known.fingerprint = lines.fingerprint()
	}
	if known != was {
		w.learn(key, func(p *peer) {
			p.speaksV2, p.seen, p.length, p.fingerprint = known.speaksV2, known.seen, known.length, known.fingerprint
		})
	}
	if l.Fingerprint = known.fingerprint; l.Fingerprint != from.Known {
		lines.list(&l)
	}
	return l, nil
}

// listSSH has git ask, because ssh is git's to run.
func (d *Disk) listSSH(ctx context.Context, from mirror.Remote, l *refLines) error {
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
	for line := range bytes.Lines(out) {
		hash, name, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte("\t"))
		target, symbolic := bytes.CutPrefix(hash, []byte("ref: "))
		base, peeled := bytes.CutSuffix(name, []byte("^{}"))
		switch {
		case symbolic && string(name) == "HEAD":
			l.head = string(target)
		case symbolic, string(name) == "HEAD":
		case peeled:
			l.addPeeled(hash, base)
		default:
			l.add(hash, name, nil)
		}
	}
	return nil
}

// listHTTP asks in the way that worked before; when that does not work any
// more, it gets to know the upstream anew, once. When same is true the answer is
// the one that from.Known stands for, and l is empty.
func (d *Disk) listHTTP(ctx context.Context, from mirror.Remote, l *refLines, known *peer, trip *phases, got func(int)) (same bool, err error) {
	x, err := d.talk(ctx, from, trip, got)
	if err != nil {
		return false, err
	}
	x.limit = maxListBytes
	if known.speaksV2 {
		same, err := x.lsRefs(ctx, l, known)
		if err == nil || !misunderstood(err) {
			return same, err
		}
		*l = *newRefLines(l.policy)
	}
	*known = peer{}
	_, old, err := x.greet(ctx)
	if err != nil {
		return false, err
	}
	if old != nil {
		defer old.end()
		return false, old.list(l)
	}
	_, err = x.lsRefs(ctx, l, known)
	known.speaksV2 = err == nil
	return false, err
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
