package store_test

import (
	"database/sql"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/migrations"
)

// Both dialects have the same tables with the same columns, which are nullable
// in both or in none.
func TestSchemasAreTheSame(t *testing.T) {
	file, server := filepath.Join(t.TempDir(), "x.db"), postgres.Database(t)
	open(t, file)
	open(t, server)
	lite := columns(t, raw(t, file), `SELECT m.name, c.name, c."notnull" = 0 AND c.pk = 0, coalesce(c.dflt_value, ''), c.hidden <> 0
		FROM sqlite_schema m JOIN pragma_table_xinfo(m.name) c
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE 'goose_%'`)
	pg := columns(t, raw(t, server), `SELECT table_name, column_name, is_nullable = 'YES', coalesce(column_default, ''), is_generated = 'ALWAYS'
		FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE 'goose_%'`)
	if len(lite) < 50 {
		t.Fatalf("SQLite has only the columns %v", lite)
	}
	if !maps.Equal(lite, pg) {
		for name := range lite {
			if pg[name] != lite[name] {
				t.Errorf("%s: SQLite %q, PostgreSQL %q", name, lite[name], pg[name])
			}
		}
		for name := range pg {
			if _, ok := lite[name]; !ok {
				t.Errorf("%s: only PostgreSQL has it", name)
			}
		}
	}
	one := names(t, raw(t, file), "SELECT name FROM sqlite_schema WHERE type = 'index' AND name NOT LIKE 'sqlite_%'")
	two := names(t, raw(t, server), `SELECT indexname FROM pg_indexes WHERE schemaname = 'public'
		AND indexname NOT LIKE '%\_pkey' AND indexname NOT LIKE '%\_key' AND indexname NOT LIKE 'goose%'`)
	if !slices.Equal(one, two) {
		t.Errorf("indexes of SQLite %v, of PostgreSQL %v", one, two)
	}
}

func TestMigrationFilesHaveTheSameNames(t *testing.T) {
	var listings [2][]string
	for i, dialect := range []string{"sqlite", "postgres"} {
		files, err := fs.ReadDir(migrations.FS, dialect)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			listings[i] = append(listings[i], f.Name())
		}
	}
	if !slices.Equal(listings[0], listings[1]) || len(listings[0]) == 0 {
		t.Errorf("migrations of sqlite %v, of postgres %v", listings[0], listings[1])
	}
}

func columns(t *testing.T, db *sql.DB, query string) map[string]string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found := make(map[string]string)
	for rows.Next() {
		var table, column, def string
		var nullable, generated bool
		if err := rows.Scan(&table, &column, &nullable, &def, &generated); err != nil {
			t.Fatal(err)
		}
		def = strings.TrimSuffix(def, "::text") // PostgreSQL spells the type out
		found[table+"."+column] = fmt.Sprintf("nullable %t, default %q, generated %t", nullable, def, generated)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

func names(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var found []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		found = append(found, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found
}
