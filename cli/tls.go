package cli

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// tlsConfig is nil when tls.mode is off.
func tlsConfig(c Config, d *dataDir, log *slog.Logger) (*tls.Config, error) {
	switch c.text("tls.mode") {
	case "files":
		files := &certFiles{Cert: c.text("tls.cert"), Key: c.text("tls.key"), Log: log}
		if _, err := files.load(); err != nil {
			return nil, configProblem("the certificate of tls.cert and tls.key cannot be used", err.Error(),
				"both must be PEM files, the key must be the certificate's, and this process must be able to read them")
		}
		return hardened(&tls.Config{GetCertificate: files.certificate}), nil
	case "acme":
		site, err := url.Parse(c.text("public_url"))
		if err != nil {
			return nil, err
		}
		manager := &autocert.Manager{
			Prompt: autocert.AcceptTOS, Email: c.text("tls.acme_email"),
			Cache: autocert.DirCache(filepath.Join(d.Path, "acme")), HostPolicy: autocert.HostWhitelist(site.Hostname()),
		}
		if directory := c.text("tls.acme_directory"); directory != "" {
			manager.Client = &acme.Client{DirectoryURL: directory}
		}
		return hardened(manager.TLSConfig()), nil
	}
	return nil, nil
}

// hardened leaves TLS 1.2 with authenticated ciphers only.
func hardened(c *tls.Config) *tls.Config {
	c.MinVersion = tls.VersionTLS12
	c.CipherSuites = []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
	if len(c.NextProtos) == 0 {
		c.NextProtos = []string{"h2", "http/1.1"}
	}
	return c
}

// certLook is how long a certificate is used before the files are looked at again.
const certLook = time.Second

// certFiles serves a certificate and reads it again when a file changed. A
// pair that cannot be read (half replaced, say) leaves the last good one in use.
type certFiles struct {
	Cert, Key string
	Log       *slog.Logger

	mu     sync.Mutex
	good   *tls.Certificate
	stamp  string // of the files good was read from, or that failed
	looked time.Time
}

func (f *certFiles) load() (*tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, err
	}
	f.good, f.stamp, f.looked = &cert, f.now(), time.Now()
	return f.good, nil
}

func (f *certFiles) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.looked) < certLook {
		return f.good, nil
	}
	f.looked = time.Now()
	stamp := f.now()
	if stamp == f.stamp {
		return f.good, nil
	}
	if _, err := f.load(); err != nil {
		f.stamp = stamp
		f.Log.LogAttrs(context.WithoutCancel(hello.Context()), slog.LevelError, "keep the old certificate", slog.Any("err", err))
	}
	return f.good, nil
}

// now tells the present files from other ones.
func (f *certFiles) now() string {
	stamp := ""
	for _, path := range []string{f.Cert, f.Key} {
		info, err := os.Stat(path)
		if err != nil {
			return "unreadable"
		}
		stamp += fmt.Sprintf("%d %d;", info.Size(), info.ModTime().UnixNano())
	}
	return stamp
}
