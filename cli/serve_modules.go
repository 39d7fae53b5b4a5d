package cli

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
	"github.com/gitmirror/gitmirror/store"
	"github.com/gitmirror/gitmirror/telemetry"
)

// newModules is the module proxy: mirrors, other proxies, what is kept, and the
// rules. Who may ask is the caller's to say.
func (p *program) newModules(ctx context.Context, c Config, db *store.DB, disk *git.Disk, data *dataDir, room *mirror.Headroom, metrics *telemetry.Metrics, log *slog.Logger) (*modproxy.Handler, error) {
	sums, err := p.newSumDB(c, disk, data, log)
	if err != nil {
		return nil, err
	}
	mode := mirror.ModuleMode(c.text("modules.mode"))
	if sums != nil && mode == mirror.Offline { // what was proven goes on to be served
		sums.Proxies, sums.DB.URL = "off", ""
	}
	dir := filepath.Join(data.Path, "modules")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, startProblem("the directory of modules cannot be made", err, "mend the permissions of the data directory")
	}
	age, _ := modproxy.ParseAge(c.text("modules.min_age"))
	pinFor, _ := modproxy.ParseAge(c.text("modules.pin_for"))
	rules, err := modproxy.OpenRules(ctx, &modproxy.RuleBook{
		Stored: db,
		File:   c.text("modules.rules"), Mode: mode, MinAge: age,
		OSV: c.text("modules.osv"), Client: disk.HTTPClient(), Dir: dir, Log: log,
	})
	if err != nil {
		return nil, err
	}
	proxies, err := modproxy.OpenProxies(&modproxy.Proxies{
		List: or(c.text("modules.proxies"), p.ownGo("GOPROXY")), Missing: c.text("modules.missing"), Client: disk.HTTPClient(), Log: log,
		OnSample: func(s mirror.Sample) {
			metrics.UpstreamMeasured(s.Host, "module-proxy", s.DNS, s.Connect, s.TLS, s.FirstByte, s.Problem != "")
		},
	})
	if err != nil {
		return nil, configProblem("the module proxies to ask cannot be used", mirror.AsProblem(err).Why, "set modules.proxies, or off")
	}
	h := &modproxy.Handler{
		SumDB: sums, Proxies: proxies, Rules: rules, Verify: modproxy.Verify(c.text("modules.verify")),
		NoSum:   or(c.text("modules.no_sumdb"), or(p.ownGo("GONOSUMDB"), p.ownGo("GOPRIVATE"))),
		OnEvent: func(e mirror.ModuleEvent) { metrics.ModuleRefused(string(e.Kind)) },
		OnReply: metrics.ModuleServed,
		Served:  db, Seen: db, Pins: &modproxy.Pins{Store: db, Log: log},
		Misses: c.count("modules.misses"),
		Ahead:  c.text("modules.ahead") == "far",
		Log:    log,
	}
	if err := h.Pins.Read(ctx); err != nil {
		return nil, err
	}
	h.Usage = &modproxy.Usage{Store: db, PinFor: pinFor, Log: log, OnPins: func(ctx context.Context) {
		if err := h.Pins.Read(ctx); err != nil {
			log.Error("read the pins of modules", "err", err)
		}
	}}
	if bytes := c.bytes("modules.cache_bytes"); bytes > 0 {
		h.Store, err = modproxy.OpenStore(&modproxy.Store{Dir: dir, MaxBytes: bytes, Level: room.Level, Pinned: h.Pinned, Log: log})
		if err != nil {
			return nil, startProblem("the files of modules that are kept cannot be read", err, "free some space, or mend the permissions")
		}
	}
	return h, nil
}
