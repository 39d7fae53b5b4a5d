package web

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
)

// packFrom is the size from which a page is worth packing, in bytes.
const packFrom = 1 << 10

// takesGzip tells whether the browser unpacks (RFC 9110, 12.5.3).
func takesGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(coding), ";")
		if strings.EqualFold(name, "gzip") {
			weight = strings.ReplaceAll(weight, " ", "")
			return weight != "q=0" && !strings.HasPrefix(weight, "q=0.000")
		}
	}
	return false
}

// pack compresses data at a level of compress/gzip.
func pack(data []byte, level int) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, level)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}

// send answers with a page, packed where the browser takes it. What answers a
// form is not: it may show a new secret beside what a stranger chose, and the
// length of what is packed would tell of it.
func (c *console) send(g *gin.Context, status int, mime string, data []byte) error {
	g.Writer.Header().Add("Vary", "Accept-Encoding")
	if g.Request.Method == http.MethodGet && len(data) >= packFrom && takesGzip(g.Request) {
		packed, err := pack(data, gzip.BestSpeed)
		if err != nil {
			return err
		}
		g.Header("Content-Encoding", "gzip")
		data = packed
	}
	g.Data(status, mime, data)
	return nil
}
