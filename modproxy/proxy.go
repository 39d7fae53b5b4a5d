package modproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// proxy is a module proxy that is asked.
type proxy struct {
	name      string // for people; "direct" and "off" are themselves
	base      *url.URL
	user      *url.Userinfo
	client    http.Client
	onTrouble bool // ask the next one after any trouble
	missing   map[int]bool
	via       string        // see viaHeader
	slots     chan struct{} // bounds the questions at the same time
	onSample  func(mirror.Sample)
	*track    // nil unless it is a proxy
}

// track is what is known of a proxy.
type track struct {
	mu      sync.Mutex
	health  mirror.Health
	quiet   time.Time // it wants to be left alone until then
	tried   time.Time // when it was last asked although it fails
	last    *mirror.Problem
	lastAt  time.Time
	good    string // a file it has, to measure with
	asked   int64
	failed  int64
	bytes   int64
	backoff time.Duration
	took    [8]time.Duration // until the first byte, of the last answers
}

// proxySlots questions at most go to one proxy at a time. Its answer must begin
// within proxyHeader, and go on within proxyStall. One that fails is asked again
// after tryFirst, and then more seldom, until tryMost.
const (
	proxySlots  = 64
	proxyHeader = 30 * time.Second
	proxyStall  = 60 * time.Second
	tryFirst    = time.Second
	tryMost     = 30 * time.Second
	maxSaid     = 300 // bytes of an error's text that are passed on
)

// viaHeader says which server a question has come through, so that one whose
// proxy is itself is not asked for ever.
const viaHeader = "Gitmirror-Via"

func (p *proxy) isProxy() bool { return p.name != "direct" && p.name != "off" }

// as is the same proxy with another separator behind it.
func (p *proxy) as(onTrouble bool) *proxy {
	same := *p
	same.onTrouble = onTrouble
	return &same
}

func (p *proxy) problem(code mirror.Code, kind mirror.Kind, why, do string) *mirror.Problem {
	return &mirror.Problem{Code: code, Kind: kind, What: "the module proxy " + p.name + " cannot be used now", Why: why, Do: do}
}

// incoming is the body of an answer.
type incoming struct {
	io.Reader
	size  int64 // -1 = not said
	from  string
	close func(n int64, err error)
	n     int64
	err   error
}

func (b *incoming) Read(buf []byte) (int, error) {
	n, err := b.Reader.Read(buf)
	b.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// Close ends the exchange.
func (b *incoming) Close() error {
	b.close(b.n, b.err)
	return nil
}

func (p *proxy) small(ctx context.Context, file string, most int64) ([]byte, error) {
	body, err := p.get(ctx, file)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, most+1))
	switch {
	case err != nil:
		return nil, p.brokeOff(ctx, err)
	case int64(len(data)) > most:
		return nil, p.problem(mirror.CodeCutOff, mirror.ErrUpstream, fmt.Sprintf("it sends more than %d bytes for %s", most, show(file)), "find out what answers there")
	}
	return data, nil
}

func (p *proxy) brokeOff(ctx context.Context, err error) error {
	if ctx.Err() != nil && context.Cause(ctx) == ctx.Err() {
		return ctx.Err()
	}
	return p.problem(mirror.CodeCutOff, mirror.ErrUpstream, "its answer broke off", "ask again")
}

// get asks for a file, an escaped path as the protocol has it.
func (p *proxy) get(ctx context.Context, file string) (*incoming, error) {
	t := p.track
	if err := t.closed(); err != nil {
		return nil, err
	}
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	free := func() { <-p.slots }
	asking, cancel := context.WithCancelCause(ctx)
	watch := time.AfterFunc(proxyHeader, func() { cancel(errSlow) })
	trip := newTrip()
	res, err := p.send(trip.trace(asking), file)
	if err != nil {
		slow := context.Cause(asking) == errSlow
		watch.Stop()
		cancel(nil)
		free()
		if ctx.Err() != nil {
			return nil, ctx.Err() // says nothing about the proxy
		}
		problem := p.noAnswer(err, slow)
		p.sampled(trip.done(problem.Code), problem)
		return nil, problem
	}
	end := func(n int64, failed error) {
		res.Body.Close()
		watch.Stop()
		cancel(nil)
		free()
		t.count(n, failed != nil && ctx.Err() == nil)
	}
	problem := p.judgeStatus(res)
	if problem != nil {
		end(0, nil)
		code := problem.Code
		if problem.Kind == mirror.ErrNotFound {
			code = "" // an answer like any other
		}
		p.sampled(trip.done(code), problem)
		return nil, problem
	}
	p.sampled(trip.done(""), nil)
	t.hasFile(file)
	watch.Reset(proxyStall)
	body := &stallReader{r: res.Body, watch: watch}
	return &incoming{Reader: body, size: res.ContentLength, from: p.name, close: end}, nil
}

// sampled takes the outcome of a question into account.
func (p *proxy) sampled(s mirror.Sample, problem *mirror.Problem) {
	p.report(s, problem)
	if s.Host = p.base.Host; p.onSample != nil && s.Host != "" {
		p.onSample(s)
	}
}

var errSlow = errors.New("no answer in time")

func (p *proxy) send(ctx context.Context, file string) (*http.Response, error) {
	u := *p.base
	u.RawPath = ""
	address := strings.TrimSuffix(u.String(), "/") + "/" + (&url.URL{Path: file}).EscapedPath()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if p.user != nil {
		password, _ := p.user.Password()
		req.SetBasicAuth(p.user.Username(), password)
	}
	req.Header.Set("User-Agent", "gitmirror")
	req.Header.Set(viaHeader, p.via)
	req.Header.Set("Accept-Encoding", "identity")
	return p.client.Do(req)
}

// stallReader has the exchange ended when nothing comes for too long.
type stallReader struct {
	r     io.Reader
	watch *time.Timer
}

func (s *stallReader) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.watch.Reset(proxyStall)
	return n, err
}
