// Package oidctest has two OpenID providers for tests. Provider is somebody else's, a
// certified one, whose pages a browser fills in: what a sign-in must look like. Issuer is
// ours, and there for what only a hostile provider would do, and for tokens of CI systems
// with any claims: real HTTP, real keys, real codes, with PKCE checked at its token
// endpoint. It signs in whoever Be says without asking, and forges on demand.
package oidctest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Issuer is a running provider of our own.
type Issuer struct {
	URL string

	mu     sync.Mutex
	key    *rsa.PrivateKey
	claims map[string]any
	info   map[string]any // nil = there is no userinfo endpoint
	forge  func(claims map[string]any) string
	codes  map[string]code
}

// code is a sign-in that waits to be redeemed.
type code struct{ client, redirect, nonce, challenge string }

// Start runs a provider on loopback until the test ends.
func Start(t *testing.T) *Issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &Issuer{key: key, codes: map[string]code{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.discovery)
	mux.HandleFunc("GET /keys", i.keys)
	mux.HandleFunc("GET /authorize", i.authorize)
	mux.HandleFunc("POST /token", i.token)
	mux.HandleFunc("GET /userinfo", i.userinfo)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	i.URL = server.URL
	return i
}

// Be makes the next sign-ins those of somebody with these claims.
func (i *Issuer) Be(claims map[string]any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.claims, i.forge = claims, nil
}

// UserInfo gives the provider a userinfo endpoint that answers with these claims,
// whoever asks; with none it fails.
func (i *Issuer) UserInfo(claims map[string]any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.info = claims
}

// Forge makes the provider send what f makes of the claims as ID token.
func (i *Issuer) Forge(f func(claims map[string]any) string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.forge = f
}

// Sign is a token with the claims, signed by the key the provider publishes; iss,
// iat and exp are filled in where they are missing.
func (i *Issuer) Sign(claims map[string]any) string {
	return sign(jose.RS256, i.key, "one", i.filled(claims))
}

// SignWith is Sign with another algorithm and key: jose.HS256 and bytes, or a
// stranger's.
func (i *Issuer) SignWith(alg jose.SignatureAlgorithm, key any, claims map[string]any) string {
	return sign(alg, key, "one", i.filled(claims))
}

// Unsigned is a token with alg none.
func (i *Issuer) Unsigned(claims map[string]any) string {
	body, _ := json.Marshal(i.filled(claims))
	b64 := base64.RawURLEncoding.EncodeToString
	return b64([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + b64(body) + "."
}

func (i *Issuer) filled(claims map[string]any) map[string]any {
	out := map[string]any{"iss": i.URL, "iat": time.Now().Unix(), "exp": time.Now().Add(10 * time.Minute).Unix()}
	maps.Copy(out, claims)
	return out
}

func sign(alg jose.SignatureAlgorithm, key any, kid string, claims map[string]any) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", kid))
	if err != nil {
		panic(err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		panic(err)
	}
	return text
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func (i *Issuer) discovery(w http.ResponseWriter, _ *http.Request) {
	about := map[string]any{
		"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys",
		"end_session_endpoint": i.URL + "/logout", "response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"}, "code_challenge_methods_supported": []string{"S256"},
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.info != nil {
		about["userinfo_endpoint"] = i.URL + "/userinfo"
	}
	answer(w, about)
}

func (i *Issuer) userinfo(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.info) == 0 {
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	answer(w, i.info)
}

func (i *Issuer) keys(w http.ResponseWriter, _ *http.Request) {
	answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &i.key.PublicKey, KeyID: "one", Algorithm: "RS256", Use: "sig"}}})
}

func (i *Issuer) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("state") == "" {
		http.Error(w, "response_type, state or code_challenge missing", http.StatusBadRequest)
		return
	}
	name := rand.Text()
	i.mu.Lock()
	i.codes[name] = code{q.Get("client_id"), q.Get("redirect_uri"), q.Get("nonce"), q.Get("code_challenge")}
	i.mu.Unlock()
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil {
		http.Error(w, "bad redirect_uri", http.StatusBadRequest)
		return
	}
	back.RawQuery = url.Values{"code": {name}, "state": {q.Get("state")}}.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	c, ok := i.codes[r.FormValue("code")]
	delete(i.codes, r.FormValue("code"))
	claims, forge := maps.Clone(i.claims), i.forge
	i.mu.Unlock()
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	client, _, basic := r.BasicAuth()
	if !basic {
		client = r.FormValue("client_id")
	}
	if !ok || client != c.client || r.FormValue("redirect_uri") != c.redirect || base64.RawURLEncoding.EncodeToString(sum[:]) != c.challenge {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		w.Write([]byte(`{"error":"invalid_grant"}`))
		return
	}
	base := map[string]any{"aud": c.client, "nonce": c.nonce}
	maps.Copy(base, claims)
	id := ""
	if forge != nil {
		id = forge(base)
	} else {
		id = i.Sign(base)
	}
	answer(w, map[string]any{"access_token": "x", "token_type": "Bearer", "expires_in": 60, "id_token": id})
}
