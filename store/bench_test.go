package store_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/store"
)

// BenchmarkClaim is one turn of the queue: claim eight of 2,000 due
// repositories and end their runs. SQLite writes through to the disk; the
// PostgreSQL of tests does not.
func BenchmarkClaim(b *testing.B) {
	for _, dialect := range []string{"sqlite", "postgres"} {
		b.Run(dialect, func(b *testing.B) {
			location := filepath.Join(b.TempDir(), "x.db")
			if dialect == "postgres" {
				location = postgres.Database(b)
			}
			db := open(b, location)
			fill(b, db, 2000)
			var syncs int
			for now := base(); b.Loop(); now = now.Add(time.Hour) {
				for _, c := range claim(b, db, "n1", now, 8) {
					if err := end(b, db, c, now); err != nil {
						b.Fatal(err)
					}
					syncs++
				}
			}
			b.ReportMetric(float64(syncs)/b.Elapsed().Seconds(), "syncs/s")
		})
	}
}

// BenchmarkClaimNothing is what a poll of a queue of 20,000 costs when nothing is due.
func BenchmarkClaimNothing(b *testing.B) {
	for _, dialect := range []string{"sqlite", "postgres"} {
		b.Run(dialect, func(b *testing.B) {
			location := filepath.Join(b.TempDir(), "x.db")
			if dialect == "postgres" {
				location = postgres.Database(b)
			}
			db := open(b, location)
			fill(b, db, 20000)
			for b.Loop() {
				if got := claim(b, db, "n1", base().Add(-time.Hour), 8); len(got) != 0 {
					b.Fatalf("Claim = %d, want none", len(got))
				}
			}
		})
	}
}

func fill(b *testing.B, db *store.DB, n int) {
	b.Helper()
	for i := range n {
		add(b, db, fmt.Sprintf("github.com/o/r%d", i))
	}
}
