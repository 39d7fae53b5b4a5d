package store

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/gitmirror/gitmirror/migrations"
	"github.com/gitmirror/gitmirror/mirror"
)

// migrate applies what the schema lacks. Servers that start at the same time on
// one PostgreSQL take turns by an advisory lock.
func (db *DB) migrate(ctx context.Context) error {
	pool, dialect, folder := db.pools[len(db.pools)-1], goose.DialectSQLite3, "sqlite"
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger())}
	if db.rowLocks {
		dialect, folder = goose.DialectPostgres, "postgres"
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 120))
		if err != nil {
			return err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	files, err := fs.Sub(migrations.FS, folder)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(dialect, pool, files, options...)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	// On a schema that is newer this finds nothing to do. SQLite has no advisory
	// lock: who loses a race with another process finds the work done on looking
	// again, since every file is one transaction.
	_, err = provider.Up(ctx)
	for again := 0; err != nil && !db.rowLocks && again < 5; again++ {
		_, err = provider.Up(ctx)
	}
	if err != nil {
		return db.damaged(fmt.Errorf("bring the schema up to date: %w", err))
	}
	have, want, err := provider.GetVersions(ctx)
	if err != nil {
		return db.damaged(fmt.Errorf("schema version: %w", err))
	}
	if have > want {
		return &mirror.Problem{
			Code: codeNewer, Kind: mirror.ErrInvalid,
			What: "the database was written by a newer gitmirror",
			Why:  fmt.Sprintf("its schema has version %d and this program knows %d", have, want),
			Do:   "start the newer gitmirror, or restore the backup made before the upgrade",
		}
	}
	return nil
}
