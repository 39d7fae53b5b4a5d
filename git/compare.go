package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

const (
	// compareWait is how long two commits are compared before we give up.
	compareWait = 20 * time.Second
	// maxCountedFiles is how many files are looked into for their lines.
	maxCountedFiles = 2000
	maxFileNames    = 32 << 20 // bytes of names
	maxLogBytes     = 4 << 20
	maxFileName     = 400 // of which are shown
)

// Compare tells how two commits differ. See mirror.Comparer.
func (d *Disk) Compare(ctx context.Context, id mirror.ID, old, new string) (mirror.Comparison, error) {
	repo, err := d.existing(id)
	if err != nil {
		return mirror.Comparison{}, err
	}
	short, cancel := context.WithTimeout(ctx, compareWait)
	defer cancel()
	c, err := d.compare(short, id, repo, old, new)
	if err != nil && ctx.Err() == nil && errors.Is(short.Err(), context.DeadlineExceeded) {
		return mirror.Comparison{}, &mirror.Problem{
			Kind: mirror.ErrBusy, What: "these commits are too far apart to be compared here", Why: fmt.Sprintf("it takes longer than %s", compareWait),
			Do: "clone the mirror and run: git diff --stat " + quote(old) + " " + quote(new),
		}
	}
	return c, err
}

func (d *Disk) compare(ctx context.Context, id mirror.ID, repo, old, new string) (c mirror.Comparison, err error) {
	if c.Old, err = d.Commit(ctx, id, old); err != nil {
		return c, err
	}
	if c.New, err = d.Commit(ctx, id, new); err != nil {
		return c, err
	}
	// From here on nothing but object ids goes to git.
	from, to := c.Old.Hash, c.New.Hash
	if from == to {
		c.Base, c.Counted = from, true
		return c, nil
	}
	out, err := d.output(ctx, 1<<20, command{args: []string{"merge-base", from, to}, repo: repo})
	var none *failure
	if err != nil && !(errors.As(err, &none) && none.cause == nil && none.code == 1) {
		return c, d.gone(ctx, id, "compare commits", err)
	}
	c.Base = strings.TrimSpace(string(out))
	if c.Ahead, c.Added, err = d.missing(ctx, repo, from, to); err == nil {
		c.Behind, c.Dropped, err = d.missing(ctx, repo, to, from)
	}
	if err == nil {
		err = d.differing(ctx, repo, from, to, &c)
	}
	if err != nil {
		return c, d.gone(ctx, id, "compare commits", err)
	}
	return c, nil
}

// missing are the commits of to that from lacks.
func (d *Disk) missing(ctx context.Context, repo, from, to string) (n int, list []mirror.LoggedCommit, err error) {
	out, err := d.output(ctx, 1<<10, command{
		args: []string{"rev-list", "--count", fmt.Sprint("--max-count=", mirror.MaxCompareCount), to, "^" + from}, repo: repo})
	if err != nil {
		return 0, nil, err
	}
	if n, err = strconv.Atoi(strings.TrimSpace(string(out))); err != nil || n == 0 {
		return n, nil, err
	}
	// A message may be as long as somebody likes: git cuts it.
	out, err = d.output(ctx, maxLogBytes, command{args: []string{"log", "-z", "--no-color", "--no-notes", "--no-decorate", "--no-show-signature", "--no-mailmap",
		fmt.Sprint("--max-count=", mirror.MaxCompareCommits), "--format=%H%n%ct%n%<(100,trunc)%an%n%<(300,trunc)%s", to, "^" + from}, repo: repo})
	if err != nil {
		return 0, nil, err
	}
	for entry := range bytes.SplitSeq(bytes.TrimSuffix(out, []byte{0}), []byte{0}) {
		lines := strings.SplitN(string(entry), "\n", 4)
		if len(lines) != 4 || !isHash(lines[0]) {
			return 0, nil, fmt.Errorf("git log: %q is no entry", cutName(string(entry)))
		}
		l := mirror.LoggedCommit{Hash: lines[0], Author: cutName(lines[2]), Subject: cutName(lines[3])}
		if seconds, err := strconv.ParseInt(lines[1], 10, 64); err == nil && seconds > 0 {
			l.Time = time.Unix(seconds, 0).UTC()
		}
		list = append(list, l)
	}
	return n, list, nil
}

// differing fills in the files.
func (d *Disk) differing(ctx context.Context, repo, from, to string, c *mirror.Comparison) error {
	args := []string{"diff-tree", "-r", "-z", "--raw", "--no-ext-diff", "--no-textconv"}
	out, err := d.output(ctx, maxFileNames, command{args: append(args, "--no-renames", from, to), repo: repo})
	if err != nil {
		return err
	}
	files, err := parseChanges(out)
	if err != nil {
		return err
	}
	if c.Counted = len(files) <= maxCountedFiles; c.Counted {
		out, err = d.output(ctx, maxFileNames, command{args: append(args, "--numstat", "--find-renames", "-l200", from, to), repo: repo})
		if err != nil {
			return err
		}
		if files, err = parseChanges(out); err != nil {
			return err
		}
	}
	c.FileCount = len(files)
	for _, f := range files {
		c.LinesAdded += f.Added
		c.LinesDeleted += f.Deleted
	}
	c.Files = files[:min(len(files), mirror.MaxCompareFiles)]
	return nil
}

// parseChanges reads what diff-tree -z --raw says, and --numstat behind it: an
// entry each of the same files in the same order.
func parseChanges(out []byte) (files []mirror.FileChange, err error) {
	fields := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	if len(out) == 0 {
		return nil, nil
	}
	next := func() string {
		if len(fields) == 0 {
			err = errors.New("git diff-tree: its output ends early")
			return ""
		}
		f := fields[0]
		fields = fields[1:]
		return f
	}
	counted := 0
	for len(fields) > 0 && err == nil {
		head := next()
		if strings.HasPrefix(head, ":") && counted == 0 {
			f := mirror.FileChange{}
			status := head[strings.LastIndexByte(head, ' ')+1:]
			name := next()
			switch status[:min(1, len(status))] {
			case "A":
				f.Status = "added"
			case "D":
				f.Status = "deleted"
			case "T":
				f.Status = "type"
			case "R":
				f.Status, f.From = "renamed", cutName(name)
				name = next()
			default:
				f.Status = "changed"
			}
			f.Name = cutName(name)
			files = append(files, f)
			continue
		}
		added, rest, ok1 := strings.Cut(head, "\t")
		deleted, name, ok2 := strings.Cut(rest, "\t")
		if !ok1 || !ok2 || counted >= len(files) {
			return nil, fmt.Errorf("git diff-tree: %q is no entry", cutName(head))
		}
		if name == "" { // renamed: both names follow
			next()
			next()
		}
		f := &files[counted]
		counted++
		if f.Binary = added == "-"; !f.Binary {
			f.Added, _ = strconv.Atoi(added)
			f.Deleted, _ = strconv.Atoi(deleted)
		}
	}
	return files, err
}

// cutName is text of strangers, printable and short.
func cutName(name string) string {
	name = strings.TrimSpace(clean(name, nil))
	if runes := []rune(name); len(runes) > maxFileName {
		name = string(runes[:maxFileName]) + "…"
	}
	return name
}
