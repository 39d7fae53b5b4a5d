package modproxy

import (
	"io"
	"net"
	"testing"
	"time"
)

// TestLaneClose: closing does not wait for an answer that is being written, and does
// not cut it off.
func TestLaneClose(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_ = client.SetDeadline(time.Now().Add(10 * time.Second))
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := &lane{TCPConn: server.(*net.TCPConn)}
	if !c.begin() {
		t.Fatal("begin = false on an open connection")
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close = %v, want nil", err)
	}
	if _, err := io.WriteString(c.TCPConn, "the answer"); err != nil {
		t.Errorf("the answer after Close: %v", err)
	}
	c.end()
	if got, err := io.ReadAll(client); string(got) != "the answer" || err != nil {
		t.Errorf("the client got %q, %v, want the answer and its end", got, err)
	}
	if c.begin() {
		t.Error("begin = true after Close")
	}
}
