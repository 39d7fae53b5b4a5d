package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// DB is an open database. It implements mirror.Store and auth.Store and may be
// used by many goroutines.
type DB struct {
	read, write *gorm.DB
	often       *gorm.DB // read, whose statements stay prepared: for those of every request
	pools       []*sql.DB
	rowLocks    bool   // PostgreSQL: writers run at the same time and lock rows
	file        string // of SQLite
	memory      memory
}

// Open opens the database, brings its schema up to date and returns it.
// location is a file ("/srv/gitmirror.db", "sqlite:///srv/gitmirror.db") for
// SQLite, which is made if missing, or a URL "postgres://…". The caller closes
// it. Errors are *mirror.Problem and hold no password.
func Open(ctx context.Context, location string, log *slog.Logger) (*DB, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	var db *DB
	var err error
	switch scheme, rest, hasScheme := strings.Cut(location, "://"); {
	case location == "":
		return nil, badLocation("it is empty")
	case !hasScheme:
		db, err = openFile(ctx, strings.TrimPrefix(location, "sqlite:"), log)
	case scheme == "sqlite":
		db, err = openFile(ctx, rest, log)
	case scheme == "postgres", scheme == "postgresql":
		db, err = openPostgres(ctx, location, log)
	default:
		return nil, badLocation(fmt.Sprintf("the scheme %q is not known", scheme))
	}
	if err != nil {
		return nil, err
	}
	if err := db.migrate(ctx); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// openFile opens SQLite. There is one writing connection, since SQLite has one
// writer anyway and waiting in Go is fair and cheap, and several reading ones,
// which WAL lets read beside it.
func openFile(ctx context.Context, name string, log *slog.Logger) (*DB, error) {
	if name == "" || strings.HasPrefix(name, ":memory:") || strings.ContainsRune(name, 0) {
		return nil, badLocation(fmt.Sprintf("%q is not the name of a file", name))
	}
	name, err := filepath.Abs(name)
	if err != nil {
		return nil, unreadable(name, err)
	}
	if err := makeFile(name); err != nil {
		return nil, unreadable(name, err)
	}
	// Every commit reaches the disk before it is reported (D9). IMMEDIATE takes
	// the write lock at BEGIN: a transaction that has read never fails to write.
	common := "_pragma=busy_timeout(30000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
	writer, err := openPool(ctx, name, common+"&_txlock=immediate", 1)
	if err != nil {
		return nil, unreadable(name, err)
	}
	reader, err := openPool(ctx, name, common+"&_pragma=query_only(1)", max(4, runtime.NumCPU()))
	if err != nil {
		writer.Close()
		return nil, unreadable(name, err)
	}
	db := &DB{pools: []*sql.DB{reader, writer}, file: name}
	if db.write, err = openGorm(sqliteDialect{writer}, log); err == nil {
		db.read, err = openGorm(sqliteDialect{reader}, log)
	}
	if err != nil {
		db.Close()
		return nil, unreadable(name, err)
	}
	db.often = db.read.Session(&gorm.Session{PrepareStmt: true})
	return db, nil
}

// makeFile makes the database, if it is missing, for its owner's eyes only: it
// holds hashes of passwords. SQLite gives its -wal and -shm files the same mode.
// A file that exists is not opened here: closing it would drop the locks that
// other connections of this process have on it (sqlite.org/howtocorrupt.html, 2.2).
func makeFile(name string) error {
	info, err := os.Stat(name)
	switch {
	case err == nil && info.IsDir():
		return &os.PathError{Op: "open", Path: name, Err: syscall.EISDIR}
	case err == nil || !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil // another process was faster
	}
	if err != nil {
		return err
	}
	return f.Close()
}

func openPool(ctx context.Context, name, options string, size int) (*sql.DB, error) {
	dsn := (&url.URL{Scheme: "file", Path: filepath.ToSlash(name)}).String() + "?" + options
	pool, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	if err := pool.PingContext(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

func openPostgres(ctx context.Context, location string, log *slog.Logger) (*DB, error) {
	config, err := pgx.ParseConfig(location)
	if err != nil {
		// The parser's text may quote the URL with its password.
		return nil, badLocation("it does not parse as a PostgreSQL URL")
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 10 * time.Second
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "gitmirror"
	}
	pool := stdlib.OpenDB(*config)
	pool.SetMaxOpenConns(16)
	pool.SetMaxIdleConns(4)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	if err := pool.PingContext(ctx); err != nil {
		pool.Close()
		return nil, unreachable(config, err)
	}
	orm, err := openGorm(postgres.New(postgres.Config{Conn: pool}), log)
	if err != nil {
		pool.Close()
		return nil, unreachable(config, err)
	}
	return &DB{read: orm, write: orm, often: orm, pools: []*sql.DB{pool}, rowLocks: true}, nil
}

func openGorm(dialector gorm.Dialector, log *slog.Logger) (*gorm.DB, error) {
	return gorm.Open(dialector, &gorm.Config{
		SkipDefaultTransaction: true, // methods begin one where they need it
		DisableAutomaticPing:   true,
		Logger:                 queryLog{log},
	})
}

// Ping tells whether the database answers.
func (db *DB) Ping(ctx context.Context) error {
	for _, pool := range db.pools {
		if err := pool.PingContext(ctx); err != nil {
			return err
		}
	}
	return db.read.WithContext(ctx).Exec("SELECT 1").Error
}

// Close waits for statements that run and closes all connections.
func (db *DB) Close() error {
	var errs []error
	for _, pool := range db.pools {
		errs = append(errs, pool.Close())
	}
	return errors.Join(errs...)
}

// in runs do in one transaction, which is rolled back when do fails.
func (db *DB) in(ctx context.Context, do func(tx *gorm.DB) error) error {
	defer db.changed()
	return known(db.write.WithContext(ctx).Transaction(do))
}
