package git

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/gitmirror/gitmirror/mirror"
)

const (
	maxMissing = 1000
	maxDamaged = 100
)

// Check has git look. See mirror.Keeper. It runs beside everything else; what a
// repack takes away meanwhile is looked for again.
func (d *Disk) Check(ctx context.Context, id mirror.ID, full bool) (mirror.Findings, error) {
	repo, err := d.existing(id)
	if err != nil {
		return mirror.Findings{}, err
	}
	found, err := d.fsck(ctx, repo, full)
	if err != nil {
		return found, d.gone(ctx, id, "check the repository", err)
	}
	return found, nil
}

// fsck runs git fsck. An error means that there is no verdict.
func (d *Disk) fsck(ctx context.Context, repo string, full bool) (mirror.Findings, error) {
	c := command{args: []string{"fsck", "--no-dangling", "--no-progress"}, repo: repo, background: true}
	if full {
		c.args = append(c.args, "--full")
	} else {
		// The graph says that a commit is there; here that is the question.
		c.args = append(c.args, "--connectivity-only")
		c.config = append(c.config, [2]string{"core.commitGraph", "false"})
	}
	for _, fault := range fsckTolerated {
		c.config = append(c.config, [2]string{"fsck." + fault, "ignore"})
	}
	v := &verdict{missing: map[string]bool{}}
	c.line = func(line string) bool { v.add(line); return true }
	c.stdout = &lines{each: v.add}
	err := d.run(ctx, c)
	var f *failure
	switch {
	case err == nil:
		return mirror.Findings{}, nil // what it only warned about does not count
	case !errors.As(err, &f), f.cause != nil, f.code < 0, f.full:
		return mirror.Findings{}, err
	}
	if !v.out.Any() { // it found something, and said nothing we know
		v.out.Damaged = append(v.out.Damaged, f.Error())
	}
	return v.out, nil
}

// verdict collects what fsck says on stdout and stderr.
type verdict struct {
	mu      sync.Mutex
	missing map[string]bool
	out     mirror.Findings
}

var (
	missingLine = regexp.MustCompile(`^missing \w+ ([0-9a-f]{40})$`)
	// What a tree or a commit names and is not there: "broken link from … to …".
	linkLine = regexp.MustCompile(`^\s*(broken link from|to)\s+\w+ ([0-9a-f]{40})$`)
	refLine  = regexp.MustCompile(`^error: (refs/\S+|HEAD): (?:invalid sha1 pointer|not a commit).*?([0-9a-f]{40})?$`)
)

func (v *verdict) add(line string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	line = strings.TrimRight(line, " \r\n")
	if m := missingLine.FindStringSubmatch(line); m != nil {
		v.lack(m[1])
		return
	}
	if m := refLine.FindStringSubmatch(line); m != nil {
		if !slices.Contains(v.out.Refs, m[1]) && len(v.out.Refs) < maxMissing {
			v.out.Refs = append(v.out.Refs, m[1])
		}
		if m[2] != "" {
			v.lack(m[2])
		}
		return
	}
	if linkLine.MatchString(line) || strings.HasPrefix(line, "dangling ") || strings.HasPrefix(line, "notice: ") || strings.HasPrefix(line, "warning") || line == "" {
		return
	}
	if len(v.out.Damaged) < maxDamaged {
		v.out.Damaged = append(v.out.Damaged, clean(line, nil))
	}
}

func (v *verdict) lack(id string) {
	if len(v.out.Missing) < maxMissing && !v.missing[id] {
		v.missing[id] = true
		v.out.Missing = append(v.out.Missing, id)
	}
}

// lines passes on what is written to it line by line.
type lines struct {
	each func(string)
	rest []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		end := bytes.IndexByte(l.rest, '\n')
		if end < 0 {
			break
		}
		l.each(string(l.rest[:end]))
		l.rest = l.rest[end+1:]
	}
	if len(l.rest) > 1<<16 {
		l.rest = nil
	}
	return len(p), nil
}
