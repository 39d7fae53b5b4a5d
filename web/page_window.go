package web

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
)

// windowSize is how much of a list a page shows at once.
const windowSize = 50

// window is the part of a list that a page shows: what a search leaves, from a
// number on.
type window struct {
	Page        string // its path
	Search      string
	All, Found  int
	First, Next string // URLs of other parts; empty = there is none
}

// Long tells whether there is more than one part, or a search.
func (w window) Long() bool { return w.All > windowSize || w.Search != "" }

// windowOf cuts a list to what the address of the page asks for. text is what an
// element is found by.
func windowOf[T any](g *gin.Context, page string, list []T, text func(T) string) ([]T, window) {
	w, from := readWindow(g, page)
	w.All = len(list)
	if w.Search != "" {
		found, wanted := make([]T, 0, len(list)), strings.ToLower(w.Search)
		for _, one := range list {
			if strings.Contains(strings.ToLower(text(one)), wanted) {
				found = append(found, one)
			}
		}
		list = found
	}
	if from >= len(list) {
		from = 0
	}
	w.cut(from, len(list))
	return list[from:min(from+windowSize, len(list))], w
}

// maxWindow bounds how far one can page.
const maxWindow = 1_000_000

// readWindow reads what to look for, and from which number on to show it.
func readWindow(g *gin.Context, page string) (w window, from int) {
	from, err := strconv.Atoi(g.Query("from"))
	if err != nil || from < 0 || from > maxWindow {
		from = 0
	}
	return window{Page: page, Search: strings.TrimSpace(g.Query("q"))}, from
}

// cut makes the window that begins at a number of the elements that were found.
func (w *window) cut(from, found int) {
	w.Found = found
	at := func(from int) string {
		v := url.Values{}
		if w.Search != "" {
			v.Set("q", w.Search)
		}
		if from > 0 {
			v.Set("from", strconv.Itoa(from))
		}
		if len(v) == 0 {
			return w.Page
		}
		return w.Page + "?" + v.Encode()
	}
	if from > 0 {
		w.First = at(0)
	}
	if end := from + windowSize; end < found {
		w.Next = at(end)
	}
}
