package git

import (
	"context"
	"encoding/base64"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

// road is how a git process reaches one upstream: through a gate of the guard
// or, with ssh, by checked address; with the credential in its environment,
// along no redirect.
type road struct {
	from    mirror.Remote
	url     string
	config  [][2]string
	env     []string
	secrets []string
	gate    *gate // nil for ssh
}

// close ends the road, and whatever still travels on it.
func (r road) close() {
	if r.gate != nil {
		r.gate.close()
	}
}

// road checks an upstream and its addresses. Nothing is sent to it. The caller
// closes the road when its git has ended.
func (d *Disk) road(ctx context.Context, from mirror.Remote) (road, error) {
	up, err := checkedUpstream(from.Upstream)
	if err != nil {
		return road{}, err
	}
	r := road{from: from, url: up.String()}
	d.state.bandwidths.set(up.Host, from.Bandwidth)
	if up.Scheme == "ssh" {
		addrs, err := d.resolve(ctx, up.Host)
		if err == nil {
			err = d.overSSH(&r, addrs[0])
		}
		return r, err
	}
	if err := d.passable(ctx, up); err != nil {
		return road{}, err
	}
	header, secrets, err := d.authorization(ctx, from)
	if err != nil {
		return road{}, err
	}
	if r.gate, err = d.openGate(up); err != nil {
		return road{}, err
	}
	r.secrets = append(secrets, r.gate.password)
	// The watchdog in fetch ends what stalls; the limit of curl is for a helper
	// that outlives us. It is long, because servers think before they send.
	r.config = append(r.gate.config(), [2]string{"http.userAgent", d.userAgent()},
		[2]string{"http.lowSpeedLimit", "1"}, [2]string{"http.lowSpeedTime", strconv.Itoa(60 + 3*int(d.StallAfter.Seconds()))})
	if d.state.versions.downgraded(up.Host) {
		r.config = append(r.config, [2]string{"http.version", "HTTP/1.1"})
	}
	if header != "" {
		r.config = append(r.config, [2]string{"http." + up.Scheme + "://" + up.Address() + "/.extraHeader", "Authorization: " + header})
	}
	if d.CAFile != "" {
		r.config = append(r.config, [2]string{"http.sslCAInfo", d.CAFile})
	}
	return r, nil
}

// checkedUpstream refuses what ParseUpstream would not have made, so that no
// text of a stranger becomes an argument or a transport.
func checkedUpstream(up mirror.Upstream) (mirror.Upstream, error) {
	again, cred, err := mirror.ParseUpstream(up.String())
	if err != nil {
		return mirror.Upstream{}, err
	}
	if cred != nil || again != up {
		return mirror.Upstream{}, &mirror.Problem{Code: mirror.CodeBadURL, Kind: mirror.ErrInvalid,
			What: "the upstream is not a repository URL", Do: "paste a URL such as https://github.com/spf13/cobra"}
	}
	return up, nil
}

// passable tells early, and in our words, that the guard lets nobody through to
// an upstream. Names that the company's proxy resolves are not looked up here.
func (d *Disk) passable(ctx context.Context, up mirror.Upstream) error {
	if d.state.company.takes(up.Scheme, up.Host, up.DialPort()) {
		return d.Blocked(up)
	}
	_, err := d.resolve(ctx, up.Host)
	return err
}

// authorization is the value of the header, empty without a credential, and
// what must never appear in a message.
func (d *Disk) authorization(ctx context.Context, from mirror.Remote) (header string, secrets []string, err error) {
	cred := from.Credential
	if cred == nil || from.Upstream.Scheme == "ssh" {
		return "", nil, nil
	}
	if !strings.EqualFold(cred.Host, from.Upstream.Host) {
		return "", nil, &mirror.Problem{Code: mirror.CodeAuth, Kind: mirror.ErrDenied,
			What: "the credential " + cred.Name + " is not for " + from.Upstream.Host,
			Why:  "it may only be sent to " + cred.Host, Do: "choose a credential of this host"}
	}
	private, err := d.inOwnNetwork(ctx, from.Upstream)
	if err != nil {
		return "", nil, err
	}
	if from.Upstream.Scheme == "http" && !private {
		return "", nil, &mirror.Problem{Code: mirror.CodeAuth, Kind: mirror.ErrDenied,
			What: "the credential " + cred.Name + " is not sent over http",
			Why:  "anybody on the way could read it", Do: "use https in the upstream's URL"}
	}
	secret := cred.Secret.Reveal()
	packed := base64.StdEncoding.EncodeToString([]byte(cred.User + ":" + secret))
	return "Basic " + packed, []string{packed, secret}, nil
}

// inOwnNetwork tells whether an upstream is on private addresses only, and
// may be: what goes there unencrypted passes no foreign network.
func (d *Disk) inOwnNetwork(ctx context.Context, up mirror.Upstream) (bool, error) {
	if !d.AllowPrivate || up.Scheme != "http" || d.state.company.takes(up.Scheme, up.Host, up.DialPort()) {
		return false, nil
	}
	addrs, err := d.resolve(ctx, up.Host)
	return err == nil && !slices.ContainsFunc(addrs, func(a netip.Addr) bool {
		private, _ := reserved(a)
		return private == ""
	}), err
}

func (d *Disk) userAgent() string { return "git/" + d.GitVersion() + " gitmirror" }

// overSSH names every setting, so that no user's or system's configuration and
// no agent has a say. HostName pins the checked address; HostKeyAlias keeps the
// host's name as the one whose key must be known.
func (d *Disk) overSSH(r *road, addr netip.Addr) error {
	if d.state.ssh == "" {
		return &mirror.Problem{Code: mirror.CodeConnect, Kind: mirror.ErrUpstream,
			What: "ssh was not found", Why: "ssh upstreams need the ssh program of OpenSSH",
			Do: "install openssh-client or use the https URL"}
	}
	options := []string{
		"BatchMode=yes", "ConnectTimeout=30", "ServerAliveInterval=15", "ServerAliveCountMax=4",
		"IdentitiesOnly=yes", "IdentityAgent=none", "IdentityFile=" + quotedOption(filepath.Join(d.SSHDir, "id_ed25519")),
		"UserKnownHostsFile=" + quotedOption(filepath.Join(d.SSHDir, "known_hosts")), "GlobalKnownHostsFile=/dev/null",
		"StrictHostKeyChecking=yes", "UpdateHostKeys=no", "PreferredAuthentications=publickey",
		"ProxyCommand=none", "PermitLocalCommand=no", "ForwardAgent=no", "ClearAllForwardings=yes",
		"HostName=" + addr.String(), "HostKeyAlias=" + r.from.Upstream.Host,
	}
	line := quoted(d.state.ssh) + " -F /dev/null"
	for _, o := range options {
		line += " -o " + quoted(o)
	}
	r.env = append(r.env, "GIT_SSH_COMMAND="+line, "GIT_SSH_VARIANT=ssh")
	return nil
}

// quoted is one word for the shell that git hands GIT_SSH_COMMAND to.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// quotedOption is a file name for ssh, which splits at blanks and expands "%".
func quotedOption(s string) string { return `"` + strings.ReplaceAll(s, "%", "%%") + `"` }
