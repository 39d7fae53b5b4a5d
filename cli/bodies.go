package cli

import (
	"io"
	"net/http"
	"time"
)

// bodyTime is how long all of a request may take to arrive: none is larger than a
// few megabytes. Who reads one may set less.
const bodyTime = 2 * time.Minute

// bodies ends the connections of those whose requests do not arrive whole in time,
// whether somebody reads them or not: net/http waits for their rest before it
// answers.
func bodies(within time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 { // -1 = nobody knows
			control := http.NewResponseController(w)
			_ = control.SetReadDeadline(time.Now().Add(within)) // unsupported only without a connection
			r.Body = &timedBody{r.Body, control}
		}
		next.ServeHTTP(w, r)
	})
}

// timedBody is a body that must end in time; after it the client may be silent for
// as long as its answer takes.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
