package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// Sender implements mirror.AlertSender. Whatever it sends goes through Client
// and Dial, which decide where connections may go.
type Sender struct {
	// Client follows no redirect.
	Client *http.Client
	// Dial connects to mail servers.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is how mail servers are trusted; nil = by the system's certificates.
	TLS *tls.Config
	// Agent is what it calls itself.
	Agent string
}

var _ mirror.AlertSender = (*Sender)(nil)

// Send implements mirror.AlertSender.
func (s *Sender) Send(ctx context.Context, c mirror.AlertChannel, id int64, b mirror.AlertBody) error {
	switch c.Kind {
	case mirror.ByMail:
		return s.mail(ctx, c, id, b)
	case mirror.BySlack:
		return s.chat(ctx, c, c.URL.Reveal(), map[string]any{"text": b.Text()})
	case mirror.ByFeishu:
		return s.feishu(ctx, c, b)
	case mirror.ByDingTalk:
		return s.dingTalk(ctx, c, b)
	case mirror.ByWebhook:
		return s.webhook(ctx, c, id, b)
	}
	return &mirror.Problem{Kind: mirror.ErrInvalid, What: "this program knows no channels of kind " + string(c.Kind)}
}

// webhook sends the whole message as JSON. Its signature covers the time, so that
// a receiver can refuse old ones that somebody sends again.
func (s *Sender) webhook(ctx context.Context, c mirror.AlertChannel, id int64, b mirror.AlertBody) error {
	text, err := json.Marshal(struct {
		ID int64 `json:"id"`
		mirror.AlertBody
		Text string `json:"text"`
	}{id, b, b.Text()})
	if err != nil {
		return err
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	head := http.Header{"X-Gitmirror-Delivery": {strconv.FormatInt(id, 10)}, "X-Gitmirror-Timestamp": {at}}
	if c.Secret != "" {
		head.Set("X-Gitmirror-Signature-256", "sha256="+Signature(c.Secret.Reveal(), at, text))
	}
	_, err = s.post(ctx, c, c.URL.Reveal(), text, head)
	return err
}

// Signature is the HMAC-SHA256, in hex, of the timestamp, "." and the body.
func Signature(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// feishu signs as its custom bots do: the key is timestamp, newline and secret.
func (s *Sender) feishu(ctx context.Context, c mirror.AlertChannel, b mirror.AlertBody) error {
	body := map[string]any{"msg_type": "text", "content": map[string]string{"text": b.Text()}}
	if c.Secret != "" {
		at := strconv.FormatInt(time.Now().Unix(), 10)
		mac := hmac.New(sha256.New, []byte(at+"\n"+c.Secret.Reveal()))
		body["timestamp"], body["sign"] = at, base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return s.chat(ctx, c, c.URL.Reveal(), body)
}

// dingTalk signs as its custom robots do, in the address.
func (s *Sender) dingTalk(ctx context.Context, c mirror.AlertChannel, b mirror.AlertBody) error {
	to := c.URL.Reveal()
	if c.Secret != "" {
		at := strconv.FormatInt(time.Now().UnixMilli(), 10)
		mac := hmac.New(sha256.New, []byte(c.Secret.Reveal()))
		mac.Write([]byte(at + "\n" + c.Secret.Reveal()))
		u, err := url.Parse(to)
		if err != nil {
			return &mirror.Problem{Kind: mirror.ErrInvalid, What: "the URL of the channel does not parse"}
		}
		q := u.Query()
		q.Set("timestamp", at)
		q.Set("sign", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		u.RawQuery = q.Encode()
		to = u.String()
	}
	return s.chat(ctx, c, to, map[string]any{"msgtype": "text", "text": map[string]string{"content": b.Text()}})
}

// chat posts to a chat, whose answer may be 200 and a refusal.
func (s *Sender) chat(ctx context.Context, c mirror.AlertChannel, to string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	said, err := s.post(ctx, c, to, text, nil)
	if err != nil {
		return err
	}
	var verdict struct {
		Code    int    `json:"code"`
		ErrCode int    `json:"errcode"`
		Msg     string `json:"msg"`
		ErrMsg  string `json:"errmsg"`
	}
	if json.Unmarshal(said, &verdict) == nil && (verdict.Code != 0 || verdict.ErrCode != 0) {
		return refused(c, fmt.Sprintf("it says %d: %s", max(verdict.Code, verdict.ErrCode), printable(verdict.Msg+verdict.ErrMsg)))
	}
	return nil
}

func (s *Sender) post(ctx context.Context, c mirror.AlertChannel, to string, body []byte, head http.Header) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return nil, refused(c, "its URL cannot be used")
	}
	for k, v := range head {
		req.Header[k] = v
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", s.Agent)
	resp, err := s.Client.Do(req)
	if err != nil {
		return nil, unreachable(c, err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	switch {
	case resp.StatusCode/100 == 3:
		return nil, refused(c, "it answers "+resp.Status+", and redirects are not followed: give the address it leads to")
	case resp.StatusCode/100 != 2:
		return nil, refused(c, "it answers "+resp.Status+": "+printable(string(said)))
	}
	return said, err
}

func refused(c mirror.AlertChannel, why string) error {
	return &mirror.Problem{Kind: mirror.ErrUpstream, What: "the channel " + c.Name + " did not take the message", Why: why, Do: "check the channel's settings, then send a trial"}
}

// unreachable leaves out what net/http puts before the reason: the URL, which is
// a secret.
func unreachable(c mirror.AlertChannel, err error) error {
	var p *mirror.Problem
	if errors.As(err, &p) {
		return p
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return &mirror.Problem{Kind: mirror.ErrUpstream, What: "the channel " + c.Name + " cannot be reached", Why: printable(err.Error()), Do: "check its address, and whether this server may connect to it"}
}

// printable is the beginning of what a peer said, in one line.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == 0xfffd || r == '\u202e' {
			return ' '
		}
		return r
	}, s)
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return strings.TrimSpace(s)
}
