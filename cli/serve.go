package cli

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/gitserver"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
	"github.com/gitmirror/gitmirror/store"
	"github.com/gitmirror/gitmirror/telemetry"
	"github.com/gitmirror/gitmirror/web"
)

func (p *program) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the server", Args: args(0, 0),
		Long: "Run the server: console, API, git over HTTP and SSH, and the syncs. Everything it keeps\n" +
			"is in one data directory. The first SIGINT or SIGTERM stops it cleanly within 30 seconds,\n" +
			"a second one at once.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.readConfig(cmd.Flags())
			if err != nil {
				return err
			}
			return p.serve(cmd.Context(), c)
		},
	}
	addConfigFlags(cmd.Flags())
	return cmd
}

// serve is the running program: everything is made and tied together here, and
// nowhere else. It returns nil when ctx ended and everything has stopped.
func (p *program) serve(ctx context.Context, c Config) error {
	metrics := telemetry.New()
	log := telemetry.Log(p.stderr, p.logFormat(c), c.text("log.level"))
	if err := noCores(); err != nil {
		log.Warn("a crash may write secrets to the disk", "err", err)
	}

	// What is kept: the data directory, locked; the database; the repositories.
	data, err := openData(c.data())
	if err != nil {
		return err
	}
	defer data.Close()
	db, err := store.Open(ctx, c.database(), log)
	if err != nil {
		return err
	}
	defer db.Close()
	disk, err := git.Open(ctx, git.Disk{
		Root: data.Path, Log: log,
		AllowPrivate: c.bool("security.allow_private_upstreams"),
		Proxy:        c.text("network.proxy"), NoProxy: c.text("network.no_proxy"), API: c.apis(),
	})
	if err != nil {
		return err
	}
	defer disk.Close()
	vault, err := auth.OpenVault(filepath.Join(data.Path, "secrets.key"))
	if err != nil {
		return startProblem("the key of stored credentials cannot be used", err, "")
	}

	// Where we are: real ports, so that port 0 works.
	httpAt, sshAt, err := listenBoth(ctx, c)
	if err != nil {
		return err
	}
	hostKeyFile, hostKey := filepath.Join(data.Path, "ssh_host_ed25519_key"), ""
	if sshAt != nil {
		if hostKey, _, err = gitserver.HostKey(hostKeyFile); err != nil {
			return err
		}
	}
	site := siteOf(c, httpAt, sshAt)
	secure, err := tlsConfig(c, data, log)
	if err != nil {
		return err
	}

	// Who may come in.
	trail := &auth.Trail{Store: db, Log: log}
	accounts := &auth.Accounts{
		Store: auth.RecordAccounts(changedPasswords{db, data}), Trail: trail, Log: log, Vault: vault,
		RequireFactor: c.text("auth.second_factor") == "required",
	}
	policy := auth.Policy{
		AnonymousRead: c.bool("auth.anonymous_read"),
		Access:        &auth.Access{Store: db, Strict: c.text("auth.private_read") == "granted", Changes: db.Changes},
	}
	first, err := p.firstAdmin(ctx, accounts, data)
	if err != nil {
		return err
	}

	// What is mirrored, and keeping it so.
	syncer := &mirror.Syncer{
		Store: db, Disk: disk, Owner: data.Node, Log: log,
		Schedule: mirror.Schedule{Min: c.duration("sync.interval_min"), Max: c.duration("sync.interval_max")},
		Workers:  c.count("sync.workers"), Checks: c.count("sync.checks"), Timeout: c.duration("sync.timeout"),
		MaxStaleness: c.duration("sync.max_staleness"), FreshWait: c.duration("sync.fresh_wait"),
	}
	recorded := auth.RecordMirrors(db, trail)
	catalog := &mirror.Catalog{
		Store: recorded, Disk: disk, Syncer: syncer, Vault: vault, Site: site, Blocked: disk.Blocked,
		MayAdmit: func(ctx context.Context, rule mirror.Rule, path mirror.Path) error {
			who := auth.From(ctx)
			return errors.Join(policy.May(who, auth.Sync, rule.Private), policy.Reads(ctx, who, path, rule.Private))
		},
	}
	syncer.Credential, syncer.HostCredential = catalog.OpenCredential, catalog.HostCredential
	if c.bool("discovery.enabled") {
		catalog.Discoverer = disk
		catalog.Owners = &mirror.Owners{Catalog: catalog, Lister: disk, Log: log}
	}
	roads := newRoads(recorded, disk, catalog, metrics, log)
	syncer.Roads, syncer.Budget = roads, roads.Budget
	room := newRoom(c, disk, log)
	syncer.Pause, catalog.Full = room.Full, room.Full
	upkeep := newUpkeep(c, db, disk, syncer, room, metrics, log)
	gate := newGate(c)
	front, err := newFront(c, disk, gate, data, room, log)
	if err != nil {
		return err
	}
	defer front.Cache.Close()
	syncer.OnRun = func(repo mirror.Repo, run mirror.Run) {
		metrics.SyncEnded(string(run.Outcome), string(run.Trigger), run.Bytes, run.Ended.Sub(run.Started))
		upkeep.Changed(repo, run)
		if run.Outcome == mirror.Updated {
			front.Changed(repo.ID)
		}
	}

	syncer.OnCheck = func(_ mirror.Repo, late time.Duration, p *mirror.Problem) {
		metrics.CheckEnded(checkResult(p), late)
	}

	// What clients see.
	traffic := &mirror.Traffic{}
	gitHTTP := &gitserver.HTTP{
		Catalog: catalog, Packs: packs{disk}, Accounts: accounts, Policy: policy, Site: site, Log: log, Gate: gate,
		ModProxy: true, Front: front, Wait: c.duration("sync.client_wait"), Traffic: traffic, OnRequest: gitServed(metrics),
	}
	gitSSH := &gitserver.SSH{
		Listener: sshAt, HostKeyFile: hostKeyFile,
		Catalog: catalog, Packs: packs{disk}, Accounts: accounts, Policy: policy, Site: site, Log: log, Gate: gate, Front: front,
		MaxConns: c.count("ssh.connections"), Mirrors: countMirrors(db, policy), Traffic: traffic, OnRequest: gitServed(metrics),
	}
	modules := &modproxy.Repos{Catalog: catalog, Policy: &policy, Reader: disk, Site: site, Temp: data.temp(), Log: log}
	proxy, err := p.newModules(ctx, c, db, disk, data, room, metrics, log)
	if err != nil {
		return err
	}
	modules.OnNeed = func(module, version string) { proxy.Usage.Need(module, version, "rewrite") }
	proxy.Repos, proxy.Accounts, proxy.Policy, proxy.Changes = modules, accounts, policy, db.Changes
	alerts := newAlerts(c, db, disk, vault, accounts, room, site, data.Node, p.version().Version, log)
	alerts.Crowded = crowdedModules(proxy.Store)
	oidc, err := newOIDC(c, accounts, site, log)
	if err != nil {
		return err
	}
	console := &web.Server{
		Catalog: catalog, Syncer: syncer, Roads: roads, Upkeep: upkeep, Headroom: room, Traffic: traffic, Packs: gate.Load, Store: recorded, Trail: trail, Alerts: alerts, Reader: disk, Comparer: disk,
		Accounts: accounts, OIDC: oidc, CI: &auth.CI{Accounts: accounts, Client: disk.HTTPClient()}, Policy: policy,
		Answers: &web.Answers{Store: db, Vault: vault}, Rate: c.count("api.rate"),
		Sessions: db.Sessions(), Modules: modules, ModulesIn: modules.Serves, ModulesOf: modulesOf, WishesOf: wishesOf, ModuleCache: proxy, Site: site, SetUp: setUp(site), HostKey: hostKey, Version: p.version().Version,
		Settings: c.shown(), Done: ctx.Done(), Log: log,
	}
	pages, err := console.Handler()
	if err != nil {
		return err
	}
	hookSecret, err := c.hookSecret()
	if err != nil {
		return err
	}
	hooks := &web.Hooks{Catalog: catalog, Secret: hookSecret, Log: log}
	health := &health{Database: db, Data: data, Syncer: syncer, Workers: c.count("sync.workers"), Accounts: accounts, Policy: policy}
	metrics.Build(p.version().Version)
	metrics.Watch(telemetry.Sources{Mirrors: byState(db), Busy: syncer.Busy, LastTick: syncer.LastTick, Serving: serving(traffic, gate), Disk: diskState(db, room), Roads: activeRoads(roads)})

	all := http.NewServeMux()
	all.HandleFunc("GET /healthz", health.live)
	all.HandleFunc("GET /readyz", health.ready)
	all.Handle("GET /metrics", health.metrics(metrics.Handler()))
	all.Handle("/hooks/", hooks)
	all.Handle("/", pages)

	// Run until told to stop.
	run, ctx := errgroup.WithContext(ctx)
	run.Go(func() error { return syncer.Run(ctx) })
	if catalog.Owners != nil {
		run.Go(func() error { return catalog.Owners.Run(ctx) })
	}
	run.Go(func() error { return roads.Run(ctx) })
	run.Go(func() error { return room.Run(ctx) })
	run.Go(func() error { return upkeep.Run(ctx) })
	run.Go(func() error { return alerts.Run(ctx) })
	run.Go(func() error { return front.Run(ctx) })
	run.Go(func() error { return proxy.Run(ctx) })
	run.Go(func() error { return prune(ctx, db.Sessions(), log) })
	if sshAt != nil {
		run.Go(func() error { return gitSSH.Run(ctx) })
	}
	if httpAt != nil {
		server := &http.Server{
			Handler:           survive(log, newHosts(c, site).guard(bodies(bodyTime, below(site.Path(), byPath(gitHTTP, metrics.Count(routeClass, byRoot(proxy, all))))))),
			TLSConfig:         secure,
			ReadHeaderTimeout: 10 * time.Second,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    64 << 10,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
			BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		}
		if secure == nil {
			httpAt = proxy.Listen(httpAt, server, func(took time.Duration) { metrics.HTTPServed("proxy", http.StatusOK, took) })
		}
		run.Go(func() error { return serveHTTP(ctx, server, httpAt) })
	}
	recordStart(ctx, trail, c, data.Node, p.version().Version)
	p.greet(site, data, first)
	debug.FreeOSMemory() // starting needs more than serving does
	err = run.Wait()
	if ctx.Err() != nil && err == nil {
		p.say("stopped")
	}
	return err
}
