package git_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

func TestSSH(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "it's 100% ssh") // a name that must be quoted
	if err := os.Mkdir(keys, 0o700); err != nil {
		t.Fatal(err)
	}
	up := gittest.NewUpstream(t)
	up.Commit(t, project, files(3, 1), "v1.0.0")
	up.AnnotateTag(t, project, "v1.0.1", "main")
	_, wrong, _ := ed25519.GenerateKey(rand.Reader)
	user, host := newKey(t), newKey(t)
	address := sshServer(t, host, user.PublicKey(), up.Dir(project))
	h := &house{up: up, id: mirror.NewID(), from: remote(t, "ssh://git@"+address+"/"+project)}
	h.Disk = open(t, t.TempDir(), func(d *git.Disk) { d.SSHDir = keys })

	_, err := h.List(t.Context(), h.from)
	problem(t, "List without known_hosts", err, mirror.ErrUpstream, mirror.CodeTLS)
	known := "127.0.0.1 " + string(ssh.MarshalAuthorizedKey(host.PublicKey()))
	write(t, filepath.Join(keys, "known_hosts"), known)
	writeKey(t, filepath.Join(keys, "id_ed25519"), wrong)
	_, err = h.List(t.Context(), h.from)
	problem(t, "List with a key the server does not know", err, mirror.ErrSignIn, mirror.CodeAuth)
	writeKey(t, filepath.Join(keys, "id_ed25519"), user.private)
	h.mustSync(t)
	h.same(t)
	h.whole(t)
	there, err := h.List(t.Context(), h.from)
	here, _ := h.Refs(t.Context(), h.id)
	if err != nil || there.Digest() != here.Digest() {
		t.Errorf("List over ssh = %+v, %v, want %+v", there, err, here)
	}
	write(t, filepath.Join(keys, "known_hosts"), "127.0.0.1 "+string(ssh.MarshalAuthorizedKey(newKey(t).PublicKey())))
	_, err = h.List(t.Context(), h.from)
	problem(t, "List with another host key", err, mirror.ErrUpstream, mirror.CodeTLS)
}

type key struct {
	ssh.Signer
	private ed25519.PrivateKey
}

func newKey(t *testing.T) key {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return key{signer, private}
}

func writeKey(t *testing.T, name string, private ed25519.PrivateKey) {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	write(t, name, string(pem.EncodeToMemory(block)))
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

var uploadPack = regexp.MustCompile(`^git-upload-pack '/` + regexp.QuoteMeta(project) + `'$`)

// sshServer answers git-upload-pack of one repository to one key.
func sshServer(t *testing.T, host ssh.Signer, user ssh.PublicKey, dir string) string {
	t.Helper()
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
		if string(k.Marshal()) != string(user.Marshal()) {
			return nil, io.EOF
		}
		return &ssh.Permissions{}, nil
	}}
	config.AddHostKey(host)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, channels, requests, err := ssh.NewServerConn(conn, config)
				if err != nil {
					return
				}
				go ssh.DiscardRequests(requests)
				for c := range channels {
					channel, requests, err := c.Accept()
					if err != nil {
						return
					}
					go session(channel, requests, dir)
				}
			}()
		}
	}()
	return listener.Addr().String()
}

func session(channel ssh.Channel, requests <-chan *ssh.Request, dir string) {
	defer channel.Close()
	version := ""
	for r := range requests {
		if r.Type == "env" {
			version = "version=2"
			_ = r.Reply(true, nil)
			continue
		}
		var asked struct{ Command string }
		_ = ssh.Unmarshal(r.Payload, &asked)
		if r.Type != "exec" || !uploadPack.MatchString(asked.Command) {
			_ = r.Reply(false, nil)
			return
		}
		_ = r.Reply(true, nil)
		cmd := exec.Command("git", "upload-pack", dir)
		cmd.Env = append(gittest.Env(dir), "GIT_PROTOCOL="+version)
		in, err := cmd.StdinPipe()
		if err != nil {
			return
		}
		cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
		go func() {
			_, _ = io.Copy(in, channel)
			in.Close()
		}()
		status := []byte{0, 0, 0, 0}
		if cmd.Run() != nil {
			status[3] = 1
		}
		_, _ = channel.SendRequest("exit-status", false, status)
		return
	}
}
