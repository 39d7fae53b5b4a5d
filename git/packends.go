package git

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strings"
)

// errCutOff is a file that is shorter than what it is.
var errCutOff = errors.New("the file is cut off")

// ends reads the first and the last bytes of a file.
func ends(name string, first, last int) (head, tail []byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() || info.Size() < int64(max(first, last)) {
		return nil, nil, errCutOff
	}
	head, tail = make([]byte, first), make([]byte, last)
	if _, err := f.ReadAt(head, 0); err != nil {
		return nil, nil, err
	}
	_, err = f.ReadAt(tail, info.Size()-int64(last))
	return head, tail, err
}

// packSum is the checksum at the end of a pack (gitformat-pack).
func packSum(name string) (sum string, ok bool) {
	head, tail, err := ends(name, 12, 20)
	if err != nil || string(head[:4]) != "PACK" {
		return "", false
	}
	return hex.EncodeToString(tail), true
}

// indexSum is the checksum of the pack that an index is of. Its size must fit
// the number of objects.
func indexSum(name string) (sum string, ok bool) {
	const header, fan = 8, 4 * 256
	head, tail, err := ends(name, header+fan, 40)
	if err != nil || string(head[:8]) != "\xfftOc\x00\x00\x00\x02" {
		return "", false
	}
	info, err := os.Stat(name)
	objects := int64(binary.BigEndian.Uint32(head[header+fan-4:]))
	if err != nil || info.Size() < header+fan+objects*(20+4+4)+40 {
		return "", false
	}
	return hex.EncodeToString(tail[:20]), true
}

// readMultiIndex returns the checksum of a multi-pack-index and the names of the
// indexes it covers (gitformat-pack).
func readMultiIndex(name string) (sum string, names []string, err error) {
	head, tail, err := ends(name, 12, 20)
	if err != nil {
		return "", nil, err
	}
	if string(head[:4]) != "MIDX" || head[4] != 1 {
		return "", nil, errCutOff
	}
	f, err := os.Open(name)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	table := make([]byte, 12*(int(head[6])+1))
	if _, err := f.ReadAt(table, 12); err != nil {
		return "", nil, errCutOff
	}
	for i := 0; i+24 <= len(table); i += 12 {
		from, to := binary.BigEndian.Uint64(table[i+4:]), binary.BigEndian.Uint64(table[i+16:])
		if string(table[i:i+4]) != "PNAM" {
			continue
		}
		if to < from || to-from > 16<<20 {
			return "", nil, errCutOff
		}
		text, err := io.ReadAll(io.NewSectionReader(f, int64(from), int64(to-from)))
		if err != nil || len(text) != int(to-from) {
			return "", nil, errCutOff
		}
		return hex.EncodeToString(tail), strings.Split(strings.TrimRight(string(text), "\x00"), "\x00"), nil
	}
	return "", nil, errCutOff
}
