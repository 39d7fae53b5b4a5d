package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

// inside says that this process is one without a network, and which of how many:
// "0/2" is the first of two.
const inside = "GITMIRROR_TEST_SEALED"

// part is what a sealed test does in one of its processes.
type part struct{ n, of int }

// mine tells whether the i-th subtest is for this process.
func (p part) mine(i int) bool { return i%p.of == p.n }

// sealed runs a test where nothing can be reached but loopback: it starts the
// test again in a network namespace of its own, and there calls run. With of > 1
// it does so that many times at once, for names and ports can be had once in a
// namespace. Where namespaces are not allowed run is called here, and must do
// with less.
func sealed(t *testing.T, of int, run func(*testing.T, part)) {
	if mark := os.Getenv(inside); mark != "" {
		var p part
		if _, err := fmt.Sscanf(mark, "%d/%d", &p.n, &p.of); err != nil {
			t.Fatalf("%s = %q, want N/M", inside, mark)
		}
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			t.Fatalf("ip link set lo up: %v\n%s", err, out)
		}
		if conn, err := net.Dial("udp", "192.0.2.1:443"); err == nil { // a documentation address: is there a route to anywhere?
			conn.Close()
			t.Fatal("the network namespace has a route to the outside")
		}
		nameOurselves(t)
		run(t, p)
		return
	}
	outs, errs := make([][]byte, of), make([]error, of)
	var all sync.WaitGroup
	for n := range of {
		all.Go(func() { outs[n], errs[n] = playSealed(t.Name(), part{n, of}) })
	}
	all.Wait()
	if errors.Is(errs[0], syscall.EPERM) {
		t.Log("network namespaces are not allowed here; a proxy setting that lets nothing through has to do")
		run(t, part{0, 1})
		return
	}
	for n, out := range outs {
		if errs[n] != nil {
			t.Errorf("in network namespace %d of %d: %v", n+1, of, errs[n])
		}
		t.Logf("%s", out)
	}
}

// playSealed starts this test, or those of its subtests that were asked for, in a
// namespace, and returns what it said.
func playSealed(test string, p part) ([]byte, error) {
	only := "^" + test + "$"
	if asked := flag.Lookup("test.run").Value.String(); strings.HasPrefix(asked, test+"/") {
		only = asked
	}
	cmd := exec.Command(os.Args[0], "-test.run="+only, "-test.v", "-test.timeout=20m")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d/%d", inside, p.n, p.of), gittest.QuickExit)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	return cmd.CombinedOutput()
}

// corp is the name of this machine in the namespace.
const corp = "git.corp.test"

// nameOurselves lets the name corp lead to loopback, in this mount namespace only.
func nameOurselves(t *testing.T) {
	hosts := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(hosts, []byte("127.0.0.1 localhost "+corp+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatalf("make the mounts private: %v", err)
	}
	if err := syscall.Mount(hosts, "/etc/hosts", "", syscall.MS_BIND, ""); err != nil {
		t.Fatalf("mount our own /etc/hosts: %v", err)
	}
}

// writeCertificate makes a certificate for a host that signs itself, and its key.
func writeCertificate(host, cert, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(host); ip != nil {
		template.DNSNames, template.IPAddresses = nil, []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600),
	)
}
