package git

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// formerRefs is packed-refs as it was before the last change: what is left when a
// power cut or a bad disk takes the newest one.
const formerRefs = "packed-refs.old"

// keepFormer notes packed-refs before it is replaced. It is a link: nothing is
// copied, and what it names has been durable for long. Without links there is
// none.
func keepFormer(repo string) {
	former, present := filepath.Join(repo, formerRefs), filepath.Join(repo, "packed-refs")
	if info, err := os.Stat(present); err != nil || info.Size() == 0 {
		return
	}
	_ = os.Remove(former + ".new")
	if os.Link(present, former+".new") == nil {
		_ = os.Rename(former+".new", former)
		_ = os.Remove(former + ".new") // rename(2) of two names of one file does nothing
	}
}

// headers looks whether packed-refs and HEAD begin and end as they must.
func (m *mender) headers() error {
	text, err := os.ReadFile(filepath.Join(m.repo, "packed-refs"))
	if err != nil || !bytes.HasPrefix(text, []byte("#")) || !bytes.HasSuffix(text, []byte("\n")) || bytes.IndexByte(text, 0) >= 0 {
		return m.refs()
	}
	return m.head(nil)
}

// refs makes the refs readable. What cannot be read holds no information: the
// next sync brings it again.
func (m *mender) refs() error {
	if err := m.looseRefs(); err != nil {
		return err
	}
	refs, _, err := readPacked(m.repo)
	name := filepath.Join(m.repo, "packed-refs")
	info, statErr := os.Stat(name)
	if err == nil && statErr == nil && info.Size() > 0 {
		return m.head(refs)
	}
	if errors.Is(statErr, fs.ErrNotExist) {
		if n, err := looseRefs(m.repo); err == nil && n > 0 {
			return m.head(nil) // somebody works there with git
		}
	}
	m.out.Refs, m.out.Objects = true, true
	former, complete, err := readFormer(m.repo)
	if err != nil || !complete {
		former = packed{}
		m.did("packed-refs could not be read and was begun anew: upstream's refs come with the next sync")
	} else {
		m.did("packed-refs could not be read; the one before it is in its place")
	}
	if info, err := os.Lstat(name); err == nil && !info.Mode().IsRegular() {
		if err := m.discard(name); err != nil {
			return err
		}
	}
	if _, err := former.write(m.repo); err != nil {
		return err
	}
	m.forgetRefs(m.id)
	return m.head(former)
}

func readFormer(repo string) (packed, bool, error) {
	text, err := os.ReadFile(filepath.Join(repo, formerRefs))
	if err != nil || len(text) == 0 {
		return nil, false, errors.Join(err, errNotPeeled)
	}
	list, complete, err := parsePacked(string(text))
	refs := packed{}
	for _, ref := range list {
		refs[ref.Name] = ref
	}
	return refs, complete, err
}

// looseRefs removes what is below refs/ and is no ref.
func (m *mender) looseRefs() error {
	return filepath.WalkDir(filepath.Join(m.repo, "refs"), func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(m.repo, name)
		if err != nil || strings.HasSuffix(rel, ".lock") {
			return err
		}
		ref := filepath.ToSlash(rel)
		if e.Type().IsRegular() && wellFormed(ref) {
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			value := strings.TrimSpace(string(text))
			target, symbolic := strings.CutPrefix(value, "ref: ")
			if isHash(value) || symbolic && wellFormed(target) {
				return nil
			}
		}
		m.did("removed %s, which is no ref", quote(ref))
		m.out.Refs = true
		return os.Remove(name)
	})
}

// head makes HEAD name a branch. refs may be nil when they are not known.
func (m *mender) head(refs packed) error {
	name := filepath.Join(m.repo, "HEAD")
	text, err := os.ReadFile(name)
	target, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "ref: ")
	if err == nil && ok && wellFormed(target) && strings.HasPrefix(target, "refs/heads/") {
		return nil
	}
	if info, err := os.Lstat(name); err == nil && !info.Mode().IsRegular() {
		if err := m.discard(name); err != nil {
			return err
		}
	}
	if refs == nil {
		refs, _, _ = readPacked(m.repo)
	}
	m.did("HEAD named no branch")
	m.out.Refs = true
	return replaceFile(name, "HEAD.new", "ref: "+likelyHead(refs)+"\n")
}

// likelyHead is the branch that HEAD names until a sync knows better.
func likelyHead(refs packed) string {
	var heads []string
	for name := range refs {
		if name == "refs/heads/main" || name == "refs/heads/master" {
			return name
		}
		if strings.HasPrefix(name, "refs/heads/") {
			heads = append(heads, name)
		}
	}
	if len(heads) == 0 {
		return "refs/heads/main"
	}
	return slices.Min(heads)
}
