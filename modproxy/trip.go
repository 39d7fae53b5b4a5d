package modproxy

import (
	"context"
	"crypto/tls"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// trip measures one exchange.
type trip struct {
	mirror.Trip
	mu                           sync.Mutex
	begun, dns, connect, tls, up time.Time
}

func newTrip() *trip { return &trip{begun: time.Now()} }

func (t *trip) trace(ctx context.Context) context.Context {
	mark := func(at *time.Time) {
		t.mu.Lock()
		defer t.mu.Unlock()
		*at = time.Now()
	}
	took := func(since *time.Time, d *time.Duration) {
		t.mu.Lock()
		defer t.mu.Unlock()
		*d = time.Since(*since)
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart:             func(httptrace.DNSStartInfo) { mark(&t.dns) },
		DNSDone:              func(httptrace.DNSDoneInfo) { took(&t.dns, &t.DNS) },
		ConnectStart:         func(string, string) { mark(&t.connect) },
		ConnectDone:          func(string, string, error) { took(&t.connect, &t.Connect) },
		TLSHandshakeStart:    func() { mark(&t.tls) },
		TLSHandshakeDone:     func(tls.ConnectionState, error) { took(&t.tls, &t.TLS) },
		WroteRequest:         func(httptrace.WroteRequestInfo) { mark(&t.up) },
		GotFirstResponseByte: func() { took(&t.up, &t.FirstByte) },
	})
}

// done is the sample of a trip that has ended.
func (t *trip) done(code mirror.Code) mirror.Sample {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Total = time.Since(t.begun)
	return mirror.Sample{At: time.Now(), Trip: t.Trip, Problem: code}
}
