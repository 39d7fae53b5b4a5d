package modproxy

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"github.com/gitmirror/gitmirror/mirror"
)

// Vulns are known vulnerabilities by module path.
type Vulns struct {
	byModule map[string][]vuln
	count    int
}

type vuln struct {
	id, summary string
	ranges      []vulnRange
}

// vulnRange goes from a version, inclusive, to the one that mends it; empty =
// from the first, and no end.
type vulnRange struct{ from, fixed, last string }

// osvEntry is what we read of an entry (ossf.github.io/osv-schema).
type osvEntry struct {
	ID        string    `json:"id"`
	Summary   string    `json:"summary"`
	Withdrawn time.Time `json:"withdrawn"`
	Affected  []struct {
		Package struct {
			Name      string `json:"name"`
			Ecosystem string `json:"ecosystem"`
		} `json:"package"`
		Ranges []struct {
			Type   string `json:"type"`
			Events []struct {
				Introduced   string `json:"introduced"`
				Fixed        string `json:"fixed"`
				LastAffected string `json:"last_affected"`
			} `json:"events"`
		} `json:"ranges"`
		Versions []string `json:"versions"`
	} `json:"affected"`
}

// Bounds of what is read of a database: the public one has some thousand entries
// of a few KB.
const (
	maxOSVEntry = 4 << 20
	maxOSVFiles = 500_000
	maxOSVBytes = 1 << 30
)

// LoadVulns reads an OSV database: a directory of JSON files, one of them, or
// an archive (.zip, .tar.gz) of them. What is not about Go modules is left out.
func LoadVulns(name string) (*Vulns, error) {
	v := &Vulns{byModule: map[string][]vuln{}}
	info, err := os.Stat(name)
	switch {
	case err != nil:
	case info.IsDir():
		err = v.loadTree(os.DirFS(name))
	default:
		err = v.loadFile(name, info.Size())
	}
	if err != nil {
		return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: "the database of vulnerabilities cannot be read", Why: err.Error(),
			Do: "set modules.osv to an OSV file, a directory of them, or a .zip or .tar.gz"}
	}
	return v, nil
}

func (v *Vulns) loadFile(name string, size int64) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	var magic [2]byte
	n, err := f.ReadAt(magic[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch string(magic[:n]) {
	case "PK":
		archive, err := zip.NewReader(f, size)
		if err != nil {
			return err
		}
		return v.loadTree(archive)
	case "\x1f\x8b":
		return v.loadTar(f)
	}
	return v.load(f)
}

func (v *Vulns) loadTree(tree fs.FS) error {
	files, total := 0, int64(0)
	return fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".json") {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if files, total = files+1, total+info.Size(); files > maxOSVFiles || total > maxOSVBytes {
			return errors.New("it is too large")
		}
		f, err := tree.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := v.load(f); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

func (v *Vulns) loadTar(r io.Reader) error {
	plain, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	files := tar.NewReader(io.LimitReader(plain, maxOSVBytes))
	for {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg || !strings.HasSuffix(h.Name, ".json") {
			continue
		}
		if err := v.load(files); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

// load reads an entry, or a list of them. Lists of other things, as the public
// database has in index/, have no ids and are passed over.
func (v *Vulns) load(r io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(r, 64*maxOSVEntry))
	if err != nil {
		return err
	}
	if data = bytes.TrimSpace(data); len(data) > 0 && data[0] == '[' {
		var list []osvEntry
		if err := json.Unmarshal(data, &list); err != nil {
			return err
		}
		for _, e := range list {
			v.add(e)
		}
		return nil
	}
	var e osvEntry
	if err := json.Unmarshal(data, &e); err != nil {
		return err
	}
	v.add(e)
	return nil
}

func (v *Vulns) add(e osvEntry) {
	if e.ID == "" || !e.Withdrawn.IsZero() {
		return
	}
	used := false
	for _, a := range e.Affected {
		if a.Package.Ecosystem != "Go" || a.Package.Name == "stdlib" {
			continue
		}
		one := vuln{id: e.ID, summary: show(e.Summary)}
		for _, r := range a.Ranges {
			if r.Type != "SEMVER" && r.Type != "ECOSYSTEM" {
				continue
			}
			open := false
			for _, event := range r.Events {
				switch last := len(one.ranges) - 1; {
				case event.Introduced != "":
					one.ranges, open = append(one.ranges, vulnRange{from: osvVersion(event.Introduced)}), true
				case event.Fixed != "" && open:
					one.ranges[last].fixed, open = osvVersion(event.Fixed), false
				case event.LastAffected != "" && open:
					one.ranges[last].last, open = osvVersion(event.LastAffected), false
				}
			}
		}
		for _, exact := range a.Versions {
			one.ranges = append(one.ranges, vulnRange{from: osvVersion(exact), last: osvVersion(exact)})
		}
		v.byModule[a.Package.Name] = append(v.byModule[a.Package.Name], one)
		used = true
	}
	if used {
		v.count++
	}
}

// osvVersion is a version as we write it: OSV leaves the v out, and 0 is before all.
func osvVersion(text string) string {
	if text == "0" {
		return ""
	}
	return "v" + strings.TrimPrefix(text, "v")
}

// Len is how many entries are about Go modules.
func (v *Vulns) Len() int {
	if v == nil {
		return 0
	}
	return v.count
}

// of are the vulnerabilities of a module version.
func (v *Vulns) of(modPath, version string) []vuln {
	if v == nil {
		return nil
	}
	var hit []vuln
	for _, one := range v.byModule[modPath] {
		if slices.ContainsFunc(one.ranges, func(r vulnRange) bool { return r.has(version) }) {
			hit = append(hit, one)
		}
	}
	return hit
}

func (r vulnRange) has(version string) bool {
	return (r.from == "" || semver.Compare(version, r.from) >= 0) &&
		(r.fixed == "" || semver.Compare(version, r.fixed) < 0) &&
		(r.last == "" || semver.Compare(version, r.last) <= 0)
}

// mendedIn is the lowest version that mends all of these, "" = none is known.
func mendedIn(version string, all []vuln) string {
	best := ""
	for _, one := range all {
		fixed := ""
		for _, r := range one.ranges {
			if r.has(version) {
				fixed = r.fixed
			}
		}
		if fixed == "" {
			return ""
		}
		if best == "" || semver.Compare(fixed, best) > 0 {
			best = fixed
		}
	}
	return best
}
