package modproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

func (b *RuleBook) vulns() *Vulns {
	if b == nil {
		return nil
	}
	return b.known.Load()
}

func (b *RuleBook) isURL() bool {
	return strings.HasPrefix(b.OSV, "https://") || strings.HasPrefix(b.OSV, "http://")
}

func (b *RuleBook) osvFile() string {
	if b.isURL() {
		return filepath.Join(b.Dir, "osv")
	}
	return b.OSV
}

func (b *RuleBook) readVulns(name string) error {
	if name == "" {
		return nil
	}
	other, err := changed(name, &b.vulned)
	if err != nil && b.isURL() {
		return nil // not fetched yet
	}
	if err == nil && !other {
		return nil
	}
	v, err := LoadVulns(name)
	if err != nil {
		return err
	}
	b.known.Store(v)
	if b.Log != nil {
		b.Log.Info("vulnerabilities of modules read", "entries", v.Len())
	}
	return nil
}

// fetchOSV gets the database when it has changed.
func (b *RuleBook) fetchOSV(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, osvWait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.OSV, nil)
	if err != nil {
		return err
	}
	if b.etag != "" {
		req.Header.Set("If-None-Match", b.etag)
	}
	res, err := b.Client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotModified:
		return nil
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("%s answers %s", req.URL.Host, res.Status)
	}
	if err := os.MkdirAll(b.Dir, 0o755); err != nil {
		return err
	}
	draft, err := os.CreateTemp(b.Dir, "osv-*")
	if err != nil {
		return err
	}
	defer os.Remove(draft.Name())
	n, err := io.Copy(draft, io.LimitReader(res.Body, maxOSVFile+1))
	if err = errors.Join(err, draft.Sync(), draft.Close()); err != nil {
		return err
	}
	if n > maxOSVFile {
		return fmt.Errorf("%s sends more than %d MiB", req.URL.Host, maxOSVFile>>20)
	}
	if _, err := LoadVulns(draft.Name()); err != nil {
		return err
	}
	b.etag = res.Header.Get("ETag")
	return os.Rename(draft.Name(), b.osvFile())
}
