package gitserver

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// ageHeader tells how many seconds ago a mirror was last in step with its
// upstream. It comes with every answer of git's, stale or not.
const ageHeader = "Gitmirror-Age"

func (h *HTTP) tellAge(w http.ResponseWriter, repo mirror.Repo) {
	if repo.State.Served() {
		age, _ := h.Catalog.Age(repo)
		w.Header().Set(ageHeader, strconv.FormatInt(int64(age/time.Second), 10))
	}
}

// staleness is the line for a person who clones a mirror that is older than it
// should be; empty when it is not.
func staleness(catalog Catalog, repo mirror.Repo) string {
	age, stale := catalog.Age(repo)
	if !stale {
		return ""
	}
	text := fmt.Sprintf("gitmirror: %s was last in step with its upstream %s ago", repo.Path, mirror.Words(age))
	switch trouble := repo.State.Problem; {
	case trouble != nil:
		text += "; " + oneLine(trouble.Error())
	case repo.Paused:
		text += "; it is paused"
	}
	return text + "\n"
}
