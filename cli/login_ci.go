package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// ciToken is the variable a job puts an identity token into, where its CI system
// gives it one in variables (GitLab's id_tokens).
const ciToken = "GITMIRROR_ID_TOKEN"

// signInCI makes a token of the identity token of the CI job this runs in.
func (p *program) signInCI(ctx context.Context, c *client) error {
	identity, err := p.identityToken(ctx, c)
	if err != nil {
		return err
	}
	var made web.CreatedToken
	if err := c.call(ctx, http.MethodPost, api+"/auth/ci", web.IdentityToken{Token: identity}, &made); err != nil {
		return err
	}
	c.Token, c.TokenID = made.Secret, made.ID
	return nil
}

func (p *program) identityToken(ctx context.Context, c *client) (string, error) {
	if token := p.lookup(ciToken); token != "" {
		return token, nil
	}
	address, bearer := p.lookup("ACTIONS_ID_TOKEN_REQUEST_URL"), p.lookup("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
	if address == "" || bearer == "" {
		return "", &mirror.Problem{
			Code: codeLogin, Kind: mirror.ErrSignIn, What: "this job has no identity token",
			Why: "neither " + ciToken + " nor the variables of GitHub Actions are set",
			Do:  "in GitHub Actions give the job \"permissions: id-token: write\"; in GitLab declare id_tokens: " + ciToken,
		}
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	q := u.Query()
	q.Set("audience", c.URL)
	u.RawQuery = q.Encode()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := c.http.Do(req)
	if err != nil {
		return "", &mirror.Problem{Code: codeReach, Kind: mirror.ErrUpstream, What: "the CI system gives no identity token", Why: "it does not answer"}
	}
	defer resp.Body.Close()
	var got struct {
		Value string `json:"value"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&got); err != nil || resp.StatusCode != http.StatusOK || got.Value == "" {
		return "", &mirror.Problem{Code: codeReach, Kind: mirror.ErrUpstream, What: "the CI system gives no identity token", Why: "it answers " + resp.Status}
	}
	return got.Value, nil
}
