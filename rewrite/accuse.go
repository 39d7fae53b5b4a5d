package rewrite

import (
	"context"
	"errors"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/mirror"
)

// maxSuspects is for how many modules whose hashes differ a third witness is asked.
const maxSuspects = 20

// cause is who is likely to be wrong.
type cause int

const (
	unclear       cause = iota
	mirrorDiffers       // the database has what go.sum has
	sumDiffers          // the database has what the mirror has
	allDiffer
)

// accuse tells of every difference and, where the checksum database can be
// asked, who of the two has what was published.
func (b *builder) accuse(ctx context.Context, lies []lie) error {
	suspects := map[module.Version]bool{}
	for _, l := range lies {
		if strings.HasSuffix(l.witness, ".sum") && !l.ours && len(suspects) < maxSuspects {
			suspects[l.module] = true
		}
	}
	recorded, err := b.recorded(ctx, sorted(suspects))
	if errors.Is(err, context.Canceled) {
		return err
	}
	texts := make([]string, len(lies))
	causes := map[cause]bool{}
	for i, l := range lies {
		texts[i] = l.String()
		if !strings.HasSuffix(l.witness, ".sum") {
			causes[mirrorDiffers] = true
			continue
		}
		third := recorded[l.module].Sums.Zip
		if l.mod {
			third = recorded[l.module].Sums.Mod
		}
		switch {
		case l.ours || third == "":
			causes[unclear] = true
			continue
		case third == l.want:
			causes[mirrorDiffers] = true
		case third == l.mirror:
			causes[sumDiffers] = true
		default:
			causes[allDiffer] = true
		}
		texts[i] += "\n\t" + b.p.Database.Name() + ": " + third
	}
	why, do := meaning(causes)
	p := &mirror.Problem{Code: CodeSum, Kind: mirror.ErrIntegrity, What: strings.Join(slices.Compact(texts), "\n"), Why: why, Do: do + "; nothing was changed"}
	if err != nil { // the database itself cannot be believed
		p.Why += "; " + mirror.AsProblem(err).Error()
	}
	return p
}

// meaning says what the differences mean, and what to do about them.
func meaning(causes map[cause]bool) (why, do string) {
	if len(causes) == 1 {
		switch {
		case causes[mirrorDiffers]:
			return "the mirror's content is not what was published: the tag was moved upstream after that, or somebody on the way to the mirror changes it",
				"do not build from it; let the mirror's administrator look at what happened to the tag (gitmirror mirror log)"
		case causes[sumDiffers]:
			return "the mirror has what was published, and go.sum has something else: it was edited, or made from another source (a fork, a tag before it was moved, a git that changes files)",
				"find out where the lines are from (git log -p go.sum) before you take them out and run `go mod tidy`"
		case causes[allDiffer]:
			return "the mirror, go.sum and the checksum database have three different contents of one version",
				"trust none of them before you know what happened to the tag upstream"
		}
	}
	return "the tag was moved upstream after go.sum was written, go.sum was edited or made by a git that changes files (a filter or attributes of its own), or somebody tampered with one of them",
		"find out which, and do not trust either before you know: compare with a colleague's module cache, and look at the tag's history (gitmirror mirror log)"
}
