package web

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/gitmirror/gitmirror/mirror"
)

func aliasVersion(al mirror.Alias) string { return versionOf(al.Prefix, al.Repo, al.Dir, al.Found) }

func aliasFields(al mirror.Alias) [][2]string {
	return [][2]string{{"repo", string(al.Repo)}, {"dir", al.Dir}}
}

// aliasThing looks up the alias of a prefix.
func (s *Server) aliasThing(ctx context.Context, prefix string) func() (thing, error) {
	return func() (thing, error) {
		all, err := s.Store.Aliases(ctx)
		if err != nil {
			return thing{}, err
		}
		i := slices.IndexFunc(all, func(al mirror.Alias) bool { return al.Prefix == prefix })
		if i < 0 {
			return thing{}, noSuch("alias", prefix)
		}
		return thing{Name: "the alias " + prefix, Version: aliasVersion(all[i]), Fields: aliasFields(all[i])}, nil
	}
}

func (s *Server) dropAlias(ctx context.Context, prefix string, m MatchParam) error {
	return s.edits(ctx, m, s.aliasThing(ctx, prefix), nil, func() error {
		return named("alias", prefix, s.Catalog.RemoveAlias(ctx, prefix))
	})
}

// ruleVersion does not count what the last look at the owner brought.
func ruleVersion(r mirror.Rule) string {
	return versionOf(r.Pattern, r.Credential, r.Private, discoveryText(r.Discovery))
}

func discoveryText(d *mirror.RuleDiscovery) string {
	if d == nil {
		return ""
	}
	exclude, err := json.Marshal(d.Exclude)
	if err != nil || len(d.Exclude) == 0 {
		exclude = []byte("[]")
	}
	return fmt.Sprintf("archived %t, forks %t, exclude %s", d.Archived, d.Forks, exclude)
}

func (s *Server) ruleThing(ctx context.Context, pattern string) func() (thing, error) {
	return func() (thing, error) {
		all, err := s.Store.Rules(ctx)
		if err != nil {
			return thing{}, err
		}
		i := slices.IndexFunc(all, func(r mirror.Rule) bool { return r.Pattern == pattern })
		if i < 0 {
			return thing{}, noSuch("rule", pattern)
		}
		return thing{Name: "the rule " + pattern, Version: ruleVersion(all[i]), Fields: [][2]string{{"discover", discoveryText(all[i].Discovery)}}}, nil
	}
}

func (s *Server) dropRule(ctx context.Context, pattern string, m MatchParam) error {
	return s.edits(ctx, m, s.ruleThing(ctx, pattern), nil, func() error {
		return named("rule", pattern, s.Catalog.RemoveRule(ctx, pattern))
	})
}

// credentialVersion is another one for another secret, too: sealed, it is never
// the same text twice.
func credentialVersion(c mirror.SealedCredential) string {
	return versionOf(c.Name, c.Host, c.User, strconv.FormatInt(c.Created.UnixMilli(), 10), c.Secret)
}

func credentialFields(c mirror.SealedCredential) [][2]string {
	return [][2]string{{"host", c.Host}, {"user", c.User}}
}

func (s *Server) credentialThing(ctx context.Context, name string) func() (thing, error) {
	return func() (thing, error) {
		c, err := s.Store.Credential(ctx, name)
		if err != nil {
			return thing{}, named("credential", name, err)
		}
		return thing{Name: "the credential " + name, Version: credentialVersion(c), Fields: credentialFields(c)}, nil
	}
}

func (s *Server) dropCredential(ctx context.Context, name string, m MatchParam) error {
	return s.edits(ctx, m, s.credentialThing(ctx, name), nil, func() error {
		return named("credential", name, s.Catalog.RemoveCredential(ctx, name))
	})
}
