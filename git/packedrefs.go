package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

// packedHeader is what git writes and reads when every tag's target is noted
// (Documentation/gitrepository-layout, packed-refs).
const packedHeader = "# pack-refs with: peeled fully-peeled sorted \n"

// packed is the content of a packed-refs file, by name.
type packed map[string]mirror.Ref

// readPacked reads packed-refs; a missing file has no refs. complete is false
// when the peeled values cannot be relied on.
func readPacked(repo string) (refs packed, complete bool, err error) {
	refs = packed{}
	text, err := os.ReadFile(filepath.Join(repo, "packed-refs"))
	if errors.Is(err, fs.ErrNotExist) {
		return refs, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	list, complete, err := parsePacked(string(text))
	for _, ref := range list {
		refs[ref.Name] = ref
	}
	return refs, complete, err
}

// errNotPeeled is a packed-refs file that does not say what its tags lead to.
var errNotPeeled = errors.New("packed-refs is not fully peeled")

// parsePacked reads the text of a packed-refs file. The refs are parts of the text.
func parsePacked(text string) (refs []mirror.Ref, complete bool, err error) {
	refs = make([]mirror.Ref, 0, strings.Count(text, "\n"))
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "#"):
			complete = strings.Contains(line, " fully-peeled ")
		case strings.HasPrefix(line, "^"):
			if len(refs) == 0 || !isHash(line[1:]) {
				return nil, false, fmt.Errorf("packed-refs: line %q", line)
			}
			refs[len(refs)-1].Peeled = line[1:]
		default:
			hash, name, ok := strings.Cut(line, " ")
			if !ok || !isHash(hash) {
				return nil, false, fmt.Errorf("packed-refs: line %q", line)
			}
			refs = append(refs, mirror.Ref{Name: name, Hash: hash})
		}
	}
	return refs, complete, nil
}

// apply changes refs by a transaction. It fails, changing nothing that counts,
// when an old value is not the present one or two names cannot both exist.
func (refs packed) apply(updates []mirror.RefUpdate) error {
	refuse := func(name, why string) error {
		return &mirror.Problem{Kind: mirror.ErrExists, What: "the ref " + quote(name) + " cannot be updated", Why: why, Do: "list again and retry"}
	}
	seen := map[string]bool{}
	for _, u := range updates {
		switch {
		case !ours(u.Name) || u.New != "" && !isHash(u.New) || u.Old == "" && u.New == "":
			return &mirror.Problem{Kind: mirror.ErrInvalid, What: "the ref " + quote(u.Name) + " cannot be updated", Why: "its name or its new value is not well-formed"}
		case seen[u.Name]:
			return refuse(u.Name, "it is named twice")
		case refs[u.Name].Hash != u.Old:
			return refuse(u.Name, "it has changed meanwhile")
		}
		seen[u.Name] = true
	}
	created := packed{}
	for _, u := range updates {
		if u.New == "" {
			delete(refs, u.Name)
			continue
		}
		if refs[u.Name].Hash != u.New {
			refs[u.Name] = mirror.Ref{Name: u.Name, Hash: u.New}
		}
		if u.Old == "" {
			created[u.Name] = refs[u.Name]
		}
	}
	const clash = "a ref has the name of one of its directories"
	for name := range created {
		if under(name, refs) {
			return refuse(name, clash)
		}
	}
	for name := range refs {
		if len(created) > 0 && under(name, created) {
			return refuse(name, clash)
		}
	}
	return nil
}

// check looks at the objects of new values: they must exist, and be commits
// under refs/heads/. It fills in what tags lead to.
func (in *incoming) check(ctx context.Context, refs packed, names []string) error {
	var unsure []string
	p, err := in.packs()
	for _, name := range names {
		ref := refs[name]
		id, ok := parseID(ref.Hash)
		if err != nil || !ok {
			unsure = append(unsure, name)
			continue
		}
		kind, kindErr := p.kind(id)
		peeled, _, peelErr := p.peel(id)
		switch {
		case errors.Join(kindErr, peelErr) != nil:
			unsure = append(unsure, name)
		case strings.HasPrefix(name, "refs/heads/") && kind != kindCommit:
			return notCommit(name, ref.Hash, kind.String())
		case kind == kindTag:
			ref.Peeled = peeled.String()
			refs[name] = ref
		}
	}
	return in.checkByGit(ctx, refs, unsure)
}

func notCommit(name, hash, kind string) error {
	return &mirror.Problem{Code: mirror.CodeFsck, Kind: mirror.ErrIntegrity, What: "the branch " + quote(name) + " is not a commit", Why: hash + " is a " + kind}
}

// checkByGit is check for objects that are not found in packs, or not easily read.
func (in *incoming) checkByGit(ctx context.Context, refs packed, names []string) error {
	if len(names) == 0 {
		return nil
	}
	var ask strings.Builder
	for _, name := range names {
		fmt.Fprintf(&ask, "%s\n%s^{}\n", refs[name].Hash, refs[name].Hash)
	}
	out, err := in.disk.output(ctx, len(names)*512+1024, in.command(command{
		args: []string{"cat-file", "--batch-check=%(objectname) %(objecttype)", "--buffer"}, stdin: strings.NewReader(ask.String()),
	}))
	if err != nil {
		return in.disk.localGit(ctx, "look at the new objects", err)
	}
	answers := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(answers) != 2*len(names) {
		return in.disk.local("look at the new objects", fmt.Errorf("%d answers to %d questions", len(answers), 2*len(names)))
	}
	for i, name := range names {
		ref := refs[name]
		_, kind, _ := strings.Cut(answers[2*i], " ")
		peeled, peeledKind, _ := strings.Cut(answers[2*i+1], " ")
		switch {
		case kind == "missing" || peeledKind == "missing":
			return &mirror.Problem{Code: mirror.CodeCorrupt, Kind: mirror.ErrIntegrity, What: "the ref " + quote(name) + " leads to an object that is not there", Why: ref.Hash + " is missing"}
		case strings.HasPrefix(name, "refs/heads/") && kind != "commit":
			return notCommit(name, ref.Hash, kind)
		case kind == "tag":
			ref.Peeled = peeled
			refs[name] = ref
		}
	}
	return nil
}

// write replaces packed-refs by way of packed-refs.new, as git does while it
// holds the lock. It returns the refs in order, as parts of one text.
func (refs packed) write(repo string) ([]mirror.Ref, error) {
	list := make([]mirror.Ref, 0, len(refs))
	for _, ref := range refs {
		list = append(list, ref)
	}
	slices.SortFunc(list, func(a, b mirror.Ref) int { return strings.Compare(a.Name, b.Name) })
	var out strings.Builder
	out.Grow(128*len(list) + len(packedHeader))
	out.WriteString(packedHeader)
	for _, ref := range list {
		out.WriteString(ref.Hash)
		out.WriteByte(' ')
		out.WriteString(ref.Name)
		if ref.Peeled != "" {
			out.WriteString("\n^")
			out.WriteString(ref.Peeled)
		}
		out.WriteByte('\n')
	}
	text := out.String()
	keepFormer(repo)
	if err := replaceFile(filepath.Join(repo, "packed-refs"), "packed-refs.new", text); err != nil {
		return nil, err
	}
	// What they were made of, whole listings, is not held any longer.
	at := len(packedHeader)
	part := func(of string) string {
		start := at
		at += len(of) + 1
		return text[start : at-1]
	}
	for i, ref := range list {
		list[i] = mirror.Ref{Hash: part(ref.Hash), Name: part(ref.Name)}
		if ref.Peeled != "" {
			at++
			list[i].Peeled = part(ref.Peeled)
		}
	}
	return list, nil
}

// present reads packed-refs while it is locked; what was read last is not read
// again.
func (in *incoming) present() (refs packed, complete bool, err error) {
	if s, ok := in.disk.state.refs.get(in.id); ok && s.whole {
		info, err := os.Stat(filepath.Join(in.repo, "packed-refs"))
		if err == nil && sameFile(s.file, info) {
			refs = make(packed, len(s.refs))
			for _, ref := range s.refs {
				refs[ref.Name] = ref
			}
			in.whole = true
			return refs, true, nil
		}
	}
	refs, complete, err = readPacked(in.repo)
	in.whole = len(refs) == 0
	return refs, complete, err
}

// replace writes packed-refs while it is locked, and remembers what it wrote.
func (in *incoming) replace(refs packed) error {
	list, err := refs.write(in.repo)
	in.disk.forgetRefs(in.id)
	if err != nil {
		return in.disk.local("write the refs", err)
	}
	if info, err := os.Stat(filepath.Join(in.repo, "packed-refs")); err == nil && in.whole && !in.first {
		in.disk.state.refs.put(in.id, &snapshot{file: info, refs: list[:len(list):len(list)], whole: true}, int(info.Size())+256)
	}
	return nil
}

// replaceFile writes name whole or not at all, through a file beside it, and
// makes it durable.
func replaceFile(name, beside, text string) error {
	temp := filepath.Join(filepath.Dir(name), beside)
	err := func() error {
		f, err := os.Create(temp)
		if err != nil {
			return err
		}
		_, err = f.WriteString(text)
		return errors.Join(err, f.Sync(), f.Close())
	}()
	if err == nil {
		err = os.Rename(temp, name)
	}
	if err != nil {
		_ = os.Remove(temp)
		return err
	}
	return syncDir(filepath.Dir(name))
}
