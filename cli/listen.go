package cli

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// drainFor is how long a stopping server waits for answers that are under way.
const drainFor = 30 * time.Second

// listen opens the port of a setting; nil when it is off.
func listen(ctx context.Context, c Config, key string) (net.Listener, error) {
	addr := c.text(key)
	if addr == "off" {
		return nil, nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err == nil {
		return l, nil
	}
	s, _ := settingOf(key)
	problem := &mirror.Problem{Code: codeStart, What: key + ": cannot listen on " + addr, Why: err.Error(),
		Do: "choose another address with --" + s.flag() + " HOST:PORT"}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		problem.Why = "the port is in use by another program"
		problem.Do = "stop that program, or choose another port: --" + s.flag() + " " + nextPort(addr)
	case errors.Is(err, os.ErrPermission):
		problem.Why = "ports below 1024 need a privilege"
		problem.Do += " above 1023, or give the binary the capability CAP_NET_BIND_SERVICE"
	}
	return nil, problem
}

// nextPort is an address to try instead: any port the system has free.
func nextPort(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return "127.0.0.1:0"
	}
	return net.JoinHostPort(host, "0")
}

// publicURL is public_url, or the address of the listener as clients on this
// machine can use it.
func publicURL(c Config, addr string) string {
	if u := c.text("public_url"); u != "" {
		return strings.TrimRight(u, "/")
	}
	if addr == "off" {
		return ""
	}
	scheme := "http://"
	if c.text("tls.mode") != "off" {
		scheme = "https://"
	}
	return scheme + reachable(addr)
}

// reachable replaces the address that means "all of them" by loopback.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}

// serveHTTP runs server on l until ctx ends, then lets the answers under way
// finish for drainFor.
func serveHTTP(ctx context.Context, server *http.Server, l net.Listener) error {
	failed := make(chan error, 1)
	go func() {
		if server.TLSConfig != nil {
			failed <- server.ServeTLS(l, "", "")
			return
		}
		failed <- server.Serve(l)
	}()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainFor)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		server.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
