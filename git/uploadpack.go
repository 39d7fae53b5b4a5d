package git

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

// UploadPack is one conversation with a git client that clones or fetches.
type UploadPack struct {
	Repo mirror.ID
	// Protocol is the client's GIT_PROTOCOL ("version=2"), validated by the
	// caller; empty = version 0.
	Protocol string
	// Stateless is the http way: one request in, one answer out. Otherwise the
	// conversation goes on in both directions until the client has enough.
	Stateless bool
	// Advertise answers info/refs; only with Stateless. The "# service=" line of
	// smart HTTP is the caller's to write.
	Advertise bool
	// In is the client; nil with Advertise. It is read until its end or until
	// UploadPack returns; a Read that blocks then must be ended by the caller,
	// who closes the connection.
	In io.Reader
	// Out is the client. A Write that fails ends git.
	Out io.Writer
	// Err gets what git says to a person, cleaned; nil = nobody. It is for ssh.
	Err io.Writer
}

// UploadPack serves one conversation. It returns when git has ended, and holds
// no lock. ErrNotFound when the repository was never cloned, ErrBusy never.
// When ctx ends, git and everything it started are ended.
func (d *Disk) UploadPack(ctx context.Context, u UploadPack) error {
	repo, err := d.existing(u.Repo)
	if err != nil {
		return err
	}
	shallow := false
	if u.Stateless && !u.Advertise && speaksV2(u.Protocol) {
		if shallow, u.In, err = peekShallow(u.In); err != nil {
			return err
		}
	}
	args := []string{"upload-pack", "--strict", "--timeout=" + strconv.Itoa(max(1, int(d.IdleTimeout.Seconds())))}
	if u.Stateless {
		args = append(args, "--stateless-rpc")
	}
	if u.Advertise {
		args = append(args, "--http-backend-info-refs")
	}
	c := command{args: append(args, repo), repo: repo, piped: true, config: uploadPackConfig()}
	if shallow {
		// Deltas that are stored are sent; looking for others costs more than the
		// rest of the pack and spares a sixteenth of it.
		c.config = append(c.config, [2]string{"pack.window", "0"})
	}
	if u.Protocol != "" {
		c.env = append(c.env, "GIT_PROTOCOL="+u.Protocol)
	}
	if u.Err != nil {
		c.line = func(line string) bool {
			_, _ = io.WriteString(u.Err, line+"\n")
			return false
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p, err := d.start(ctx, c)
	if err != nil {
		return d.gone(ctx, u.Repo, "start git", err)
	}
	go func() { // ends with In or with git, whose pipe then refuses
		if u.In != nil && !u.Advertise {
			_, _ = io.Copy(p.stdin, u.In)
		}
		_ = p.stdin.Close()
	}()
	_, sent := io.Copy(u.Out, p.stdout)
	if sent != nil { // the client has gone
		cancel()
		_, _ = io.Copy(io.Discard, p.stdout)
	}
	err = p.wait()
	if sent != nil {
		return sent
	}
	return answerOf(err)
}

func uploadPackConfig() [][2]string {
	return [][2]string{
		{"uploadpack.allowFilter", "true"},
		{"uploadpack.allowAnySHA1InWant", "true"}, // v0 then has what v2 gives anyway
		{"uploadpack.advertiseBundleURIs", "false"},
		{"transfer.hideRefs", "refs/gitmirror"},
		{"transfer.hideRefs", "refs/pull"},
		{"core.packedGitWindowSize", "64m"},
	}
}

// maxShallowRequest is the longest request that is looked at for what it asks.
const maxShallowRequest = 64 << 10

// peekShallow tells whether a request of version 2 is for a shallow clone, and
// returns it whole.
func peekShallow(in io.Reader) (shallow bool, whole io.Reader, err error) {
	start, err := io.ReadAll(io.LimitReader(in, maxShallowRequest))
	return err == nil && len(start) < maxShallowRequest && isShallowClone(start), io.MultiReader(bytes.NewReader(start), in), err
}

// speaksV2 tells whether a GIT_PROTOCOL asks for version 2.
func speaksV2(protocol string) bool {
	return slices.Contains(strings.Split(protocol, ":"), "version=2")
}

// isShallowClone tells whether a request of version 2 is for a few commits by a
// client that has none: what the go command and CI do.
func isShallowClone(data []byte) bool {
	in := pktReader{bufio.NewReader(bytes.NewReader(data))}
	deepen := false
	for {
		line, _, err := in.next()
		if err != nil {
			return deepen && err == io.EOF
		}
		if strings.HasPrefix(line, "have ") {
			return false
		}
		deepen = deepen || strings.HasPrefix(line, "deepen ")
	}
}

// answerOf passes a failure on for the log. A client that hangs up in the middle,
// or that asks for what is not there, makes git exit with 128; it has been told
// why in the protocol.
func answerOf(err error) error {
	var f *failure
	if errors.As(err, &f) && f.cause != nil {
		return f.cause
	}
	return err
}
