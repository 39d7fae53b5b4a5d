package store

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"
	moderncsqlite "modernc.org/sqlite"

	"github.com/gitmirror/gitmirror/mirror"
)

// Entries of the error catalogue about the database.
const (
	codeUnreachable mirror.Code = "E5101"
	codeNewer       mirror.Code = "E5103"
)

// Result codes of SQLite (sqlite.org/rescode.html) and error codes of
// PostgreSQL (appendix A of its manual) that mean something to the domain.
const (
	sqliteCorrupt    = 11
	sqliteNotADB     = 26
	sqliteForeignKey = 787
	sqlitePrimaryKey = 1555
	sqliteUnique     = 2067

	pgForeignKey  = "23503"
	pgUnique      = "23505"
	pgBadEncoding = "22021" // a byte that is not UTF-8, or NUL
)

// known turns the errors of both databases that the domain has a word for into
// that word. The library's text is left out: it is not for users.
func known(err error) error {
	var lite *moderncsqlite.Error
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, gorm.ErrRecordNotFound):
		return mirror.ErrNotFound
	case errors.As(err, &lite):
		switch lite.Code() {
		case sqliteUnique, sqlitePrimaryKey:
			return mirror.ErrExists
		case sqliteForeignKey:
			return mirror.ErrNotFound // what the row belongs to is gone
		}
	case errors.As(err, &pg):
		switch pg.Code {
		case pgUnique:
			return mirror.ErrExists
		case pgForeignKey:
			return mirror.ErrNotFound
		case pgBadEncoding:
			return fmt.Errorf("text holds a character that cannot be stored: %w", mirror.ErrInvalid)
		}
	}
	return err
}

// about says what err is about, once known has put it into the domain's words.
func about(what, name string, err error) error {
	if err = known(err); err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", what, name, err)
}

func badLocation(why string) error {
	return &mirror.Problem{
		Kind: mirror.ErrInvalid, What: "database.url names no database", Why: why,
		Do: "give a file name for SQLite, or a URL such as postgres://user@host/gitmirror",
	}
}

// unreadable explains why a database file could not be opened.
func unreadable(name string, err error) error {
	p := &mirror.Problem{
		Code: codeUnreachable, What: "the database " + name + " cannot be opened", Why: err.Error(),
		Do: "check that the directory is writable and has free space",
	}
	var lite *moderncsqlite.Error
	var path *os.PathError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &lite) && (lite.Code()&0xff == sqliteNotADB || lite.Code()&0xff == sqliteCorrupt):
		p.Why = "it is damaged, or not an SQLite database (" + err.Error() + ")"
		p.Do = "restore it from a backup, or move it away to begin with an empty one"
	case errors.As(err, &path):
		p.Why = path.Err.Error()
	}
	return p
}

// damaged finds the reason of err in the file, if it lies there.
func (db *DB) damaged(err error) error {
	if db.file != "" {
		return unreadable(db.file, err)
	}
	return err
}

// unreachable explains why a server could not be used. pgx names user, database
// and address in its errors, never the password.
func unreachable(config *pgx.ConnConfig, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return &mirror.Problem{
		Code: codeUnreachable, What: "the PostgreSQL server cannot be used", Why: hide(err.Error(), config.Password),
		Do: "check that it runs, and host, user, password and database name in database.url",
	}
}
