package notify

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/gitmirror/gitmirror/mirror"
)

const mailTime = 25 * time.Second

func (s *Sender) mail(ctx context.Context, c mirror.AlertChannel, id int64, b mirror.AlertBody) error {
	host, portText, err := net.SplitHostPort(c.Server)
	port, bad := strconv.Atoi(portText)
	if err != nil || bad != nil {
		return refused(c, "its mail server is not HOST:PORT")
	}
	m := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := m.From(c.From); err != nil {
		return refused(c, "the sender's address cannot be used")
	}
	if err := m.To(c.To...); err != nil {
		return refused(c, "a receiver's address cannot be used")
	}
	m.Subject(b.Title)
	m.SetDate()
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetGenHeader("X-Gitmirror-Delivery", fmt.Sprint(id))
	m.SetBodyString(mail.TypeTextPlain, b.Text())

	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.TLS != nil {
		trust = s.TLS.Clone()
	}
	trust.ServerName = host
	options := []mail.Option{mail.WithPort(port), mail.WithTimeout(mailTime), mail.WithTLSConfig(trust)}
	dial, proof := s.Dial, mail.SMTPAuthAutoDiscover
	switch c.TLS {
	case "tls": // from the first byte; the library leaves that to whoever dials
		options = append(options, mail.WithSSL())
		proof = mail.SMTPAuthPlain // it would discover none: it does not see that the connection is secure
		dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := s.Dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			secure := tls.Client(conn, trust)
			if err := secure.HandshakeContext(ctx); err != nil {
				conn.Close()
				return nil, err
			}
			return secure, nil
		}
	case "none":
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	options = append(options, mail.WithDialContextFunc(dial))
	if c.User != "" && c.Secret != "" {
		options = append(options, mail.WithSMTPAuth(proof), mail.WithUsername(c.User), mail.WithPassword(c.Secret.Reveal()))
	}
	client, err := mail.NewClient(host, options...)
	if err != nil {
		return refused(c, printable(err.Error()))
	}
	if err := client.DialAndSendWithContext(ctx, m); err != nil {
		return unreachable(c, err)
	}
	return nil
}
