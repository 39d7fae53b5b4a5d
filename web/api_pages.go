package web

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"

	"github.com/gitmirror/gitmirror/mirror"
)

// PageParams is what every list takes. Like its sisters it is exported because
// the OpenAPI library sees no fields of embedded types that are not.
type PageParams struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Items of a page"`
	Cursor string `query:"cursor" maxLength:"700" doc:"next_cursor of the page before"`
}

// list is the body of a list: a page of it.
type list[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"next_cursor,omitempty" doc:"Present when there are more; give it as cursor"`
}

// listAnswer is a page with the link to the next one.
type listAnswer[T any] struct {
	Link string `header:"Link"`
	Body list[T]
}

// paged is a page of a list that is read whole, for people make such lists by
// hand. key is what an item is called in cursors; the list is in its order, which
// may be that of what the caller sees or the reverse.
func paged[A, B any](in PageParams, path string, more url.Values, all []A, descending bool, key func(A) string, one func(A) B) (*listAnswer[B], error) {
	order := func(a, b string) int {
		if descending {
			return cmp.Compare(b, a)
		}
		return cmp.Compare(a, b)
	}
	all = slices.Clone(all) // it may be the store's own
	slices.SortStableFunc(all, func(a, b A) int { return order(key(a), key(b)) })
	if in.Cursor != "" {
		i := slices.IndexFunc(all, func(a A) bool { return order(key(a), in.Cursor) > 0 })
		if i < 0 {
			i = len(all)
		}
		all = all[i:]
	}
	out := &listAnswer[B]{}
	if len(all) > in.Limit {
		all = all[:in.Limit]
		out.Body.NextCursor = key(all[in.Limit-1])
	}
	out.Body.Items = each(all, one)
	out.Link = in.next(path, out.Body.NextCursor, more)
	return out, nil
}

// before reads the cursor of a list that is ordered by descending number.
func (p PageParams) before() (int64, error) {
	if p.Cursor == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(p.Cursor, 10, 64)
	if err != nil || n < 1 {
		return 0, errCursor()
	}
	return n, nil
}

// behind reads the cursor of a list of mirrors by path.
func (p PageParams) behind() (mirror.Path, error) {
	if p.Cursor == "" {
		return "", nil
	}
	path, err := mirror.ParsePath(p.Cursor)
	if err != nil {
		return "", errCursor()
	}
	return path, nil
}

func errCursor() error {
	return &mirror.Problem{Kind: mirror.ErrInvalid, What: "this cursor is not one of this list", Do: "take next_cursor of the page before"}
}

// next is the Link header of RFC 8288 for the page behind; empty at the end.
func (p PageParams) next(path, cursor string, more url.Values) string {
	if cursor == "" {
		return ""
	}
	q := url.Values{"limit": {strconv.Itoa(p.Limit)}, "cursor": {cursor}}
	for k, v := range more {
		if len(v) > 0 && v[0] != "" {
			q[k] = v
		}
	}
	return "<" + apiPrefix + path + "?" + q.Encode() + `>; rel="next"`
}
