package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
	"github.com/gitmirror/gitmirror/store"
	"github.com/gitmirror/gitmirror/telemetry"
	"github.com/gitmirror/gitmirror/web"
)

// packs lets gitserver, which knows no disk, ask for packs.
type packs struct{ *git.Disk }

// UploadPack is that of the disk.
func (p packs) UploadPack(ctx context.Context, id mirror.ID, protocol string, stateless, advertise bool, in io.Reader, out, errOut io.Writer) error {
	return p.Disk.UploadPack(ctx, git.UploadPack{
		Repo: id, Protocol: protocol, Stateless: stateless, Advertise: advertise, In: in, Out: out, Err: errOut,
	})
}

// byState counts the mirrors for the metrics.
func byState(db *store.DB) func(context.Context) (map[string]int, error) {
	return func(ctx context.Context) (map[string]int, error) {
		counts, err := db.CountRepos(ctx, mirror.RepoQuery{})
		if err != nil {
			return nil, err
		}
		out := map[string]int{}
		for _, s := range []mirror.Status{
			mirror.Queued, mirror.Cloning, mirror.Ready, mirror.Syncing, mirror.Retrying, mirror.Failed, mirror.Paused,
		} {
			out[string(s)] = counts[s]
		}
		return out, nil
	}
}

// countMirrors counts those the caller may read, for the greeting of SSH.
func countMirrors(db *store.DB, policy auth.Policy) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		sight, err := policy.Sight(ctx, auth.From(ctx))
		if err != nil {
			return 0, err
		}
		counts, err := db.CountRepos(ctx, mirror.RepoQuery{Sight: sight})
		total := 0
		for _, n := range counts {
			total += n
		}
		return total, err
	}
}

// newRoads are the ways to the upstream hosts.
func newRoads(db mirror.Store, disk *git.Disk, catalog *mirror.Catalog, metrics *telemetry.Metrics, log *slog.Logger) *mirror.Roads {
	return &mirror.Roads{
		Store: db, Prober: disk, Credential: catalog.OpenCredential, Check: catalog.CheckEndpoint, Log: log,
		OnSample: func(s mirror.Sample) {
			metrics.UpstreamMeasured(s.Host, s.Endpoint, s.DNS, s.Connect, s.TLS, s.FirstByte, s.Problem != "")
		},
		OnSwitch: func(e mirror.HostEvent) { metrics.UpstreamSwitched(e.Host, e.To, e.By == "") },
	}
}

// activeRoads lists the endpoints of hosts that have a choice, for the metrics.
func activeRoads(roads *mirror.Roads) func(context.Context) ([]telemetry.Road, error) {
	return func(ctx context.Context) ([]telemetry.Road, error) {
		hosts, err := roads.Store.Hosts(ctx)
		var out []telemetry.Road
		for _, h := range hosts {
			if len(h.Endpoints) < 2 {
				continue
			}
			for _, e := range h.Endpoints {
				out = append(out, telemetry.Road{Host: h.Name, Endpoint: e.Name, Active: e.Name == h.InUse().Name})
			}
		}
		return out, err
	}
}

// byPath gives git what is a repository's and the rest to others. Paths of
// repositories begin with a host name and have more behind it; /favicon.ico
// has not, /.well-known/… begins with a dot. A host alone may be an import path
// (miniflux.app), which only the go command asks for.
func byPath(repos, others http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		host := strings.Contains(first, ".") && first[0] != '.'
		if host && (rest != "" || r.URL.Query().Get("go-get") == "1") {
			repos.ServeHTTP(w, r)
			return
		}
		others.ServeHTTP(w, r)
	})
}

// byRoot gives the go command's questions to the module proxy, as they were asked:
// to route them among the others takes as long as an answer.
func byRoot(modules, others http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, modproxy.Root) {
			modules.ServeHTTP(w, r)
			return
		}
		others.ServeHTTP(w, r)
	})
}

// checkResult is what the metrics call a look at an upstream that ended with p.
func checkResult(p *mirror.Problem) string {
	if p == nil {
		return "ok"
	}
	return string(p.Class())
}

// routeClass is what the metrics call a request that is not git's.
func routeClass(r *http.Request) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch first {
	case "api", "proxy", "static":
		return first
	case "hooks":
		return "hook"
	case "metrics", "healthz", "readyz":
		return "ops"
	}
	return "console"
}

// listenBoth opens the two ports, or none.
func listenBoth(ctx context.Context, c Config) (httpAt, sshAt net.Listener, err error) {
	if httpAt, err = listen(ctx, c, "http.addr"); err != nil {
		return nil, nil, err
	}
	if sshAt, err = listen(ctx, c, "ssh.addr"); err != nil {
		if httpAt != nil {
			httpAt.Close()
		}
		return nil, nil, err
	}
	return httpAt, sshAt, nil
}

// siteOf is where clients find us.
func siteOf(c Config, httpAt, sshAt net.Listener) mirror.Site {
	site := mirror.Site{}
	addr := "off"
	if httpAt != nil {
		addr = httpAt.Addr().String()
	}
	site.URL = publicURL(c, addr)
	if sshAt != nil {
		host, port, _ := net.SplitHostPort(reachable(sshAt.Addr().String()))
		if c.text("public_url") != "" && site.Host() != "" {
			host = site.Host()
		}
		site.SSH = "ssh://git@" + net.JoinHostPort(host, port)
	}
	return site
}

// logFormat is the setting, or what fits where the log goes.
func (p *program) logFormat(c Config) string {
	if f := c.text("log.format"); f != "" {
		return f
	}
	if terminal(p.stderr) {
		return "text"
	}
	return "json"
}

// firstAdmin makes the first user. It returns the password that was generated
// for it, if one was.
func (p *program) firstAdmin(ctx context.Context, accounts *auth.Accounts, data *dataDir) (string, error) {
	generated, created, err := accounts.Bootstrap(ctx, p.lookup("GITMIRROR_ADMIN_PASSWORD"))
	if err != nil || !created || generated == "" {
		return "", err
	}
	return generated, data.keepPassword(generated)
}

// changedPasswords forgets the generated password of the first admin as soon as
// it is no longer the password.
type changedPasswords struct {
	*store.DB
	data *dataDir
}

// EditUser is that of the database.
func (s changedPasswords) EditUser(ctx context.Context, u auth.User) error {
	before, err := s.DB.User(ctx, u.ID)
	if err != nil {
		return err
	}
	if err := s.DB.EditUser(ctx, u); err != nil {
		return err
	}
	if before.Name == auth.FirstAdmin && before.PasswordHash != u.PasswordHash {
		return s.data.forgetPassword()
	}
	return nil
}

// RemoveUser is that of the database.
func (s changedPasswords) RemoveUser(ctx context.Context, id string) error {
	before, err := s.DB.User(ctx, id)
	if err != nil {
		return err
	}
	if err := s.DB.RemoveUser(ctx, id); err != nil {
		return err
	}
	if before.Name == auth.FirstAdmin {
		return s.data.forgetPassword()
	}
	return nil
}

// greet says where everything is, and once the first password.
func (p *program) greet(site mirror.Site, data *dataDir, password string) {
	var lines []string
	add := func(name, value string) {
		if value != "" {
			lines = append(lines, fmt.Sprintf("%-9s %s", name, value))
		}
	}
	add("console", site.URL)
	if site.Path() != "" {
		add("", "(its pages want a host of their own: links lead to the root of "+site.Host()+")")
	}
	if site.URL != "" {
		add("git", "git clone "+site.URL+"/github.com/OWNER/NAME")
	}
	if site.SSH != "" {
		add("ssh", "git clone "+site.SSH+"/github.com/OWNER/NAME")
	}
	add("data", data.Path)
	switch {
	case password != "":
		add("", "")
		lines = append(lines, "")
		add("user", auth.FirstAdmin)
		add("password", password)
		lines = append(lines, "", "Shown this once; kept in "+data.initialPassword(), "until it is changed.")
	default:
		if _, err := os.Stat(data.initialPassword()); err == nil {
			lines = append(lines, "", "The admin's first password is still in use:", data.initialPassword())
		} else if !errors.Is(err, fs.ErrNotExist) {
			p.say("%v", err)
		}
	}
	p.box("gitmirror "+p.version().Version+" is ready", lines)
}

// box draws a frame around lines for people.
func (p *program) box(title string, lines []string) {
	width := len(title) + 2
	for _, l := range lines {
		width = max(width, len([]rune(l)))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "┌ %s %s┐\n", title, strings.Repeat("─", width-len([]rune(title))))
	for _, l := range lines {
		fmt.Fprintf(&b, "│ %s%s │\n", l, strings.Repeat(" ", width-len([]rune(l))))
	}
	fmt.Fprintf(&b, "└%s┘", strings.Repeat("─", width+2))
	p.say("%s", b.String())
}

// shown are the settings for the System page.
func (c Config) shown() []web.Setting {
	var out []web.Setting
	for _, d := range c.docs() {
		out = append(out, web.Setting{Key: d.Key, Value: d.Value, Origin: d.Origin})
	}
	return out
}

// pruneEvery is how often sessions that are over are taken out of the database.
const pruneEvery = time.Hour

func prune(ctx context.Context, sessions *store.Sessions, log *slog.Logger) error {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if _, err := sessions.Prune(ctx); err != nil && ctx.Err() == nil {
				log.Error("prune sessions", "err", err)
			}
		}
	}
}
