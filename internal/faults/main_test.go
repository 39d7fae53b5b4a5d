package faults_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/gitmirror/gitmirror/internal/pgtest"
)

// postgres starts with the first test that wants it.
var postgres pgtest.Server

// full tells whether the long form of every test was asked for: make faults.
var full = os.Getenv("GITMIRROR_FAULTS") == "full"

// points is how many places or moments a test tries.
func points(short, long int) int {
	if full {
		return long
	}
	return short
}

// score counts what was tried and what came of it.
var score scoreboard

// TestMain also is the process that the tests kill: see kill_test.go.
func TestMain(m *testing.M) {
	if asked := os.Getenv(childEnv); asked != "" {
		os.Exit(child(asked))
	}
	flag.Parse()
	if flag.Lookup("test.parallel").Value.String() == flag.Lookup("test.parallel").DefValue {
		_ = flag.Set("test.parallel", "8") // what hangs costs time, not a processor
	}
	code := m.Run()
	if name := os.Getenv("GITMIRROR_FAULTS_REPORT"); name != "" {
		if err := os.WriteFile(name, []byte(score.String()), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "write the report:", err)
			code = 1
		}
	}
	if err := postgres.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop PostgreSQL:", err)
		code = 1
	}
	os.Exit(code)
}
