package web

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gitmirror/gitmirror/mirror"
)

// RefComparison is how two commits of a mirror differ.
type RefComparison struct {
	Old     ComparedCommit `json:"old"`
	New     ComparedCommit `json:"new"`
	Base    string         `json:"base,omitempty" doc:"The newest commit both have; absent when they have none in common"`
	Ahead   int            `json:"ahead" doc:"Commits of new that old lacks; 10,000 stands for that many or more"`
	Behind  int            `json:"behind" doc:"Commits of old that new lacks, counted as ahead is"`
	Added   []LoggedCommit `json:"added" doc:"The commits new has more, newest first, at most 100"`
	Dropped []LoggedCommit `json:"dropped" doc:"The commits new lacks, newest first, at most 100"`
	Files   []ChangedFile  `json:"files" doc:"By name, at most 500"`
	Total   FileTotals     `json:"total"`
}

// ComparedCommit is one side of a comparison.
type ComparedCommit struct {
	Rev  string    `json:"rev" doc:"As it was asked for" example:"refs/tags/v1.9.1"`
	Hash string    `json:"hash"`
	At   time.Time `json:"at" doc:"When it was committed"`
}

// LoggedCommit is a commit as a log lists it.
type LoggedCommit struct {
	Hash    string    `json:"hash"`
	At      time.Time `json:"at"`
	Author  string    `json:"author"`
	Subject string    `json:"subject"`
}

// ChangedFile is a file that differs.
type ChangedFile struct {
	Name    string `json:"name"`
	From    string `json:"from,omitempty" doc:"What it was called before"`
	Status  string `json:"status" enum:"added,deleted,changed,renamed,type"`
	Added   int    `json:"added" doc:"Lines"`
	Deleted int    `json:"deleted" doc:"Lines"`
	Binary  bool   `json:"binary,omitempty"`
}

// FileTotals are about all files that differ, not only those that are listed.
type FileTotals struct {
	Files   int  `json:"files"`
	Added   int  `json:"added" doc:"Lines"`
	Deleted int  `json:"deleted" doc:"Lines"`
	Counted bool `json:"counted" doc:"Whether lines were counted; they are not where more than 2,000 files differ"`
}

type compareRequest struct {
	MirrorParam
	Old string `query:"old" required:"true" minLength:"1" maxLength:"1000" doc:"Branch, tag, full name of any ref, or 7 to 64 digits of a commit" example:"refs/gitmirror/held/tags/v1.9.1"`
	New string `query:"new" required:"true" minLength:"1" maxLength:"1000" doc:"As old"`
}

func (a *api) compareOperations() {
	register(a, readers, huma.Operation{
		OperationID: "compare-refs", Method: http.MethodGet, Path: "/mirrors/{mirror}/compare", Tags: []string{"history"},
		Summary:     "How two refs or commits differ: commits and files",
		Description: "For a tag that upstream moved: old is the tag, new the ref under refs/gitmirror/held/. 429 when they are too far apart to be compared within 20 s.",
		Errors:      []int{http.StatusNotFound},
	}, a.compareRefs)
}

func (a *api) compareRefs(ctx context.Context, in *compareRequest) (*answer[RefComparison], error) {
	repo, err := a.repo(ctx, in.Mirror)
	if err != nil {
		return nil, err
	}
	c, err := a.compare(ctx, repo, in.Old, in.New)
	if err != nil {
		return nil, err
	}
	return &answer[RefComparison]{RefComparison{
		Old: ComparedCommit{in.Old, c.Old.Hash, c.Old.Time}, New: ComparedCommit{in.New, c.New.Hash, c.New.Time}, Base: c.Base,
		Ahead: c.Ahead, Behind: c.Behind, Added: each(c.Added, loggedJSON), Dropped: each(c.Dropped, loggedJSON),
		Files: each(c.Files, changedJSON), Total: FileTotals{c.FileCount, c.LinesAdded, c.LinesDeleted, c.Counted},
	}}, nil
}

func loggedJSON(c mirror.LoggedCommit) LoggedCommit {
	return LoggedCommit{Hash: c.Hash, At: c.Time, Author: c.Author, Subject: c.Subject}
}

func changedJSON(f mirror.FileChange) ChangedFile {
	return ChangedFile{Name: f.Name, From: f.From, Status: f.Status, Added: f.Added, Deleted: f.Deleted, Binary: f.Binary}
}

// compare tells how two revisions of a mirror differ; branches and tags may be
// given by their short names.
func (s *Server) compare(ctx context.Context, repo mirror.Repo, old, new string) (mirror.Comparison, error) {
	if s.Comparer == nil {
		return mirror.Comparison{}, &mirror.Problem{Kind: mirror.ErrNotFound, What: "this server compares no commits"}
	}
	listing, err := s.Reader.Refs(ctx, repo.ID)
	if errors.Is(err, mirror.ErrNotFound) {
		return mirror.Comparison{}, &mirror.Problem{Kind: mirror.ErrNotFound, What: string(repo.Path) + " was not cloned yet", Do: "wait for its first sync"}
	}
	if err != nil {
		return mirror.Comparison{}, err
	}
	return s.Comparer.Compare(ctx, repo.ID, fullName(listing, old), fullName(listing, new))
}

// fullName is the ref a person means, as git has it: a tag goes before a branch.
func fullName(l mirror.Listing, rev string) string {
	if rev == "HEAD" {
		return l.Head
	}
	for _, prefix := range []string{"", "refs/tags/", "refs/heads/", "refs/"} {
		if _, ok := l.Ref(prefix + rev); ok {
			return prefix + rev
		}
	}
	return rev
}
