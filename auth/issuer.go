package auth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// issuer is an OpenID provider and what it says about itself: addresses, algorithms, keys.
// The zero value has not been asked. It need not answer when the server starts.
type issuer struct {
	mu       sync.Mutex
	asked    time.Time
	provider *oidc.Provider // of the last answer, nil = there was none
	err      error          // of the last question
}

// issuerFresh is how long an answer counts, or that there was none. Issuers change
// addresses and algorithms, and who is sent to one that is gone sees nothing of ours.
const issuerFresh = 10 * time.Second

// ask returns what the issuer says whose URL is at. With an error there may be an answer of before.
func (i *issuer) ask(ctx context.Context, client *http.Client, at string) (*oidc.Provider, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.asked.IsZero() && time.Since(i.asked) < issuerFresh {
		return i.provider, i.err
	}
	// Who asked first may go away; the answer is for all.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	p, err := oidc.NewProvider(withClient(ctx, client), at)
	if i.err, i.asked = err, time.Now(); err == nil {
		i.provider = p
	}
	return i.provider, err
}

// known is the last answer; nil = there was none.
func (i *issuer) known() *oidc.Provider {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.provider
}

// silence is why an issuer did not answer, without the request: the URL is known.
func silence(err error) string {
	var asked *url.Error
	if errors.As(err, &asked) {
		err = asked.Err
	}
	return printable(err.Error())
}

// withClient makes the OpenID library use the client; nil = http.DefaultClient.
func withClient(ctx context.Context, client *http.Client) context.Context {
	if client == nil {
		return ctx
	}
	return oidc.ClientContext(ctx, client)
}
