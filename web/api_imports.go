package web

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gitmirror/gitmirror/mirror"
)

type answer[T any] struct{ Body T }

func (a *api) importOperations() {
	aliases, rules, credentials := []string{"aliases"}, []string{"rules"}, []string{"credentials"}
	gone := []int{http.StatusNotFound, http.StatusPreconditionFailed}

	register(a, readers, huma.Operation{
		OperationID: "list-aliases", Method: http.MethodGet, Path: "/aliases", Tags: aliases, Summary: "List import prefixes that live in a mirror",
	}, a.listAliases)
	register(a, managers, huma.Operation{
		OperationID: "add-alias", Method: http.MethodPost, Path: "/aliases", Tags: aliases, Summary: "Serve an import prefix from a mirror",
		Description: "Replaces an alias of the same prefix.", DefaultStatus: http.StatusCreated, Errors: gone,
	}, a.addAlias)
	register(a, managers, huma.Operation{
		OperationID: "remove-alias", Method: http.MethodDelete, Path: "/aliases/{prefix}", Tags: aliases, Summary: "Forget an alias", Errors: gone,
	}, a.removeAlias)

	register(a, readers, huma.Operation{
		OperationID: "list-rules", Method: http.MethodGet, Path: "/rules", Tags: rules, Summary: "List patterns of repositories that are mirrored on first use",
	}, a.listRules)
	register(a, managers, huma.Operation{
		OperationID: "add-rule", Method: http.MethodPost, Path: "/rules", Tags: rules, Summary: "Mirror repositories on first use",
		DefaultStatus: http.StatusCreated, Errors: []int{http.StatusConflict},
	}, a.addRule)
	register(a, managers, huma.Operation{
		OperationID: "preview-rule", Method: http.MethodPost, Path: "/rules/preview", Tags: rules, Summary: "Tell which repositories a rule with discover would add",
		Description: "Asks the host's API, and changes nothing.", DefaultStatus: http.StatusOK,
		Errors: []int{http.StatusNotFound, http.StatusBadGateway},
	}, a.previewRule)
	register(a, managers, huma.Operation{
		OperationID: "edit-rule", Method: http.MethodPatch, Path: "/rules/{pattern}", Tags: rules, Summary: "Change what a rule adds by itself",
		Errors: gone,
	}, a.editRule)
	register(a, managers, huma.Operation{
		OperationID: "remove-rule", Method: http.MethodDelete, Path: "/rules/{pattern}", Tags: rules, Summary: "Forget a rule; what it has admitted stays", Errors: gone,
	}, a.removeRule)

	register(a, managers, huma.Operation{
		OperationID: "list-credentials", Method: http.MethodGet, Path: "/credentials", Tags: credentials, Summary: "List upstream credentials, without their secrets",
	}, a.listCredentials)
	register(a, governors, huma.Operation{
		OperationID: "add-credential", Method: http.MethodPost, Path: "/credentials", Tags: credentials, Summary: "Store an upstream credential",
		Description: "Replaces one of the same name. The secret cannot be read back.", DefaultStatus: http.StatusCreated, Errors: gone,
	}, a.addCredential)
	register(a, governors, huma.Operation{
		OperationID: "remove-credential", Method: http.MethodDelete, Path: "/credentials/{name}", Tags: credentials, Summary: "Forget a credential",
		Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
	}, a.removeCredential)
}

func (a *api) listAliases(ctx context.Context, in *PageParams) (*listAnswer[Alias], error) {
	aliases, err := a.Store.Aliases(ctx)
	if err != nil {
		return nil, err
	}
	return paged(*in, "/aliases", nil, aliases, false, func(al mirror.Alias) string { return al.Prefix }, aliasJSON)
}

func aliasJSON(al mirror.Alias) Alias {
	return Alias{Prefix: al.Prefix, Repo: string(al.Repo), Dir: al.Dir, Found: al.Found, Version: aliasVersion(al)}
}

type addAliasRequest struct {
	MatchParam
	Body Alias
}

func (a *api) addAlias(ctx context.Context, in *addAliasRequest) (*answer[Alias], error) {
	repo, err := a.repo(ctx, in.Body.Repo)
	if err != nil {
		return nil, err
	}
	alias := mirror.Alias{Prefix: in.Body.Prefix, Repo: repo.Path, Dir: in.Body.Dir, Found: "admin"}
	err = a.edits(ctx, in.MatchParam, a.aliasThing(ctx, alias.Prefix), aliasFields(alias), func() error { return a.Catalog.AddAlias(ctx, alias) })
	if err != nil {
		return nil, err
	}
	return &answer[Alias]{aliasJSON(alias)}, nil
}

type removeAliasRequest struct {
	MatchParam
	Prefix string `path:"prefix" maxLength:"600" doc:"With its slashes escaped"`
}

func (a *api) removeAlias(ctx context.Context, in *removeAliasRequest) (*struct{}, error) {
	return nil, a.dropAlias(ctx, in.Prefix, in.MatchParam)
}

func (a *api) listRules(ctx context.Context, in *PageParams) (*listAnswer[Rule], error) {
	rules, err := a.Store.Rules(ctx)
	if err != nil {
		return nil, err
	}
	return paged(*in, "/rules", nil, rules, false, func(r mirror.Rule) string { return r.Pattern }, ruleJSON)
}

func (a *api) addRule(ctx context.Context, in *answer[Rule]) (*answer[Rule], error) {
	rule := in.Body.rule()
	if err := a.Catalog.AddRule(ctx, rule); err != nil {
		return nil, err
	}
	rule.Private = rule.Private || rule.Credential != "" // as it is kept
	return &answer[Rule]{ruleJSON(rule)}, nil
}

func (a *api) previewRule(ctx context.Context, in *answer[Rule]) (*answer[MirrorsPreview], error) {
	owners, err := a.owners()
	if err != nil {
		return nil, err
	}
	rule := in.Body.rule()
	if rule.Discovery == nil {
		rule.Discovery = &mirror.RuleDiscovery{}
	}
	plan, _, err := owners.Plan(ctx, rule)
	if err != nil {
		return nil, err
	}
	return &answer[MirrorsPreview]{a.previewJSON(ctx, plan)}, nil
}

// owners lists what organisations have, where the settings let it.
func (s *Server) owners() (*mirror.Owners, error) {
	if s.Catalog.Owners == nil {
		return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: "this server asks no host what its owners have", Do: "turn on discovery.enabled"}
	}
	return s.Catalog.Owners, nil
}

type editRuleRequest struct {
	MatchParam
	Pattern string `path:"pattern" maxLength:"600" doc:"With its slashes escaped: github.com%2Facme%2F*"`
	Body    EditRule
}

type ruleAnswer struct {
	ETag string `header:"ETag"`
	Body Rule
}

func (a *api) editRule(ctx context.Context, in *editRuleRequest) (*ruleAnswer, error) {
	var rule mirror.Rule
	discovery := in.Body.Discover.discovery()
	err := a.edits(ctx, in.MatchParam, a.ruleThing(ctx, in.Pattern), [][2]string{{"discover", discoveryText(discovery)}}, func() (err error) {
		rule, err = a.Catalog.EditRule(ctx, in.Pattern, discovery)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &ruleAnswer{ETag: quoted(ruleVersion(rule)), Body: ruleJSON(rule)}, nil
}

func (r Rule) rule() mirror.Rule {
	return mirror.Rule{Pattern: r.Pattern, Credential: r.Credential, Private: r.Private, Discovery: r.Discover.discovery()}
}

func (d *RuleDiscovery) discovery() *mirror.RuleDiscovery {
	if d == nil {
		return nil
	}
	return &mirror.RuleDiscovery{Archived: d.Archived, Forks: d.Forks, Exclude: d.Exclude}
}

func ruleJSON(r mirror.Rule) Rule {
	out := Rule{Pattern: r.Pattern, Credential: r.Credential, Private: r.Private, Version: ruleVersion(r)}
	if d := r.Discovery; d != nil {
		out.Discover = &RuleDiscovery{Archived: d.Archived, Forks: d.Forks, Exclude: d.Exclude}
	}
	if l := r.Listing; !l.At.IsZero() {
		out.Listing = &RuleListing{At: l.At.UTC(), Found: l.Found, Skipped: l.Skipped, Added: l.Added, Failed: l.Failed, Cut: l.Cut, Error: l.Problem}
	}
	return out
}

type removeRuleRequest struct {
	MatchParam
	Pattern string `path:"pattern" maxLength:"600" doc:"With its slashes escaped: github.com%2Facme%2F*"`
}

func (a *api) removeRule(ctx context.Context, in *removeRuleRequest) (*struct{}, error) {
	return nil, a.dropRule(ctx, in.Pattern, in.MatchParam)
}

func (a *api) listCredentials(ctx context.Context, in *PageParams) (*listAnswer[Credential], error) {
	sealed, err := a.Store.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	return paged(*in, "/credentials", nil, sealed, false, func(c mirror.SealedCredential) string { return c.Name }, credentialJSON)
}

func credentialJSON(c mirror.SealedCredential) Credential {
	return Credential{Name: c.Name, Host: c.Host, User: c.User, CreatedAt: c.Created.UTC(), Version: credentialVersion(c)}
}

type addCredentialRequest struct {
	MatchParam
	Body NewCredential
}

func (a *api) addCredential(ctx context.Context, in *addCredentialRequest) (*answer[Credential], error) {
	b := in.Body
	yours := credentialFields(mirror.SealedCredential{Host: b.Host, User: b.User})
	err := a.edits(ctx, in.MatchParam, a.credentialThing(ctx, b.Name), yours, func() error {
		return a.Catalog.AddCredential(ctx, mirror.Credential{Name: b.Name, Host: b.Host, User: b.User, Secret: mirror.Secret(b.Secret)})
	})
	if err != nil {
		return nil, err
	}
	made, err := a.Store.Credential(ctx, b.Name)
	return &answer[Credential]{credentialJSON(made)}, err
}

type removeCredentialRequest struct {
	MatchParam
	Name string `path:"name" maxLength:"600"`
}

func (a *api) removeCredential(ctx context.Context, in *removeCredentialRequest) (*struct{}, error) {
	return nil, a.dropCredential(ctx, in.Name, in.MatchParam)
}
