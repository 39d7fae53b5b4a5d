package cli

import (
	"log/slog"
	"path/filepath"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
)

// newSumDB passes the checksum database on; nil when that is off.
func (p *program) newSumDB(c Config, disk *git.Disk, data *dataDir, log *slog.Logger) (*modproxy.SumDB, error) {
	db, err := mirror.ParseSumDB(or(c.text("modules.sumdb"), p.ownGo("GOSUMDB")))
	if err != nil {
		return nil, configProblem("the checksum database to pass on cannot be used", mirror.AsProblem(err).Why, "set modules.sumdb, or off")
	}
	if db.Name == "" {
		return nil, nil
	}
	return &modproxy.SumDB{
		DB: db, Proxies: or(c.text("modules.proxies"), p.ownGo("GOPROXY")), Client: disk.HTTPClient(),
		Dir: filepath.Join(data.Path, "sumdb"), Log: log,
	}, nil
}

// ownGo is a setting of the go command on this machine: of the environment, else
// of the file "go env -w" writes, else of the go command that is in PATH.
func (p *program) ownGo(key string) string {
	return or(p.goSettings()[key], p.goDefaults()[key])
}
