package gitserver_test

import (
	"net"
	"strings"
	"testing"
)

// ssh-audit, a program by others, finds nothing to complain of; algorithms that
// are newer than itself it calls unknown.
func TestSSHAudit(t *testing.T) {
	r := newRig(t)
	host, port, _ := net.SplitHostPort(r.sshAddr)
	got := r.run(t, nil, "ssh-audit", "-n", "-2", "-p", port, host)
	if !strings.Contains(got.out, "(enc) aes128-gcm@openssh.com") {
		t.Fatalf("ssh-audit = exit %d, %s%s, want its findings", got.code, got.out, got.err)
	}
	for line := range strings.Lines(got.out) {
		if strings.Contains(line, "[fail]") || strings.Contains(line, "[warn]") && !strings.Contains(line, "unknown algorithm") {
			t.Errorf("ssh-audit complains: %s", strings.TrimSpace(line))
		}
	}
	first := strings.Index(got.out, "(enc) ")
	if !strings.HasPrefix(got.out[first:], "(enc) aes128-gcm@openssh.com") {
		t.Errorf("the first cipher is %.40q, want AES-GCM", got.out[first:])
	}
}
