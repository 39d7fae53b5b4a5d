package mirror

import (
	"net/url"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// SumDB is a Go checksum database: a public log of what every module version
// contains. The zero value is none.
type SumDB struct {
	// Name is its host, perhaps with a path; it is part of Key.
	Name string
	// Key is what it signs with, in the form of golang.org/x/mod/sumdb/note.
	Key string
	// URL is where it is, when that was said and is not https://Name.
	URL string
}

// goSumDB is the database of the go command's default, and its key as the go
// command has it built in (cmd/go/internal/modfetch/key.go).
const (
	goSumDB    = "sum.golang.org"
	goSumDBKey = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
	goSumDBToo = "sum.golang.google.cn" // another address of it
)

// ParseSumDB reads a GOSUMDB setting as the go command does: a known name or a
// key, and perhaps a URL. Empty is the go command's default, "off" the zero
// SumDB. The error is a Problem of kind ErrInvalid.
func ParseSumDB(text string) (SumDB, error) {
	fields := strings.Fields(text)
	switch {
	case len(fields) == 0:
		fields = []string{goSumDB}
	case len(fields) == 1 && fields[0] == "off":
		return SumDB{}, nil
	case len(fields) == 1 && fields[0] == goSumDBToo:
		fields = []string{goSumDB, "https://" + goSumDBToo}
	}
	bad := func(why string) (SumDB, error) {
		return SumDB{}, &Problem{Kind: ErrInvalid, What: "the checksum database setting cannot be used", Why: why,
			Do: "write a name the go command knows, a key (NAME+HASH+KEY) perhaps followed by a URL, or off"}
	}
	if len(fields) > 2 {
		return bad("it has more than a key and a URL")
	}
	key := fields[0]
	if key == goSumDB {
		key = goSumDBKey
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return bad("it is neither the name of a known database nor a key")
	}
	db := SumDB{Name: verifier.Name(), Key: key}
	plain, err := url.Parse("https://" + db.Name)
	if err != nil || plain.Host == "" || plain.User != nil || plain.RawQuery != "" || plain.Fragment != "" || plain.RawPath != "" ||
		plain.String() != "https://"+db.Name || strings.HasSuffix(db.Name, "/") || strings.Contains(db.Name, "..") {
		return bad("the name in its key is not a host")
	}
	if len(fields) == 2 {
		u, err := url.Parse(fields[1])
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return bad("what follows the key is not a URL")
		}
		db.URL = strings.TrimSuffix(fields[1], "/")
	}
	return db, nil
}
