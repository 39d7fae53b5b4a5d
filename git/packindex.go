package git

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// packs are the packs of some directories, as they were when they were opened.
type packs struct {
	all    []*packFile
	buffer *bufio.Reader
	unzip  io.ReadCloser
}

// packFile is a pack and its index, version 2.
type packFile struct {
	index, data *os.File
	name        string // of the pack
	fanout      [256]uint32
	bucket      int    // which of the 256 parts of the names ids holds; -1 = none
	ids         []byte // sorted
}

// openPacks opens the indexes in the directories. It must be closed.
func openPacks(dirs ...string) (*packs, error) {
	p := &packs{}
	for _, dir := range dirs {
		names, err := filepath.Glob(filepath.Join(globQuoted(dir), "pack-*.idx"))
		if err != nil {
			p.close()
			return nil, err
		}
		for _, name := range names {
			f, err := openPack(name)
			if err != nil {
				p.close()
				return nil, fmt.Errorf("%s: %w", filepath.Base(name), err)
			}
			p.all = append(p.all, f)
		}
	}
	return p, nil
}

// globQuoted is a path for filepath.Glob, which the user of the server named.
func globQuoted(dir string) string {
	if filepath.Separator == '\\' {
		return dir
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

func (p *packs) close() {
	for _, f := range p.all {
		_ = f.index.Close()
		if f.data != nil {
			_ = f.data.Close()
		}
	}
	p.all = nil
}

const indexHead = 8 + 4*256

func openPack(name string) (*packFile, error) {
	index, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	var head [indexHead]byte
	if _, err = io.ReadFull(io.NewSectionReader(index, 0, indexHead), head[:]); err == nil && string(head[:8]) != "\xfftOc\x00\x00\x00\x02" {
		err = errors.New("not an index of version 2")
	}
	f := &packFile{index: index, name: strings.TrimSuffix(name, ".idx") + ".pack", bucket: -1}
	for i := range f.fanout {
		f.fanout[i] = binary.BigEndian.Uint32(head[8+4*i:])
		if err == nil && i > 0 && f.fanout[i] < f.fanout[i-1] {
			err = errors.New("its fan-out is not monotonic")
		}
	}
	if err != nil {
		_ = index.Close()
		return nil, err
	}
	return f, nil
}

// position is the place of an id among the sorted ones.
func (f *packFile) position(id objectID) (at int64, found bool, err error) {
	b := int(id[0])
	first := uint32(0)
	if b > 0 {
		first = f.fanout[b-1]
	}
	n := int(f.fanout[b] - first)
	if n == 0 {
		return 0, false, nil
	}
	if f.bucket != b {
		if cap(f.ids) < n*len(id) {
			f.ids = make([]byte, n*len(id))
		}
		f.ids, f.bucket = f.ids[:n*len(id)], -1
		if _, err := f.index.ReadAt(f.ids, indexHead+int64(first)*int64(len(id))); err != nil {
			return 0, false, err
		}
		f.bucket = b
	}
	low, high := 0, n
	for low < high {
		mid := (low + high) / 2
		switch c := bytes.Compare(f.ids[mid*len(id):(mid+1)*len(id)], id[:]); {
		case c == 0:
			return int64(first) + int64(mid), true, nil
		case c < 0:
			low = mid + 1
		default:
			high = mid
		}
	}
	return 0, false, nil
}

// offset is where in the pack an object is.
func (f *packFile) offset(at int64) (int64, error) {
	count := int64(f.fanout[255])
	offsets := indexHead + count*(20+4)
	var four [4]byte
	if _, err := f.index.ReadAt(four[:], offsets+4*at); err != nil {
		return 0, err
	}
	n := binary.BigEndian.Uint32(four[:])
	if n&(1<<31) == 0 {
		return int64(n), nil
	}
	var eight [8]byte
	_, err := f.index.ReadAt(eight[:], offsets+4*count+8*int64(n&^(1<<31)))
	return int64(binary.BigEndian.Uint64(eight[:]) &^ (1 << 63)), err
}

// holds tells whether a pack has the object.
func (p *packs) holds(id objectID) (bool, error) {
	for _, f := range p.all {
		if _, found, err := f.position(id); found || err != nil {
			return found, err
		}
	}
	return false, nil
}

func (p *packs) find(id objectID) (*packFile, int64, error) {
	for _, f := range p.all {
		at, found, err := f.position(id)
		if err != nil {
			return nil, 0, err
		}
		if found {
			offset, err := f.offset(at)
			return f, offset, err
		}
	}
	return nil, 0, errNotPacked
}
