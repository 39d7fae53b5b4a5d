package cli

import (
	"io/fs"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gitmirror/gitmirror/migrations"
	"github.com/gitmirror/gitmirror/store"
	"github.com/gitmirror/gitmirror/telemetry"
)

// schemaDoc is the JSON of "migrate".
type schemaDoc struct {
	Database string `json:"database"`
	Version  int64  `json:"version"`
	Name     string `json:"name"`
}

func (p *program) migrateCommand() *cobra.Command {
	cmd := p.withJSON(&cobra.Command{
		Use: "migrate", Short: "Bring the database up to date without serving", Args: args(0, 0),
		Long: "Bring the schema of the database up to date and say which version it has. \"serve\" does\n" +
			"the same when it starts; this is for those who want to see it done first.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.readConfig(cmd.Flags())
			if err != nil {
				return err
			}
			data, err := openData(c.data())
			if err != nil {
				return err
			}
			defer data.Close()
			db, err := store.Open(cmd.Context(), c.database(), telemetry.Log(p.stderr, p.logFormat(c), "error"))
			if err != nil {
				return err
			}
			defer db.Close()
			s, _ := settingOf("database.url")
			doc := schemaDoc{Database: s.mask(c.database())}
			doc.Version, doc.Name = newestMigration(c.database())
			if p.json {
				return p.emit(doc)
			}
			p.facts([2]string{"database", doc.Database}, [2]string{"schema", strconv.FormatInt(doc.Version, 10) + " (" + doc.Name + ")"})
			return nil
		},
	})
	addConfigFlags(cmd.Flags())
	return cmd
}

// newestMigration is the version of a database that is up to date.
func newestMigration(database string) (version int64, name string) {
	dialect := "postgres"
	if strings.HasPrefix(database, "sqlite:") || !strings.Contains(database, "://") {
		dialect = "sqlite"
	}
	entries, _ := fs.ReadDir(migrations.FS, dialect) // embedded: it is there
	for _, e := range entries {
		number, rest, ok := strings.Cut(strings.TrimSuffix(e.Name(), ".sql"), "_")
		if n, err := strconv.ParseInt(number, 10, 64); ok && err == nil && n > version {
			version, name = n, rest
		}
	}
	return version, name
}
