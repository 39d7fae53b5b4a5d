//go:build unix

package bench_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// puller makes the requests of git in protocol v2 and drops the pack as it
// comes, over a new connection each time.
type puller struct {
	url string // http://…/repo
	// ssh, if set, is the way instead: url is then what git-upload-pack is given.
	ssh  *ssh.ClientConfig
	addr string
}

// pulled is what one request brought.
type pulled struct {
	bytes int64
	first time.Duration // until the first byte of the pack, from the connection on
}

const (
	listAll   = "" // every ref
	listClone = "ref-prefix refs/heads/\nref-prefix refs/tags/\nref-prefix HEAD\n"
)

func listRequest(prefixes string) string {
	var b strings.Builder
	b.WriteString(pkt("command=ls-refs\n") + capabilities + pkt("peel\n") + pkt("symrefs\n"))
	for line := range strings.Lines(prefixes) {
		b.WriteString(pkt(line))
	}
	return b.String() + "0000"
}

func fetchRequest(wants, haves []string) string {
	var b strings.Builder
	b.WriteString(pkt("command=fetch") + capabilities + pkt("thin-pack") + pkt("no-progress") + pkt("include-tag") + pkt("ofs-delta"))
	for _, id := range wants {
		b.WriteString(pkt("want " + id + "\n"))
	}
	for _, id := range haves {
		b.WriteString(pkt("have " + id + "\n"))
	}
	if len(haves) == 0 {
		b.WriteString(pkt("done\n"))
	}
	return b.String() + "0000"
}

// tips are the objects a listing names, each once.
func tips(list []byte) (ids []string) {
	seen := map[string]bool{}
	for line := range strings.Lines(string(list)) {
		line = strings.TrimPrefix(line, "0000")
		if len(line) > 44 && !seen[line[4:44]] {
			seen[line[4:44]] = true
			ids = append(ids, line[4:44])
		}
	}
	return ids
}

// list is an ls-refs.
func (p *puller) list(prefixes string) (list []byte, err error) {
	err = p.talk(func(ask func(string) (*bufio.Reader, error)) error {
		in, err := ask(listRequest(prefixes))
		if err != nil {
			return err
		}
		list, err = readFlush(in)
		return err
	})
	return list, err
}

// clone is a full one; wants chooses from what is listed, nil = all.
func (p *puller) clone(wants func([]string) []string) (pulled, error) {
	return p.pull(func(all []string) ([]string, []string) {
		if wants != nil {
			all = wants(all)
		}
		return all, nil
	})
}

// fetch is that of somebody who has some commits already.
func (p *puller) fetch(haves []string) (pulled, error) {
	return p.pull(func(all []string) ([]string, []string) { return all[:1], haves })
}

func (p *puller) pull(choose func(listed []string) (wants, haves []string)) (got pulled, err error) {
	began := time.Now()
	err = p.talk(func(ask func(string) (*bufio.Reader, error)) error {
		in, err := ask(listRequest(listClone))
		if err != nil {
			return err
		}
		list, err := readFlush(in)
		if err != nil {
			return err
		}
		if in, err = ask(fetchRequest(choose(tips(list)))); err != nil {
			return err
		}
		got, err = discard(in, began)
		return err
	})
	return got, err
}

// talk connects, hears what the server can do, and lets do ask.
func (p *puller) talk(do func(ask func(string) (*bufio.Reader, error)) error) error {
	if p.ssh != nil {
		return p.overSSH(do)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var body io.ReadCloser
	send := func(method, path, request string) (*bufio.Reader, error) {
		if body != nil { // to its end, so that the connection is used again
			_, _ = io.Copy(io.Discard, body)
			body.Close()
		}
		req, err := http.NewRequest(method, p.url+path, strings.NewReader(request))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Git-Protocol", "version=2")
		if method == http.MethodPost {
			req.Header.Set("Content-Type", "application/x-git-upload-pack-request")
		}
		res, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		body = res.Body
		if res.StatusCode != http.StatusOK {
			text, _ := io.ReadAll(io.LimitReader(body, 500))
			return nil, fmt.Errorf("%s %s%s: %s: %s", method, p.url, path, res.Status, text)
		}
		return bufio.NewReaderSize(body, 128<<10), nil
	}
	if _, err := send(http.MethodGet, "/info/refs?service=git-upload-pack", ""); err != nil {
		return err
	}
	err := do(func(request string) (*bufio.Reader, error) { return send(http.MethodPost, "/git-upload-pack", request) })
	if body != nil {
		_, _ = io.Copy(io.Discard, body)
		body.Close()
	}
	return err
}

func (p *puller) overSSH(do func(ask func(string) (*bufio.Reader, error)) error) error {
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	c, channels, requests, err := ssh.NewClientConn(conn, p.addr, p.ssh)
	if err != nil {
		return err
	}
	client := ssh.NewClient(c, channels, requests)
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()
	if err := session.Setenv("GIT_PROTOCOL", "version=2"); err != nil {
		return err
	}
	in, err := session.StdinPipe()
	if err != nil {
		return err
	}
	out, err := session.StdoutPipe()
	if err != nil {
		return err
	}
	if err := session.Start("git-upload-pack '" + p.url + "'"); err != nil {
		return err
	}
	reader := bufio.NewReaderSize(out, 128<<10)
	if _, err := readFlush(reader); err != nil { // the capabilities
		return err
	}
	err = do(func(request string) (*bufio.Reader, error) {
		_, err := io.WriteString(in, request)
		return reader, err
	})
	if err != nil {
		return err
	}
	_, _ = io.WriteString(in, "0000")
	in.Close()
	return session.Wait()
}

// readFlush reads pkt-lines up to a flush, and returns all of it.
func readFlush(in *bufio.Reader) ([]byte, error) {
	var all bytes.Buffer
	for {
		n, err := pktLength(in)
		if err != nil {
			return nil, fmt.Errorf("a listing: %w", err)
		}
		if n == 0 {
			all.WriteString("0000")
			return all.Bytes(), nil
		}
		fmt.Fprintf(&all, "%04x", n)
		if _, err := io.CopyN(&all, in, int64(max(n-4, 0))); err != nil {
			return nil, err
		}
	}
}

func pktLength(in *bufio.Reader) (int, error) {
	var head [4]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(head[:]), 16, 16)
	if err == nil && n == 3 {
		err = fmt.Errorf("a pkt-line of %q", head)
	}
	return int(n), err
}

// discard reads the answer to a fetch and keeps nothing of it.
func discard(in *bufio.Reader, began time.Time) (got pulled, err error) {
	packing := false
	for {
		n, err := pktLength(in)
		switch {
		case err != nil:
			return got, fmt.Errorf("a pack, after %d bytes: %w", got.bytes, err)
		case n == 0 && !packing:
			return got, fmt.Errorf("the answer has no pack")
		case n == 0:
			return got, nil
		case n < 4:
			continue
		}
		if !packing {
			line := make([]byte, n-4)
			if _, err := io.ReadFull(in, line); err != nil {
				return got, err
			}
			if bytes.HasPrefix(line, []byte("ERR ")) {
				return got, fmt.Errorf("the server says %q", line)
			}
			packing = string(line) == "packfile\n"
			continue
		}
		band, err := in.ReadByte()
		if err != nil {
			return got, err
		}
		if band == 3 {
			text, _ := io.ReadAll(io.LimitReader(in, int64(n-5)))
			return got, fmt.Errorf("the server says %q", text)
		}
		if band == 1 {
			if got.first == 0 {
				got.first = time.Since(began)
			}
			got.bytes += int64(n - 5)
		}
		if _, err := in.Discard(n - 5); err != nil {
			return got, err
		}
	}
}
