//go:build unix

package bench_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// client makes the requests of git clone and drops what it gets, so that its
// own work, which is the same with every server, does not drown the server's.
type client struct {
	http.Client
	url string
}

func newClient(url string) *client {
	return &client{Client: http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}, url: url}
}

func pkt(s string) string { return fmt.Sprintf("%04x%s", len(s)+4, s) }

var capabilities = pkt("agent=git/2.39.5") + pkt("object-format=sha1") + "0001"

func (c *client) ask(path, body string) ([]byte, error) {
	method := http.MethodPost
	if body == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Git-Protocol", "version=2")
	if body != "" {
		req.Header.Set("Content-Type", "application/x-git-upload-pack-request")
	}
	res, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || !bytes.HasSuffix(data, []byte("0000"))) {
		err = fmt.Errorf("%s%s: %s, %d bytes", c.url, path, res.Status, len(data))
	}
	return data, err
}

// listRefs is the ls-refs of a clone.
func (c *client) listRefs() ([]byte, error) {
	return c.ask("/git-upload-pack", pkt("command=ls-refs\n")+capabilities+pkt("peel\n")+pkt("symrefs\n")+
		pkt("ref-prefix refs/heads/\n")+pkt("ref-prefix refs/tags/\n")+pkt("ref-prefix HEAD\n")+"0000")
}

// clone is a full clone; it returns the size of the answer with the pack.
func (c *client) clone() (int, error) {
	if _, err := c.ask("/info/refs?service=git-upload-pack", ""); err != nil {
		return 0, err
	}
	refs, err := c.listRefs()
	if err != nil {
		return 0, err
	}
	var fetch strings.Builder
	fetch.WriteString(pkt("command=fetch") + capabilities + pkt("thin-pack") + pkt("no-progress") + pkt("include-tag") + pkt("ofs-delta"))
	seen := map[string]bool{}
	for line := range strings.Lines(string(refs)) {
		if len(line) > 44 && !seen[line[4:44]] {
			seen[line[4:44]] = true
			fetch.WriteString(pkt("want " + line[4:44] + "\n"))
		}
	}
	pack, err := c.ask("/git-upload-pack", fetch.String()+pkt("done\n")+"0000")
	return len(pack), err
}

// shallow fetches one tag without history, as the go command does.
func (c *client) shallow(tag string) error {
	if _, err := c.ask("/info/refs?service=git-upload-pack", ""); err != nil {
		return err
	}
	list, err := c.ask("/git-upload-pack", pkt("command=ls-refs\n")+capabilities+pkt("ref-prefix refs/tags/"+tag+"\n")+"0000")
	if err != nil {
		return err
	}
	_, err = c.ask("/git-upload-pack", pkt("command=fetch")+capabilities+pkt("thin-pack")+pkt("no-progress")+pkt("ofs-delta")+
		pkt("deepen 1")+pkt("want "+string(list[4:44])+"\n")+pkt("done\n")+"0000")
	return err
}

// together runs do once for each client, all at the same time.
func together(b *testing.B, clients []*client, do func(*client) error) {
	errs := make(chan error)
	for _, c := range clients {
		go func() { errs <- do(c) }()
	}
	for range clients {
		if err := <-errs; err != nil {
			b.Error(err)
		}
	}
	if b.Failed() {
		b.FailNow()
	}
}
