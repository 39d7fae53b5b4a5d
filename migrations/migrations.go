// Package migrations holds the database schema: numbered SQL files, one folder
// per dialect with the same file names, in the format of goose. A file is never
// edited once it is released; a change to the schema is a new file in both
// folders. Package store applies them.
package migrations

import "embed"

// FS holds the folders "sqlite" and "postgres".
//
//go:embed sqlite/*.sql postgres/*.sql
var FS embed.FS
