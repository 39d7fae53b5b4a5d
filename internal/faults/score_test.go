package faults_test

import (
	"fmt"
	"strings"
	"sync"
	"text/tabwriter"
)

// scoreboard is what make faults prints.
type scoreboard struct {
	mu    sync.Mutex
	rows  []*scoreRow
	extra string
	torn  int
}

// scoreRow is one kind of fault: how often it was tried, and how often the sync
// it was done to did not get through.
type scoreRow struct {
	name       string
	tried, bit int
}

// count adds to a row.
func (s *scoreboard) count(name string, tried, bit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rows {
		if r.name == name {
			r.tried += tried
			r.bit += bit
			return
		}
	}
	s.rows = append(s.rows, &scoreRow{name, tried, bit})
}

// tear counts refs that are neither the old set nor the new.
func (s *scoreboard) tear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.torn++
}

// note adds text behind the table.
func (s *scoreboard) note(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.extra += text + "\n"
}

func (s *scoreboard) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "fault\ttried\tsync failed\t")
	for _, r := range s.rows {
		fmt.Fprintf(w, "%s\t%d\t%d\t\n", r.name, r.tried, r.bit)
	}
	_ = w.Flush() // writes to a Builder do not fail
	return b.String() + s.extra + fmt.Sprintf("torn sets %d\n", s.torn)
}
