package git

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

const maxCommitHeaders = 1 << 20

// gone explains a failed read; a repository that was removed meanwhile is not found.
func (d *Disk) gone(ctx context.Context, id mirror.ID, doing string, err error) error {
	if ctx.Err() != nil {
		return interrupted(ctx)
	}
	if _, missing := d.existing(id); errors.Is(missing, mirror.ErrNotFound) {
		return missing
	}
	return d.localGit(ctx, doing, err)
}

// Commit resolves a revision. See mirror.Reader.
func (d *Disk) Commit(ctx context.Context, id mirror.ID, rev string) (mirror.Commit, error) {
	repo, err := d.existing(id)
	if err != nil {
		return mirror.Commit{}, err
	}
	unknown := func(why string) error {
		return &mirror.Problem{Kind: mirror.ErrNotFound, What: "there is no commit " + quote(rev), Why: why}
	}
	digits := isHex(rev) && len(rev) >= 7 && len(rev) <= 64
	switch {
	case isHash(rev):
	case ours(rev):
		list, err := d.Refs(ctx, id)
		if err != nil {
			return mirror.Commit{}, err
		}
		ref, ok := list.Ref(rev)
		if !ok {
			return mirror.Commit{}, unknown("there is no such ref")
		}
		rev = ref.Hash
	case digits:
		// Not left to git as it is: a branch may be called like an abbreviation.
		candidates, err := d.abbreviated(ctx, repo, rev)
		if err != nil {
			return mirror.Commit{}, d.gone(ctx, id, "resolve a revision", err)
		}
		if len(candidates) != 1 {
			return mirror.Commit{}, unknown(fmt.Sprintf("%d commits begin with these digits", len(candidates)))
		}
		rev = candidates[0]
	default:
		return mirror.Commit{}, unknown("it is neither a full ref name nor 7 to 64 hex digits")
	}
	c, err := d.objects(id, repo).commit(rev)
	if err != nil && !errors.Is(err, mirror.ErrNotFound) {
		c, err = d.readCommit(ctx, repo, rev) // git is the judge of what is strange
	}
	if errors.Is(err, mirror.ErrNotFound) {
		return mirror.Commit{}, unknown("no such object, or not a commit")
	}
	if err != nil {
		return mirror.Commit{}, d.gone(ctx, id, "read a commit", err)
	}
	return c, nil
}

// abbreviated returns the commits that objects with this prefix are or lead to.
func (d *Disk) abbreviated(ctx context.Context, repo, prefix string) ([]string, error) {
	out, err := d.output(ctx, 1<<20, command{args: []string{"rev-parse", "--disambiguate=" + prefix}, repo: repo})
	if err != nil || len(out) == 0 {
		return nil, err
	}
	ask := strings.ReplaceAll(string(out), "\n", "^{commit}\n")
	out, err = d.output(ctx, 4<<20, command{
		args: []string{"cat-file", "--batch-check=%(objectname)"}, repo: repo, stdin: strings.NewReader(ask)})
	if err != nil {
		return nil, err
	}
	var commits []string
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		if id := strings.TrimSpace(line); isHash(id) && !seen[id] {
			seen[id] = true
			commits = append(commits, id)
		}
	}
	return commits, nil
}

// readCommit reads the headers of a commit, however long its message is.
func (d *Disk) readCommit(ctx context.Context, repo, rev string) (mirror.Commit, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p, err := d.start(ctx, command{args: []string{"cat-file", "--batch"}, repo: repo, piped: true})
	if err != nil {
		return mirror.Commit{}, err
	}
	_, err = io.WriteString(p.stdin, rev+"^{commit}\n")
	err = errors.Join(err, p.stdin.Close())
	var c mirror.Commit
	var found bool
	if err == nil {
		c, found, err = commitHeaders(bufio.NewReader(io.LimitReader(p.stdout, maxCommitHeaders)))
	}
	if found { // the message does not matter
		cancel()
		_ = p.wait()
		return c, nil
	}
	_, _ = io.Copy(io.Discard, p.stdout)
	if waited := p.wait(); waited != nil {
		return mirror.Commit{}, waited
	}
	if err != nil {
		return mirror.Commit{}, err
	}
	return mirror.Commit{}, mirror.ErrNotFound
}

func commitHeaders(in *bufio.Reader) (c mirror.Commit, found bool, err error) {
	first, err := in.ReadString('\n')
	if err != nil {
		return c, false, err
	}
	fields := strings.Fields(first)
	if len(fields) != 3 || fields[1] != "commit" {
		return c, false, nil
	}
	c.Hash = fields[0]
	c.Time, err = headers(in, c.Hash)
	return c, err == nil, err
}

// headers reads when a commit was committed.
func headers(in *bufio.Reader, commit string) (time.Time, error) {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return time.Time{}, fmt.Errorf("commit %s has no committer", commit)
		}
		if line == "\n" {
			return time.Time{}, nil
		}
		if who, ok := strings.CutPrefix(line, "committer "); ok {
			return time.Unix(committed(who), 0).UTC(), nil
		}
	}
}

// committed is the time behind the last ">", zero when it is nonsense, as git
// has it.
func committed(who string) int64 {
	fields := strings.Fields(who[strings.LastIndexByte(who, '>')+1:])
	if len(fields) == 0 {
		return 0
	}
	seconds, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil || seconds < 0 {
		return 0
	}
	return seconds
}

// Advertised tells whether a branch or a tag leads to the commit.
func (d *Disk) Advertised(ctx context.Context, id mirror.ID, commit string) (bool, error) {
	repo, err := d.existing(id)
	if err != nil {
		return false, err
	}
	if !isHash(commit) {
		return false, &mirror.Problem{Kind: mirror.ErrInvalid, What: quote(commit) + " is not the id of a commit"}
	}
	out, err := d.output(ctx, 1<<10, command{
		args: []string{"rev-list", "--max-count=1", "--ignore-missing", commit, "--not", "--branches", "--tags"}, repo: repo})
	if err != nil {
		return false, d.gone(ctx, id, "search the history", err)
	}
	if len(out) > 0 {
		return false, nil
	}
	// A missing commit gives no output either.
	_, err = d.Commit(ctx, id, commit)
	return err == nil, err
}

// Ancestor tells whether old can be reached from new.
func (d *Disk) Ancestor(ctx context.Context, id mirror.ID, old, new string) (bool, error) {
	repo, err := d.existing(id)
	if err != nil {
		return false, err
	}
	if !isHash(old) || !isHash(new) {
		return false, &mirror.Problem{Kind: mirror.ErrInvalid, What: quote(old) + " or " + quote(new) + " is not an object id"}
	}
	yes, err := d.ancestor(ctx, command{repo: repo}, old, new)
	if err != nil {
		return false, d.gone(ctx, id, "search the history", err)
	}
	return yes, nil
}

// ancestor asks in the repository, or quarantine, of where. Objects that are
// not commits are nobody's ancestors.
func (d *Disk) ancestor(ctx context.Context, where command, old, new string) (bool, error) {
	where.args = []string{"merge-base", "--is-ancestor", "--end-of-options", old, new}
	err := d.run(ctx, where)
	var f *failure
	switch {
	case err == nil:
		return true, nil
	case ctx.Err() != nil:
		return false, interrupted(ctx)
	case errors.As(err, &f) && f.cause == nil && (f.code == 1 || strings.Contains(f.stderr, "Not a valid commit name") || strings.Contains(f.stderr, "is a ")):
		return false, nil
	}
	return false, err
}

// OffBranch finds the commits that no branch leads to. See mirror.Reader.
func (d *Disk) OffBranch(ctx context.Context, id mirror.ID, commits []string) ([]string, error) {
	repo, err := d.existing(id)
	if err != nil {
		return nil, err
	}
	var ask strings.Builder
	for _, c := range commits {
		if !isHash(c) {
			return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: quote(c) + " is not the id of a commit"}
		}
		ask.WriteString(c + "\n")
	}
	if ask.Len() == 0 {
		return nil, nil
	}
	// Commits alone: objects of other kinds are not walked.
	out, err := d.output(ctx, maxWalk*50, command{
		args: []string{"rev-list", "--ignore-missing", fmt.Sprint("--max-count=", maxWalk), "--stdin", "--not", "--branches"},
		repo: repo, stdin: strings.NewReader(ask.String()),
	})
	if err != nil {
		return nil, d.gone(ctx, id, "search the history", err)
	}
	walked := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		walked[strings.TrimSpace(line)] = true
	}
	var off []string
	for _, c := range commits {
		if walked[c] {
			off = append(off, c)
		}
	}
	return off, nil
}
