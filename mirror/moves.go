package mirror

import "fmt"

// maxMovedURL bounds a proposed URL: it is part of the key of a hold.
const maxMovedURL = 500

// moved is the hold of a run that failed because the repository has another URL
// now; nil when it failed for another reason, or when that URL is of no use.
// What is held of its refs is left as it is.
func (a *attempt) moved(p *Problem) []Hold {
	if p.Class() != Moved || p.Location == "" {
		return nil
	}
	to, _, err := ParseUpstream(p.Location)
	if err != nil || to == a.repo.Upstream || len(p.Location) > maxMovedURL {
		return nil
	}
	text := fmt.Sprintf("upstream answers that the repository is now at %s", to)
	if to.Host != a.repo.Upstream.Host {
		text += fmt.Sprintf(", on another host (it was on %s)", a.repo.Upstream.Host)
	}
	return []Hold{{Kind: HoldMove, Old: a.repo.Upstream.String(), New: to.String(), Text: text + "; nothing is fetched until somebody has decided"}}
}
