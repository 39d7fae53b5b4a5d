package faults_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/store"
)

// config is what an engine is opened with. It travels to child processes as JSON.
type config struct {
	Dir        string // data directory
	Database   string // URL or file; empty = a file in Dir
	CAFile     string
	StallAfter time.Duration
	Owner      string // in leases; empty = "faults"
	Lease      time.Duration
}

// engine is what keeps mirrors right, without the edges: made and tied together
// as in cli/serve.go.
type engine struct {
	db      *store.DB
	disk    *git.Disk
	catalog *mirror.Catalog
	syncer  *mirror.Syncer

	stop func() error // ends the syncer and waits
}

// openEngine starts one. No test is needed, so that a child process can do it.
func openEngine(ctx context.Context, c config) (*engine, error) {
	if c.Database == "" {
		c.Database = filepath.Join(c.Dir, "mirror.db")
	}
	if c.Owner == "" {
		c.Owner = "faults"
	}
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("GITMIRROR_FAULTS_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	db, err := store.Open(ctx, c.Database, log)
	if err != nil {
		return nil, err
	}
	disk, err := git.Open(ctx, git.Disk{Root: c.Dir, AllowPrivate: true, CAFile: c.CAFile, StallAfter: c.StallAfter, Log: log})
	if err != nil {
		db.Close()
		return nil, err
	}
	vault, err := auth.OpenVault(filepath.Join(c.Dir, "secrets.key"))
	if err != nil {
		db.Close()
		disk.Close()
		return nil, err
	}
	syncer := &mirror.Syncer{
		Store: db, Disk: disk, Owner: c.Owner, Log: log, Workers: 4, Lease: c.Lease,
		// Only what a test asks for is synced.
		Schedule: mirror.Schedule{Min: 24 * time.Hour, Max: 24 * time.Hour},
	}
	catalog := &mirror.Catalog{
		Store: db, Disk: disk, Syncer: syncer, Vault: vault, Site: mirror.Site{URL: "http://127.0.0.1:1"}, Blocked: disk.Blocked,
		MayAdmit: func(context.Context, mirror.Rule, mirror.Path) error { return nil },
	}
	syncer.Credential = catalog.OpenCredential
	e := &engine{db: db, disk: disk, catalog: catalog, syncer: syncer}
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- syncer.Run(running) }()
	e.stop = func() error {
		end()
		return <-ended
	}
	return e, nil
}

// close stops everything; what is on disk can then be opened by another engine.
func (e *engine) close() error {
	err := e.stop()
	e.db.Close()
	e.disk.Close()
	return err
}
