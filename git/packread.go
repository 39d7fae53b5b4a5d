package git

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// Looking at a few objects of a repository without a git or its whole indexes
// in memory: what a sync needs to know of the refs it moves. Only what packs
// hold is found; git is asked about the rest. The formats are those of
// gitformat-pack.

const (
	// maxDelta bounds a chain of deltas, maxSmallObject what is read of an object.
	maxDelta       = 4096
	maxSmallObject = 1 << 20
)

// errNotPacked is an object that no pack holds, or that is not for reading here.
var errNotPacked = errors.New("not in a pack")

type objectID [20]byte

func parseID(hash string) (id objectID, ok bool) {
	if len(hash) != 2*len(id) {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(hash))
	return id, err == nil
}

func (id objectID) String() string { return hex.EncodeToString(id[:]) }

type objectKind byte

const (
	kindCommit   objectKind = 1
	kindTree     objectKind = 2
	kindBlob     objectKind = 3
	kindTag      objectKind = 4
	kindOffDelta objectKind = 6
	kindRefDelta objectKind = 7
)

func (k objectKind) String() string {
	switch k {
	case kindCommit:
		return "commit"
	case kindTree:
		return "tree"
	case kindBlob:
		return "blob"
	case kindTag:
		return "tag"
	}
	return fmt.Sprintf("object of kind %d", byte(k))
}

// entry is the head of an object in a pack.
type entry struct {
	kind   objectKind
	size   int64
	base   int64    // of kindOffDelta: the offset of what it changes
	baseID objectID // of kindRefDelta
	data   int64    // where its compressed data begin
}

func (f *packFile) entry(offset int64) (e entry, err error) {
	if f.data == nil {
		if f.data, err = os.Open(f.name); err != nil {
			return e, err
		}
	}
	var head [48]byte
	n, err := f.data.ReadAt(head[:], offset)
	if err != nil && err != io.EOF || n < 2 {
		return e, errors.Join(err, io.ErrUnexpectedEOF)
	}
	b := head[:n]
	e.kind, e.size = objectKind(b[0]>>4&7), int64(b[0]&15)
	i := 1
	for shift := 4; b[i-1]&0x80 != 0; shift += 7 {
		if i >= len(b) || shift > 56 {
			return e, io.ErrUnexpectedEOF
		}
		e.size |= int64(b[i]&0x7f) << shift
		i++
	}
	switch e.kind {
	case kindOffDelta:
		var back int64
		for more := true; more; i++ {
			if i >= len(b) || back > 1<<55 {
				return e, io.ErrUnexpectedEOF
			}
			back = back<<7 | int64(b[i]&0x7f)
			if more = b[i]&0x80 != 0; more {
				back++
			}
		}
		if e.base = offset - back; back <= 0 || e.base < 12 {
			return e, errors.New("a delta leads out of its pack")
		}
	case kindRefDelta:
		if i+20 > len(b) {
			return e, io.ErrUnexpectedEOF
		}
		i += copy(e.baseID[:], b[i:])
	}
	e.data = offset + int64(i)
	return e, nil
}

// base is the entry that a delta changes.
func (p *packs) base(f *packFile, e entry) (*packFile, entry, error) {
	if e.kind == kindOffDelta {
		e, err := f.entry(e.base)
		return f, e, err
	}
	f, offset, err := p.find(e.baseID)
	if err != nil {
		return nil, e, err
	}
	e, err = f.entry(offset)
	return f, e, err
}

// kind is what an object is, without reading it.
func (p *packs) kind(id objectID) (objectKind, error) {
	f, offset, err := p.find(id)
	if err != nil {
		return 0, err
	}
	e, err := f.entry(offset)
	for range maxDelta {
		if err != nil || e.kind != kindOffDelta && e.kind != kindRefDelta {
			return e.kind, err
		}
		f, e, err = p.base(f, e)
	}
	return 0, errNotPacked
}

// read returns a small object.
func (p *packs) read(id objectID) (objectKind, []byte, error) {
	f, offset, err := p.find(id)
	if err != nil {
		return 0, nil, err
	}
	e, err := f.entry(offset)
	var deltas [][]byte
	for err == nil && (e.kind == kindOffDelta || e.kind == kindRefDelta) {
		var delta []byte
		if delta, err = p.inflate(f, e); err != nil {
			break
		}
		if deltas = append(deltas, delta); len(deltas) > 100 {
			return 0, nil, errNotPacked
		}
		f, e, err = p.base(f, e)
	}
	if err != nil {
		return 0, nil, err
	}
	data, err := p.inflate(f, e)
	for i := len(deltas) - 1; i >= 0 && err == nil; i-- {
		data, err = patched(data, deltas[i])
	}
	return e.kind, data, err
}

func (p *packs) inflate(f *packFile, e entry) ([]byte, error) {
	if e.size > maxSmallObject {
		return nil, errNotPacked
	}
	section := io.NewSectionReader(f.data, e.data, 1<<62)
	if p.buffer == nil {
		p.buffer = bufio.NewReaderSize(nil, 1<<10) // most are small: a read has all
	}
	p.buffer.Reset(section)
	var err error
	if p.unzip == nil {
		p.unzip, err = zlib.NewReader(p.buffer)
	} else {
		err = p.unzip.(zlib.Resetter).Reset(p.buffer, nil)
	}
	if err != nil {
		return nil, err
	}
	data := make([]byte, e.size)
	_, err = io.ReadFull(p.unzip, data)
	return data, err
}

var errDelta = errors.New("a delta is damaged")

// patched applies a delta.
func patched(base, delta []byte) ([]byte, error) {
	size := func() int64 {
		n, shift := int64(0), 0
		for {
			if len(delta) == 0 || shift > 56 {
				return -1
			}
			b := delta[0]
			delta = delta[1:]
			n |= int64(b&0x7f) << shift
			if shift += 7; b&0x80 == 0 {
				return n
			}
		}
	}
	if size() != int64(len(base)) {
		return nil, errDelta
	}
	want := size()
	if want < 0 || want > maxSmallObject {
		return nil, errNotPacked
	}
	out := make([]byte, 0, want)
	for len(delta) > 0 {
		op := delta[0]
		delta = delta[1:]
		if op&0x80 == 0 {
			n := int(op)
			if n == 0 || n > len(delta) {
				return nil, errDelta
			}
			out, delta = append(out, delta[:n]...), delta[n:]
			continue
		}
		var fields [7]byte // 4 of the offset, 3 of the size
		for i := range fields {
			if op&(1<<i) != 0 {
				if len(delta) == 0 {
					return nil, errDelta
				}
				fields[i], delta = delta[0], delta[1:]
			}
		}
		from := int64(binary.LittleEndian.Uint32(fields[:4]))
		n := int64(fields[4]) | int64(fields[5])<<8 | int64(fields[6])<<16
		if n == 0 {
			n = 1 << 16
		}
		if from+n > int64(len(base)) || int64(len(out))+n > want {
			return nil, errDelta
		}
		out = append(out, base[from:from+n]...)
	}
	if int64(len(out)) != want {
		return nil, errDelta
	}
	return out, nil
}

// parentsOf are the ids in the head of a commit.
func parentsOf(commit []byte) (ids []objectID) {
	for line := range bytes.Lines(commit) {
		if bytes.HasPrefix(line, []byte("tree ")) {
			continue
		}
		hash, ok := bytes.CutPrefix(line, []byte("parent "))
		if !ok {
			break
		}
		if id, ok := parseID(string(bytes.TrimSuffix(hash, []byte("\n")))); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// target is what a tag object names.
func target(tag []byte) (objectID, bool) {
	line, _, _ := bytes.Cut(tag, []byte("\n"))
	hash, ok := bytes.CutPrefix(line, []byte("object "))
	if !ok {
		return objectID{}, false
	}
	return parseID(string(hash))
}

// peel follows tags to what they lead to.
func (p *packs) peel(id objectID) (objectID, objectKind, error) {
	for range maxPeel {
		kind, err := p.kind(id)
		if err != nil || kind != kindTag {
			return id, kind, err
		}
		_, data, err := p.read(id)
		if err != nil {
			return id, 0, err
		}
		next, ok := target(data)
		if !ok {
			return id, 0, errNotPacked
		}
		id = next
	}
	return id, 0, errNotPacked
}
