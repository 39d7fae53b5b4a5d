package notify_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/notify"
)

func body() mirror.AlertBody {
	return mirror.AlertBody{
		Title: "[gitmirror mirror.example] nightly (late): 1 new", Kind: mirror.AlertLate, Server: "https://mirror.example",
		Begun: []mirror.Alert{{Subject: "mirror github.com/acme/x", Text: "late", Link: "/mirrors/1", Since: time.Now()}}, BegunCount: 1,
	}
}

func sender(t *testing.T, private bool) *notify.Sender {
	t.Helper()
	disk, err := git.Open(t.Context(), git.Disk{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disk.Close() })
	client, dial := disk.Outgoing(private)
	return &notify.Sender{Client: client, Dial: dial, Agent: "gitmirror/test"}
}

type heard struct {
	header http.Header
	query  string
	body   []byte
}

// receiver answers as it is told, and keeps what it heard.
func receiver(t *testing.T, status int, answer string) (string, func() heard) {
	t.Helper()
	var mu sync.Mutex
	var last heard
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		mu.Lock()
		last = heard{r.Header, r.URL.RawQuery, text}
		mu.Unlock()
		w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
		w.WriteHeader(status)
		io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/services/SECRETPATH?key=SECRETKEY", func() heard { mu.Lock(); defer mu.Unlock(); return last }
}

func TestWebhookIsSigned(t *testing.T) {
	to, got := receiver(t, 204, "")
	c := mirror.AlertChannel{Name: "ops", Kind: mirror.ByWebhook, URL: mirror.Secret(to), Secret: "shared"}
	if err := sender(t, true).Send(t.Context(), c, 42, body()); err != nil {
		t.Fatal(err)
	}
	h := got()
	if want := "sha256=" + notify.Signature("shared", h.header.Get("X-Gitmirror-Timestamp"), h.body); h.header.Get("X-Gitmirror-Signature-256") != want {
		t.Errorf("signature = %q, want %q", h.header.Get("X-Gitmirror-Signature-256"), want)
	}
	var doc struct {
		ID    int64
		Begun []mirror.Alert
		Text  string
	}
	if err := json.Unmarshal(h.body, &doc); err != nil || doc.ID != 42 || len(doc.Begun) != 1 || !strings.Contains(doc.Text, "https://mirror.example/mirrors/1") {
		t.Errorf("body = %s, %v", h.body, err)
	}
}

func TestChats(t *testing.T) {
	for _, kind := range []mirror.ChannelKind{mirror.BySlack, mirror.ByFeishu, mirror.ByDingTalk} {
		to, got := receiver(t, 200, `{"code":0,"errcode":0}`)
		c := mirror.AlertChannel{Name: "ops", Kind: kind, URL: mirror.Secret(to), Secret: "shared"}
		if err := sender(t, true).Send(t.Context(), c, 1, body()); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		h := got()
		var doc map[string]any
		if err := json.Unmarshal(h.body, &doc); err != nil || !strings.Contains(string(h.body), "mirror github.com/acme/x") {
			t.Errorf("%s: body = %s, %v", kind, h.body, err)
		}
		if kind == mirror.ByFeishu {
			mac := hmac.New(sha256.New, []byte(doc["timestamp"].(string)+"\nshared"))
			if want := base64.StdEncoding.EncodeToString(mac.Sum(nil)); doc["sign"] != want {
				t.Errorf("feishu: sign = %v, want %s", doc["sign"], want)
			}
		}
		if kind == mirror.ByDingTalk && (!strings.Contains(h.query, "sign=") || !strings.Contains(h.query, "key=SECRETKEY")) {
			t.Errorf("dingtalk: query = %s, want the key and a signature", h.query)
		}
		// A refusal comes with status 200.
		to, _ = receiver(t, 200, `{"code":19021,"errcode":310000,"errmsg":"sign not match"}`)
		c.URL = mirror.Secret(to)
		if err := sender(t, true).Send(t.Context(), c, 1, body()); kind != mirror.BySlack && !errors.Is(err, mirror.ErrUpstream) {
			t.Errorf("%s: Send to one who refuses = %v, want ErrUpstream", kind, err)
		}
	}
}

// What goes wrong is said without the address, which is a secret of chats.
func TestErrorsHoldNoSecrets(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	refusing, _ := receiver(t, 500, "broken\x1b[31m")
	moved, _ := receiver(t, 302, "")
	for _, to := range []string{refusing, moved, gone.URL + "/SECRETPATH?SECRETKEY", "http://no.such.host.invalid/SECRETPATH"} {
		err := sender(t, true).Send(t.Context(), mirror.AlertChannel{Name: "ops", Kind: mirror.BySlack, URL: mirror.Secret(to)}, 1, body())
		if err == nil || strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("Send = %v, want an error without the address", err)
		}
	}
}

// HOSTILE E17: an address that upstreams may not have, receivers may not have.
func TestHostileE17PrivateReceivers(t *testing.T) {
	to, got := receiver(t, 200, "ok")
	s := sender(t, false)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(strings.SplitN(to, "/services", 2)[0], "http://"))
	for _, address := range []string{
		to, "http://localhost:" + port + "/", "http://[::1]:" + port + "/", "http://0.0.0.0:" + port + "/", "http://10.0.0.1/", "http://192.168.1.1/",
		"http://169.254.169.254/latest/meta-data/", "http://[::ffff:127.0.0.1]:" + port + "/", "http://[fd00::1]/", "http://2130706433:" + port + "/", "http://0x7f.1:" + port + "/",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		err := s.Send(ctx, mirror.AlertChannel{Name: "ops", Kind: mirror.ByWebhook, URL: mirror.Secret(address)}, 1, body())
		cancel()
		if err == nil {
			t.Errorf("Send to %s = nil, want a refusal", address)
		}
	}
	for _, server := range []string{"127.0.0.1:" + port, "localhost:" + port, "[::1]:25"} {
		err := s.Send(t.Context(), mirror.AlertChannel{Name: "m", Kind: mirror.ByMail, Server: server, TLS: "none", From: "a@example.com", To: []string{"b@example.com"}}, 1, body())
		if err == nil {
			t.Errorf("mail by %s = nil, want a refusal", server)
		}
	}
	if h := got(); h.header != nil {
		t.Errorf("the receiver on loopback heard %s", h.body)
	}
}

// mailbox is an SMTP server.
type mailbox struct {
	mu    sync.Mutex
	mails []string
	users []string
}

func (m *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return &mailSession{box: m}, nil }

type mailSession struct{ box *mailbox }

func (s *mailSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *mailSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "bot" || password != "sesame" {
			return errors.New("no")
		}
		s.box.mu.Lock()
		defer s.box.mu.Unlock()
		s.box.users = append(s.box.users, user)
		return nil
	}), nil
}
func (s *mailSession) Mail(string, *smtp.MailOptions) error { return nil }
func (s *mailSession) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (s *mailSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.box.mails = append(s.box.mails, string(text))
	return err
}
func (s *mailSession) Reset()        {}
func (s *mailSession) Logout() error { return nil }

func TestMail(t *testing.T) {
	certs := httptest.NewTLSServer(nil) // for its certificate, which is for 127.0.0.1
	defer certs.Close()
	pool := x509.NewCertPool()
	pool.AddCert(certs.Certificate())
	for _, mode := range []string{"starttls", "tls", "none"} {
		box := &mailbox{}
		server := smtp.NewServer(box)
		server.Domain, server.AllowInsecureAuth = "mail.example", false
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server.TLSConfig = &tls.Config{Certificates: certs.TLS.Certificates}
		at := l.Addr().String()
		if mode == "tls" {
			l = tls.NewListener(l, server.TLSConfig)
		}
		done := make(chan error, 1)
		go func() { done <- server.Serve(l) }()
		s := sender(t, true)
		s.TLS = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
		c := mirror.AlertChannel{Name: "m", Kind: mirror.ByMail, Server: at, TLS: mode, From: "gitmirror@example.com", To: []string{"Ada <ada@example.com>", "b@example.com"}}
		if mode != "none" {
			c.User, c.Secret = "bot", "sesame"
		}
		b := body()
		b.Title = "héllo 镜像\r\nBcc: evil@example.com"
		if err := s.Send(t.Context(), c, 7, b); err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		box.mu.Lock()
		if len(box.mails) != 1 || !strings.Contains(box.mails[0], "mirror github.com/acme/x") || strings.Contains(strings.SplitN(box.mails[0], "\r\n\r\n", 2)[0], "\nBcc:") {
			t.Errorf("%s: mails = %q, want one, without a header that was put in", mode, box.mails)
		}
		if mode != "none" && len(box.users) != 1 {
			t.Errorf("%s: nobody signed in", mode)
		}
		box.mu.Unlock()
		// Whoever has no certificate we trust gets no mail.
		if mode != "none" {
			s.TLS = nil
			if err := s.Send(t.Context(), c, 8, body()); err == nil {
				t.Errorf("%s: Send to a server nobody vouches for = nil, want an error", mode)
			}
		}
		server.Close()
		<-done
	}
}
