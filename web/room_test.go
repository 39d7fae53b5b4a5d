package web_test

import (
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// While the disk is nearly full, one may look, sign in and remove; nothing else.
func TestNothingChangesOnAFullDisk(t *testing.T) {
	var free atomic.Int64
	free.Store(50)
	room := &mirror.Headroom{Watermarks: mirror.Watermarks{Syncs: 10, ReadOnly: 5}, Look: func() (mirror.Space, error) {
		return mirror.Space{Free: free.Load(), Total: 100}, nil
	}}
	r := newRig(t, func(s *web.Server) { s.Headroom = room })
	admin, body := r.admin(), map[string]string{"path_or_url": "github.com/acme/one"}
	r.want(http.StatusCreated, "POST", "/api/v1/mirrors", body, admin)
	free.Store(4)
	room.Update()
	r.want(http.StatusTooManyRequests, "POST", "/api/v1/mirrors", map[string]string{"path_or_url": "github.com/acme/two"}, admin)
	r.want(http.StatusOK, "GET", "/api/v1/mirrors", nil, admin)
	r.want(http.StatusNoContent, "DELETE", "/api/v1/mirrors/github.com%2Facme%2Fone", nil, admin)
	free.Store(50)
	room.Update()
	r.want(http.StatusCreated, "POST", "/api/v1/mirrors", body, admin)
}
