package mirror

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Vault encrypts what is stored. The id is bound to the text: opening it under
// another id fails.
type Vault interface {
	Seal(id string, text string) ([]byte, error)
	Open(id string, sealed []byte) (string, error)
}

// AddCredential seals and stores a credential, replacing one of the same name.
func (c *Catalog) AddCredential(ctx context.Context, cred Credential) error {
	if c.Vault == nil {
		return &Problem{Kind: ErrInvalid, What: "this server stores no credentials"}
	}
	host, err := canonicalHost(cred.Host)
	switch {
	case err != nil:
		return err
	case cred.Name == "" || len(cred.Name) > maxPathBytes:
		return &Problem{Kind: ErrInvalid, What: "a credential needs a name"}
	case cred.Secret == "":
		return &Problem{Kind: ErrInvalid, What: "the credential's password or token is empty"}
	}
	sealed, err := c.Vault.Seal(cred.Name, cred.Secret.Reveal())
	if err != nil {
		return err
	}
	return c.Store.AddCredential(ctx, SealedCredential{
		Name: cred.Name, Host: host, User: cred.User, Secret: sealed, Created: time.Now().UTC(),
	})
}

// OpenCredential returns a stored credential with its secret.
func (c *Catalog) OpenCredential(ctx context.Context, name string) (*Credential, error) {
	sealed, err := c.Store.Credential(ctx, name)
	if err != nil {
		return nil, err
	}
	text, err := c.Vault.Open(sealed.Name, sealed.Secret)
	if err != nil {
		return nil, fmt.Errorf("credential %s: %w", name, err)
	}
	return &Credential{Name: sealed.Name, Host: sealed.Host, User: sealed.User, Secret: Secret(text)}, nil
}

// RemoveCredential forgets a credential that no mirror, rule or endpoint uses any more.
func (c *Catalog) RemoveCredential(ctx context.Context, name string) error {
	if err := c.unused(ctx, name, ""); err != nil {
		return err
	}
	return c.Store.RemoveCredential(ctx, name)
}

// mayReplace refuses to replace a credential that something but a mirror uses. One
// made of the password in a URL has the name of the mirror's path, and a mirror
// that was renamed still uses the one of the path it had.
func (c *Catalog) mayReplace(ctx context.Context, name string, mirror ID) error {
	if _, err := c.Store.Credential(ctx, name); errors.Is(err, ErrNotFound) {
		return nil
	}
	return c.unused(ctx, name, mirror)
}

// unused is an error that names what uses a credential; but is a mirror that may.
func (c *Catalog) unused(ctx context.Context, name string, but ID) error {
	rules, err := c.Store.Rules(ctx)
	if err != nil {
		return err
	}
	for _, r := range rules {
		if r.Credential == name {
			return inUse(name, "the rule "+r.Pattern, "remove that rule first")
		}
	}
	hosts, err := c.Store.Hosts(ctx)
	if err != nil {
		return err
	}
	for _, h := range hosts {
		for _, e := range h.Endpoints {
			if e.Credential == name {
				return inUse(name, "the endpoint "+e.Name+" of "+h.Name, "remove that endpoint, or give it another credential")
			}
		}
	}
	for after := Path(""); ; {
		repos, err := c.Store.Repos(ctx, RepoQuery{After: after, Limit: 1000})
		if err != nil {
			return err
		}
		if len(repos) == 0 {
			return nil
		}
		for _, r := range repos {
			if r.Credential == name && r.ID != but {
				return inUse(name, string(r.Path), "edit that mirror first")
			}
		}
		after = repos[len(repos)-1].Path
	}
}

func inUse(credential, by, do string) error {
	return &Problem{Kind: ErrExists, What: fmt.Sprintf("the credential %s is in use by %s", quote(credential), by), Do: do}
}

func (c *Catalog) checkCredential(ctx context.Context, name string, up Upstream) error {
	cred, err := c.Store.Credential(ctx, name)
	if err != nil {
		return &Problem{Kind: ErrInvalid, What: "no credential is called " + quote(name), Do: "add it first: gitmirror credential add NAME --host " + up.Host}
	}
	if cred.Host != up.Host {
		return &Problem{
			Kind: ErrInvalid, What: fmt.Sprintf("the credential %s is for %s", quote(name), cred.Host),
			Why: "credentials are sent to no other host, and this upstream is on " + up.Host,
			Do:  "name a credential for " + up.Host + ", or none (--credential \"\")",
		}
	}
	return nil
}

// HostCredential opens the first stored credential for a host, by name; nil when
// there is none.
func (c *Catalog) HostCredential(ctx context.Context, host string) (*Credential, error) {
	all, err := c.Store.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	for _, sealed := range all {
		if sealed.Host == host {
			return c.OpenCredential(ctx, sealed.Name)
		}
	}
	return nil, nil
}
