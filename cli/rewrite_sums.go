package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

// sumAnswerWithin is the time the server has to pass on one answer of the
// checksum database; it gives up earlier by itself.
const sumAnswerWithin = 40 * time.Second

// maxSumAnswer is more bytes than a record or a tile has.
const maxSumAnswer = 1 << 20

// checksums is the checksum database of the user's GOSUMDB, through the mirror.
func (p *program) checksums(c *client) (*rewrite.SumDB, error) {
	db, err := mirror.ParseSumDB(p.ownGo("GOSUMDB"))
	if err != nil {
		problem := *mirror.AsProblem(err)
		problem.Code, problem.What = rewrite.CodeSettings, "GOSUMDB cannot be used"
		return nil, &problem
	}
	return &rewrite.SumDB{
		DB: db, Dir: p.sumDir(), Private: or(p.ownGo("GONOSUMDB"), p.ownGo("GOPRIVATE")),
		Fetch: func(ctx context.Context, name string) ([]byte, error) { return c.sum(ctx, db.Name, name) },
	}, nil
}

// sumDir is where what was proven is remembered; empty where there is no home.
func (p *program) sumDir() string {
	dir := p.lookup("XDG_CACHE_HOME")
	if dir == "" && p.lookup("HOME") == "" {
		return ""
	}
	if dir == "" {
		var err error
		if dir, err = os.UserCacheDir(); err != nil {
			return ""
		}
	}
	return filepath.Join(dir, "gitmirror", "sumdb")
}

// sum gets one answer of a checksum database from the server, which has the go
// command for its client there: passwords are basic, reasons plain text.
func (c *client) sum(ctx context.Context, db, name string) ([]byte, error) {
	asked := ctx
	ctx, cancel := context.WithTimeout(ctx, sumAnswerWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+"/proxy/sumdb/"+db+name, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", c.agent)
	if c.Token != "" {
		req.SetBasicAuth("token", c.Token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(asked, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxSumAnswer+1))
	switch {
	case err != nil:
		return nil, c.unreachable(asked, err)
	case len(text) > maxSumAnswer:
		return nil, c.odd("/proxy/sumdb/"+db, errors.New("it is larger than 1 MB"))
	case resp.StatusCode == http.StatusOK:
		return text, nil
	}
	kind := mirror.ErrUpstream
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		kind = mirror.ErrNotFound
	case http.StatusUnauthorized:
		kind = mirror.ErrSignIn
	case http.StatusForbidden:
		kind = mirror.ErrDenied
	}
	why := fmt.Sprintf("the server says %s", resp.Status)
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		first, rest, _ := strings.Cut(strings.TrimSpace(string(text[:min(len(text), 600)])), "\n")
		why = printable(first)
		if rest, _, _ = strings.Cut(rest, "\n"); rest != "" {
			why += ": " + printable(rest)
		}
	}
	return nil, &mirror.Problem{Kind: kind, What: why}
}
