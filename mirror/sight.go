package mirror

import "strings"

// Sight is which private mirrors somebody may know of. Public ones are seen by
// everybody who sees anything. Nil sees all; the zero value sees all but what is
// in Closed, which is nothing.
type Sight struct {
	// Open holds the patterns of what they may read, as CheckReach takes them.
	Open []string
	// Closed holds the patterns of what is for somebody: seen only where Open says so.
	Closed []string
	// Strict closes every private mirror that Open does not name.
	Strict bool
}

// Sees tells whether a mirror at path exists for them.
func (s *Sight) Sees(path Path, private bool) bool {
	if s == nil || !private {
		return true
	}
	if reaches(s.Open, path) {
		return true
	}
	return !s.Strict && !reaches(s.Closed, path)
}

func reaches(patterns []string, path Path) bool {
	for _, p := range patterns {
		if Reaches(p, path) {
			return true
		}
	}
	return false
}

// Reaches tells whether a pattern covers a path, in any letter case: "*" covers
// all, "github.com/acme/*" all below github.com/acme at any depth, anything else
// itself.
func Reaches(pattern string, path Path) bool {
	pattern = strings.ToLower(pattern)
	if stem, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(path.Key(), stem)
	}
	return path.Key() == pattern
}

// CheckReach checks and normalises a pattern for Sight: "*", a host, an owner or
// a deeper folder with "/*" behind it, or the path of one repository.
func CheckReach(text string) (string, error) {
	text = strings.TrimSpace(text)
	bad := &Problem{
		Code: CodeBadPath, Kind: ErrInvalid, What: quote(text) + " is not a pattern of repositories",
		Do: "write github.com/acme/* for all below a folder, github.com/acme/app for one repository, or * for all",
	}
	if text == "*" {
		return text, nil
	}
	stem, below := strings.CutSuffix(text, "/*")
	if strings.Contains(stem, "*") {
		return "", bad
	}
	if !below {
		path, err := ParsePath(stem)
		return string(path), err
	}
	path, err := ParsePath(stem + "/x")
	if err != nil {
		return "", bad
	}
	return strings.TrimSuffix(string(path), "/x") + "/*", nil
}
