package git

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// road is how a git process reaches one upstream: by checked address, with the
// credential in its environment, along no redirect.
type road struct {
	from    mirror.Remote
	url     string
	config  [][2]string
	env     []string
	secrets []string
}

// road checks an upstream and its addresses. Nothing is sent to it.
func (d *Disk) road(ctx context.Context, from mirror.Remote) (road, error) {
	up, err := checkedUpstream(from.Upstream)
	if err != nil {
		return road{}, err
	}
	r := road{from: from, url: up.String()}
	addrs, err := d.resolve(ctx, up.Host)
	if err != nil {
		return road{}, err
	}
	if up.Scheme == "ssh" {
		err := d.overSSH(&r, addrs[0])
		return r, err
	}
	header, secrets, err := d.authorization(ctx, from)
	if err != nil {
		return road{}, err
	}
	r.secrets = secrets
	// The watchdog in fetch ends what stalls; the limit of curl is for a helper
	// that outlives us. It is long, because servers think before they send.
	r.config = append(r.config, [2]string{"http.proxy", ""}, [2]string{"http.userAgent", d.userAgent()},
		[2]string{"http.lowSpeedLimit", "1"}, [2]string{"http.lowSpeedTime", strconv.Itoa(60 + 3*int(d.StallAfter.Seconds()))})
	if _, err := netip.ParseAddr(up.Host); err != nil {
		r.config = append(r.config, [2]string{"http.curloptResolve", up.Host + ":" + up.DialPort() + ":" + joined(addrs)})
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

func joined(addrs []netip.Addr) string {
	var out []string
	for _, a := range addrs {
		text := a.String()
		if a.Is6() {
			text = "[" + text + "]"
		}
		out = append(out, text)
	}
	return strings.Join(out, ",")
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
	if !d.AllowPrivate || up.Scheme != "http" {
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

// httpClient is for listing: guarded, without proxies, following nothing.
func (d *Disk) httpClient() (*http.Client, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if d.CAFile != "" {
		pem, err := os.ReadFile(d.CAFile)
		if err != nil {
			return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: "the file of trusted certificates cannot be read", Why: err.Error()}
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: "the file of trusted certificates holds none", Why: d.CAFile + " is not in PEM form"}
		}
		tlsConfig.RootCAs = pool
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return d.dial(ctx, network, address)
			},
			TLSClientConfig:        tlsConfig,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    10 * time.Second,
			MaxIdleConnsPerHost:    4,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}
