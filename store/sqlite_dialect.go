package store

import (
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/migrator"
	"gorm.io/gorm/schema"
)

// sqliteDialect is SQLite as gorm needs it here. gorm's own driver package links
// a second SQLite, in C: a third of the time of a first build, for nothing we
// use. The schema is ours (package migrations), so types and migrations are not
// this dialect's business.
type sqliteDialect struct{ conn gorm.ConnPool }

// Name is what gorm calls the dialect.
func (sqliteDialect) Name() string { return "sqlite" }

// Initialize registers gorm's callbacks for a SQLite that knows RETURNING (3.35).
func (d sqliteDialect) Initialize(db *gorm.DB) error {
	db.ConnPool = d.conn
	callbacks.RegisterDefaultCallbacks(db, &callbacks.Config{
		CreateClauses:        []string{"INSERT", "VALUES", "ON CONFLICT", "RETURNING"},
		UpdateClauses:        []string{"UPDATE", "SET", "FROM", "WHERE", "RETURNING"},
		DeleteClauses:        []string{"DELETE", "FROM", "WHERE", "RETURNING"},
		LastInsertIDReversed: true,
	})
	return nil
}

// Migrator is gorm's general one; migrations are goose's.
func (d sqliteDialect) Migrator(db *gorm.DB) gorm.Migrator {
	return migrator.Migrator{Config: migrator.Config{DB: db, Dialector: d}}
}

// DataTypeOf is asked for by gorm's migrator alone.
func (sqliteDialect) DataTypeOf(field *schema.Field) string { return string(field.DataType) }

// DefaultValueOf lets SQLite choose the row id.
func (sqliteDialect) DefaultValueOf(*schema.Field) clause.Expression { return clause.Expr{SQL: "NULL"} }

// BindVarTo writes a placeholder.
func (sqliteDialect) BindVarTo(w clause.Writer, _ *gorm.Statement, _ any) { _ = w.WriteByte('?') }

// QuoteTo writes an identifier, the parts of a dotted one each quoted.
func (sqliteDialect) QuoteTo(w clause.Writer, name string) {
	for i, part := range strings.Split(name, ".") {
		if i > 0 {
			_ = w.WriteByte('.')
		}
		_, _ = w.WriteString(`"` + strings.ReplaceAll(part, `"`, `""`) + `"`)
	}
}

// Explain is for gorm's log, which shows no values (see log.go).
func (sqliteDialect) Explain(sql string, vars ...any) string {
	return logger.ExplainSQL(sql, nil, `'`, vars...)
}
