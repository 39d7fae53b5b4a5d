package git

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// errStalled is why we end a git that makes no progress.
var errStalled = errors.New("stalled")

// interrupted is a call whose caller has gone away or run out of time.
func interrupted(ctx context.Context) error {
	return &mirror.Problem{Code: mirror.CodeInterrupted, Kind: mirror.ErrBusy,
		What: "the sync was interrupted", Why: clean(context.Cause(ctx).Error(), nil),
		Do: "it begins again by itself; what is served did not change"}
}

// local is trouble of this machine: its disk above all.
func (d *Disk) local(doing string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
		return diskFull(err.Error())
	}
	return &mirror.Problem{Code: mirror.CodeLocal, What: "this server could not " + doing,
		Why: "its disk refused", Do: "look at the server's log and at the permissions of its data directory",
		Raw: clean(strings.ReplaceAll(err.Error(), d.Root, "…"), nil)}
}

func diskFull(raw string) *mirror.Problem {
	return &mirror.Problem{Code: mirror.CodeDisk, Kind: mirror.ErrBusy, What: "the server's disk is full",
		Why: "there was no room for the objects of this repository; what came was deleted again, the mirror is as before",
		Do:  "make room on the disk that holds the data directory", Raw: clean(raw, nil)}
}

// explain turns what went wrong with an upstream into words.
func (d *Disk) explain(ctx context.Context, err error, from mirror.Remote) error {
	var (
		problem *mirror.Problem
		http    *answer
		git     *failure
		peer    *peerError
	)
	switch {
	case errors.As(err, &problem):
		return problem
	case errors.Is(context.Cause(ctx), errStalled):
		raw := ""
		if errors.As(err, &git) {
			raw = git.stderr
			d.state.versions.broke(from.Upstream.Host)
		}
		return stalled(from, raw)
	case ctx.Err() != nil:
		return interrupted(ctx)
	case errors.As(err, &http):
		return http.problem(from)
	case errors.As(err, &git):
		p := git.problem(from)
		if p.Code == mirror.CodeCutOff || p.Code == mirror.CodeStalled {
			d.state.versions.broke(from.Upstream.Host)
		}
		return p
	case errors.As(err, &peer):
		f := failure{stderr: peer.Error()}
		return f.problem(from)
	case errors.Is(err, errListing) && !lost(err):
		return corrupt(from, "its list of refs is garbled", err.Error())
	}
	return overTheWire(err, from)
}

// overTheWire explains what Go's network packages say.
func overTheWire(err error, from mirror.Remote) error {
	raw := err
	if u := (*url.Error)(nil); errors.As(err, &u) {
		raw = u.Err
	}
	var (
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		record      tls.RecordHeaderError
		op          *net.OpError
		timed       net.Error
	)
	switch {
	case errors.As(err, &certificate), errors.As(err, &authority), errors.As(err, &record):
		return distrusted(err, from, raw.Error())
	case errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect"):
		return unreachable(from, raw.Error())
	case errors.As(err, &timed) && timed.Timeout():
		return stalled(from, raw.Error())
	case strings.Contains(raw.Error(), "tls: "): // an alert of the peer, above all
		return untrusted(from, raw.Error())
	case lost(err):
		return cutOff(from, raw.Error())
	}
	return &mirror.Problem{Code: mirror.CodeConnect, Kind: mirror.ErrUpstream,
		What: "talking to " + from.Upstream.Host + " failed", Why: "the connection broke or did not speak HTTP",
		Do: "it is tried again by itself", Raw: clean(raw.Error(), nil)}
}

// lost tells whether a connection that was there ended before the answer did.
func lost(err error) bool {
	var op *net.OpError
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op) && op.Op != "dial" {
		return true
	}
	text := err.Error() // of types that net/http keeps to itself
	for _, word := range []string{"http2: ", "stream error: ", "server closed idle connection", "server sent GOAWAY"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

func stalled(from mirror.Remote, raw string) *mirror.Problem {
	return &mirror.Problem{Code: mirror.CodeStalled, Kind: mirror.ErrUpstream,
		What: from.Upstream.Host + " stopped answering", Why: "nothing came for too long",
		Do:  "it is tried again by itself; if it stays so, look at the network between this server and " + from.Upstream.Host,
		Raw: clean(raw, nil)}
}

func unreachable(from mirror.Remote, raw string) *mirror.Problem {
	return &mirror.Problem{Code: mirror.CodeConnect, Kind: mirror.ErrUpstream,
		What: "no connection to " + from.Upstream.Host + " port " + from.Upstream.DialPort(),
		Why:  "it refused, did not answer or hung up",
		Do:   "check that a firewall lets this server reach it; it is tried again by itself", Raw: clean(raw, nil)}
}

func cutOff(from mirror.Remote, raw string) *mirror.Problem {
	return &mirror.Problem{Code: mirror.CodeCutOff, Kind: mirror.ErrUpstream, What: "the connection to " + from.Upstream.Host + " broke off",
		Why: "its answer ended early", Do: "it is tried again by itself; what is served did not change", Raw: clean(raw, nil)}
}

// distrusted is untrusted with what the certificate says of itself.
func distrusted(err error, from mirror.Remote, raw string) *mirror.Problem {
	p := untrusted(from, raw)
	var (
		invalid x509.CertificateInvalidError
		name    x509.HostnameError
		now     = time.Now().UTC()
	)
	const day = "2 January 2006 15:04 MST"
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		p.Why = "its certificate expired on " + invalid.Cert.NotAfter.UTC().Format(day)
		if now.Before(invalid.Cert.NotBefore) {
			p.Why = "its certificate is valid only from " + invalid.Cert.NotBefore.UTC().Format(day) + " on"
		}
		p.Why += "; this server's clock says " + now.Format(day)
		p.Do = "tell who runs " + from.Upstream.Host + ", and check this server's clock; it is tried again by itself, and verification is never turned off"
	case errors.As(err, &name):
		p.Why = "its certificate is for other names than " + clean(name.Host, nil)
	}
	return p
}

func untrusted(from mirror.Remote, raw string) *mirror.Problem {
	return &mirror.Problem{Code: mirror.CodeTLS, Kind: mirror.ErrUpstream,
		What: "no trusted TLS connection to " + from.Upstream.Host,
		Why:  "its certificate is not valid here, or something in between answers in its place",
		Do:   "if a company certificate authority signs it, add that authority to this server's trusted certificates; verification is never turned off", Raw: clean(raw, nil)}
}

// expired is what git's TLS library says of a certificate that is too old.
func expired(from mirror.Remote, raw string) *mirror.Problem {
	p := untrusted(from, raw)
	p.Why = "its certificate has expired, or this server's clock (" + time.Now().UTC().Format("2 January 2006 15:04 MST") + ") is wrong"
	p.Do = "tell who runs " + from.Upstream.Host + ", and check this server's clock; it is tried again by itself, and verification is never turned off"
	return p
}

func corrupt(from mirror.Remote, why, raw string) *mirror.Problem {
	return &mirror.Problem{Code: mirror.CodeCorrupt, Kind: mirror.ErrIntegrity,
		What: "what " + from.Upstream.Host + " sent is incomplete or damaged", Why: why,
		Do: "it was discarded and is tried again by itself; what is served did not change", Raw: clean(raw, nil)}
}

func notSHA1(from mirror.Remote, format string) *mirror.Problem {
	return &mirror.Problem{Code: mirror.CodeNotGit, Kind: mirror.ErrUpstream,
		What: from.Upstream.String() + " cannot be mirrored",
		Why:  "it uses " + clean(format, nil) + " object names; only sha1 repositories are supported"}
}

func refused(from mirror.Remote, authorized bool, raw string) *mirror.Problem {
	if authorized || from.Upstream.Scheme == "ssh" {
		with := "this server's key"
		if from.Credential != nil {
			with = "the credential " + from.Credential.Name
		}
		return &mirror.Problem{Code: mirror.CodeAuth, Kind: mirror.ErrSignIn, What: from.Upstream.Host + " did not accept " + with,
			Why: "it is wrong, expired, or has no right to read this repository", Do: "renew it or give it the right to read " + from.Upstream.String(), Raw: raw}
	}
	return &mirror.Problem{Code: mirror.CodeAuth, Kind: mirror.ErrSignIn, What: from.Upstream.String() + " does not exist, or is private",
		Why: from.Upstream.Host + " asks for a sign-in and gives both the same answer", Do: "check the spelling; if it is private, add a credential", Raw: raw}
}

func gone(from mirror.Remote, raw string) *mirror.Problem {
	do := "check the spelling; if it is private, add a credential"
	if from.Credential != nil {
		do = "check the spelling and that the credential " + from.Credential.Name + " may read it"
	}
	return &mirror.Problem{Code: mirror.CodeGone, Kind: mirror.ErrNotFound, What: from.Upstream.String() + " does not exist",
		Why: "it was never there, was deleted or renamed, or is private", Do: do, Raw: raw}
}

func quote(s string) string {
	if len(s) > 160 {
		s = s[:160] + "…"
	}
	return fmt.Sprintf("%q", s)
}
