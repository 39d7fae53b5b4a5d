package cli

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/mirror"
)

// healthcheckCommand is for containers: their image needs no curl. It is told
// where the server listens by the same settings as the server.
func (p *program) healthcheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "healthcheck", Short: "Ask the server on this machine whether it is alive", Args: args(0, 0), Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.readConfig(cmd.Flags())
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 4*time.Second)
			defer cancel()
			if err := alive(ctx, c); err != nil {
				return &mirror.Problem{Kind: mirror.ErrUpstream, What: "the server does not answer", Why: err.Error(), Do: "see its log"}
			}
			return nil
		},
	}
	addConfigFlags(cmd.Flags())
	return cmd
}

// alive asks /healthz over plain HTTP. With TLS the name in the certificate is
// not that of loopback, so there a connection has to do.
func alive(ctx context.Context, c Config) error {
	at := c.text("http.addr")
	if at == "off" || c.text("tls.mode") != "off" {
		if at == "off" {
			at = c.text("ssh.addr")
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", reachable(at))
		if err != nil {
			return err
		}
		return conn.Close()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+reachable(at)+"/healthz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", resp.Status)
	}
	return nil
}
