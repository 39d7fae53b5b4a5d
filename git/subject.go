package git

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/gitmirror/gitmirror/mirror"
)

const maxSubject = 200

// Subject is the first line of a commit's message. See mirror.Reader.
func (d *Disk) Subject(ctx context.Context, id mirror.ID, rev string) (string, error) {
	c, err := d.Commit(ctx, id, rev)
	if err != nil {
		return "", err
	}
	repo, err := d.existing(id)
	if err != nil {
		return "", err
	}
	text, err := d.objects(id, repo).subject(c.Hash)
	if errors.Is(err, errHuge) {
		return "", nil // nobody's first line is worth that much memory
	}
	if err != nil {
		return "", d.gone(ctx, id, "read a commit", err)
	}
	return text, nil
}

func (o *objects) subject(hash string) (text string, err error) {
	err = o.read(func(s *filesystem.Storage) error {
		h := plumbing.NewHash(hash)
		if size, err := s.EncodedObjectSize(h); err != nil || size > maxCommitHeaders {
			return errors.Join(err, errHuge)
		}
		c, err := object.GetCommit(s, h)
		if err == nil {
			text = c.Message
		}
		return err
	})
	text, _, _ = strings.Cut(strings.TrimLeft(text, "\n"), "\n")
	if text = clean(text, nil); len(text) > maxSubject {
		text = text[:maxSubject]
		for !utf8.ValidString(text) {
			text = text[:len(text)-1]
		}
		text += "…"
	}
	return text, err
}
