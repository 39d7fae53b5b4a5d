//go:build unix

package bench_test

import (
	"bytes"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// BenchmarkIdleSSH holds 1,000 signed-in SSH connections that do nothing, and
// tells what they cost the server, and what the next command takes.
func BenchmarkIdleSSH(b *testing.B) {
	h := newHouse(b, nil)
	open := func() *ssh.Client {
		c, err := ssh.Dial("tcp", h.ssh, h.clientKey)
		if err != nil {
			b.Fatal(err)
		}
		return c
	}
	greet := func(c *ssh.Client) time.Duration {
		began := time.Now()
		s, err := c.NewSession()
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		var out bytes.Buffer
		s.Stdout = &out
		if err := s.Shell(); err != nil {
			b.Fatal(err)
		}
		if err := s.Wait(); err != nil || !bytes.HasPrefix(out.Bytes(), []byte("Hi ")) {
			b.Fatalf("greeting = %q, %v", out.String(), err)
		}
		return time.Since(began)
	}
	open().Close()
	const many = 1000
	before, cpu := h.group.anonymous(), h.group.cpu()
	began := time.Now()
	var idle []*ssh.Client
	for range many {
		c := open()
		defer c.Close()
		idle = append(idle, c)
	}
	opened, used := time.Since(began), h.group.cpu()-cpu
	peak := h.group.anonymous() - before
	// The runtime gives stacks that were needed for the handshake back when it
	// collects garbage, at the latest every two minutes.
	time.Sleep(130 * time.Second)
	rest := h.group.anonymous() - before
	var slowest time.Duration
	for i := 0; i < many; i += 50 {
		slowest = max(slowest, greet(idle[i]))
	}
	last := open()
	defer last.Close()
	greet(last)
	quiet(b)
	b.ReportMetric(float64(peak)/many/1024, "KiB-each-opened")
	b.ReportMetric(float64(rest)/many/1024, "KiB-each-idle")
	b.ReportMetric(used.Seconds()*1000/many, "cpu-ms-each")
	b.ReportMetric(opened.Seconds()*1000/many, "ms-each")
	b.ReportMetric(float64(slowest.Milliseconds()), "slowest-greeting-ms")
}
