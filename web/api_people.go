package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// Group is people who may read the same private mirrors.
type Group struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Members   []Member  `json:"members"`
	Grants    []string  `json:"grants" doc:"Patterns of private mirrors its members may read: github.com/acme/*, a path, or *"`
	CreatedAt time.Time `json:"created_at"`
	Version   string    `json:"version,omitempty" readOnly:"true" doc:"Another one after every edit; in quotes it is the ETag"`
}

// Member is somebody in a group.
type Member struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Origin string `json:"origin,omitempty" doc:"The sign-in provider that says so; absent = an administrator"`
}

// NewGroup makes a group.
type NewGroup struct {
	Name string `json:"name" minLength:"1" maxLength:"100"`
}

// NewGrant lets a group read private mirrors.
type NewGrant struct {
	Pattern string `json:"pattern" minLength:"1" maxLength:"600" example:"github.com/acme/*"`
}

// Trust says whose identity tokens are exchanged for API tokens.
type Trust struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Issuer     string            `json:"issuer"`
	Audience   string            `json:"audience"`
	Claims     map[string]string `json:"claims" doc:"Claim and pattern; all must match, * stands for anything"`
	User       string            `json:"user" doc:"Id of the robot"`
	Scope      auth.Scope        `json:"scope" enum:"read,write"`
	TTLS       int64             `json:"ttl_s" doc:"Seconds the API tokens live"`
	CreatedAt  time.Time         `json:"created_at"`
	LastUsedAt time.Time         `json:"last_used_at,omitzero"`
	Version    string            `json:"version,omitempty" readOnly:"true" doc:"Another one after every edit; in quotes it is the ETag"`
}

// NewTrust makes one.
type NewTrust struct {
	Name     string            `json:"name" minLength:"1" maxLength:"100"`
	Issuer   string            `json:"issuer" minLength:"1" maxLength:"500" example:"https://gitlab.example"`
	Audience string            `json:"audience,omitempty" maxLength:"500" doc:"Default: the address of this server"`
	Claims   map[string]string `json:"claims"`
	User     string            `json:"user" minLength:"1" maxLength:"100" doc:"Name or id of the robot"`
	Scope    string            `json:"scope,omitempty" enum:"read,write" default:"read"`
	TTLS     int64             `json:"ttl_s,omitempty" minimum:"0" maximum:"86400" doc:"Default: an hour"`
}

// IdentityToken is what a CI system gives a job.
type IdentityToken struct {
	Token string `json:"token" minLength:"1" maxLength:"16384" writeOnly:"true"`
}

// Session is a browser that is signed in.
type Session struct {
	ID        string    `json:"id"`
	Via       auth.Via  `json:"via" doc:"password or oidc"`
	Addr      string    `json:"addr"`
	Agent     string    `json:"agent" doc:"What the browser says it is"`
	Current   bool      `json:"current" doc:"It makes this request"`
	CreatedAt time.Time `json:"created_at"`
	SeenAt    time.Time `json:"seen_at" doc:"To within five minutes"`
	ExpiresAt time.Time `json:"expires_at"`
}

func (a *api) peopleOperations() {
	gone, taken := []int{http.StatusNotFound}, []int{http.StatusConflict}
	changed := []int{http.StatusNotFound, http.StatusPreconditionFailed}
	groups, trusts, users := []string{"groups"}, []string{"trusts"}, []string{"users"}
	register(a, governors, huma.Operation{
		OperationID: "list-groups", Method: http.MethodGet, Path: "/groups", Tags: groups, Summary: "List groups with members and grants",
	}, func(ctx context.Context, in *PageParams) (*listAnswer[Group], error) {
		all, err := a.groupsJSON(ctx)
		if err != nil {
			return nil, err
		}
		return paged(*in, "/groups", nil, all, false, func(g Group) string { return g.Name }, func(g Group) Group { return g })
	})
	register(a, governors, huma.Operation{
		OperationID: "add-group", Method: http.MethodPost, Path: "/groups", Tags: groups, Summary: "Add a group", DefaultStatus: http.StatusCreated, Errors: taken,
	}, func(ctx context.Context, in *answer[NewGroup]) (*answer[Group], error) {
		g, err := a.Accounts.AddGroup(ctx, in.Body.Name)
		made := Group{ID: g.ID, Name: g.Name, CreatedAt: g.Created, Members: []Member{}, Grants: []string{}}
		made.Version = groupVersion(made)
		return &answer[Group]{made}, err
	})
	register(a, governors, huma.Operation{
		OperationID: "remove-group", Method: http.MethodDelete, Path: "/groups/{group}", Tags: groups, Summary: "Remove a group with its grants", Errors: changed,
	}, func(ctx context.Context, in *groupMatchRequest) (*struct{}, error) {
		return nil, a.changeGroup(ctx, in.Group, in.MatchParam, a.Accounts.RemoveGroup)
	})
	register(a, governors, huma.Operation{
		OperationID: "add-member", Method: http.MethodPut, Path: "/groups/{group}/members/{user}", Tags: groups, Summary: "Put a user into a group", Errors: changed,
	}, func(ctx context.Context, in *memberRequest) (*struct{}, error) {
		return nil, a.member(ctx, in, a.Accounts.Join)
	})
	register(a, governors, huma.Operation{
		OperationID: "remove-member", Method: http.MethodDelete, Path: "/groups/{group}/members/{user}", Tags: groups, Summary: "Take a user out of a group", Errors: changed,
	}, func(ctx context.Context, in *memberRequest) (*struct{}, error) {
		return nil, a.member(ctx, in, a.Accounts.Leave)
	})
	register(a, governors, huma.Operation{
		OperationID: "add-grant", Method: http.MethodPost, Path: "/groups/{group}/grants", Tags: groups, Summary: "Let a group read private mirrors",
		Description: "From then on the private mirrors the pattern covers are for the groups of their grants only.", DefaultStatus: http.StatusCreated, Errors: changed,
	}, func(ctx context.Context, in *addGrantRequest) (*answer[NewGrant], error) {
		var made auth.Grant
		err := a.changeGroup(ctx, in.Group, in.MatchParam, func(ctx context.Context, g auth.Group) (err error) {
			made, err = a.Accounts.Grant(ctx, g, in.Body.Pattern)
			return err
		})
		return &answer[NewGrant]{NewGrant{made.Pattern}}, err
	})
	register(a, governors, huma.Operation{
		OperationID: "remove-grant", Method: http.MethodDelete, Path: "/groups/{group}/grants/{pattern}", Tags: groups, Summary: "Take a grant back", Errors: changed,
	}, func(ctx context.Context, in *removeGrantRequest) (*struct{}, error) {
		return nil, a.changeGroup(ctx, in.Group, in.MatchParam, func(ctx context.Context, g auth.Group) error { return a.Accounts.Revoke(ctx, g, in.Pattern) })
	})
	register(a, governors, huma.Operation{
		OperationID: "list-trusts", Method: http.MethodGet, Path: "/trusts", Tags: trusts, Summary: "List whose CI jobs are trusted",
	}, func(ctx context.Context, in *PageParams) (*listAnswer[Trust], error) {
		all, err := a.Accounts.Trusts(ctx)
		if err != nil {
			return nil, err
		}
		return paged(*in, "/trusts", nil, all, false, func(t auth.Trust) string { return t.Name }, trustJSON)
	})
	register(a, governors, huma.Operation{
		OperationID: "add-trust", Method: http.MethodPost, Path: "/trusts", Tags: trusts, Summary: "Trust the CI jobs of a repository",
		DefaultStatus: http.StatusCreated, Errors: []int{http.StatusNotFound, http.StatusConflict},
	}, a.addTrust)
	register(a, governors, huma.Operation{
		OperationID: "remove-trust", Method: http.MethodDelete, Path: "/trusts/{trust}", Tags: trusts, Summary: "End a trust", Errors: changed,
	}, func(ctx context.Context, in *trustParam) (*struct{}, error) {
		return nil, a.dropTrust(ctx, in.Trust, in.MatchParam)
	})
	register(a, anybody, huma.Operation{
		OperationID: "exchange-token", Method: http.MethodPost, Path: "/auth/ci", Tags: trusts, Summary: "Exchange the identity token of a CI job for an API token",
		Description:   "What the token may is said by the trust that fits the job.",
		DefaultStatus: http.StatusCreated, Errors: []int{http.StatusUnauthorized, http.StatusBadGateway},
	}, a.exchangeToken)
	register(a, signedIn, huma.Operation{
		OperationID: "list-sessions", Method: http.MethodGet, Path: "/users/{user}/sessions", Tags: users, Summary: "List the browsers that are signed in", Errors: gone,
	}, a.listSessions)
	register(a, signedIn, huma.Operation{
		OperationID: "remove-sessions", Method: http.MethodDelete, Path: "/users/{user}/sessions", Tags: users, Summary: "Sign out all browsers but this one",
		Description: "If-Match is about the user.", Errors: changed,
	}, func(ctx context.Context, in *userMatchRequest) (*struct{}, error) {
		user, err := a.user(ctx, in.User, changing)
		if err == nil {
			err = in.met(ctx, userTitle(user), user.Version(), nil)
		}
		if err != nil {
			return nil, err
		}
		_, err = a.Accounts.SignOutAll(ctx, user.ID, auth.From(ctx).SignIn)
		return nil, err
	})
	register(a, signedIn, huma.Operation{
		OperationID: "remove-session", Method: http.MethodDelete, Path: "/users/{user}/sessions/{session}", Tags: users, Summary: "Sign out a browser",
		Description: "If-Match is about the user.", Errors: changed,
	}, func(ctx context.Context, in *removeSessionRequest) (*struct{}, error) {
		user, err := a.user(ctx, in.User, changing)
		if err == nil {
			err = in.met(ctx, userTitle(user), user.Version(), nil)
		}
		if err != nil {
			return nil, err
		}
		return nil, named("session", in.Session, a.Accounts.SignOut(ctx, user.ID, in.Session))
	})
	a.factorOperations()
}

// GroupParam names the group an operation is about.
type GroupParam struct {
	Group string `path:"group" maxLength:"100" doc:"Id or name of a group"`
}

type groupMatchRequest struct {
	GroupParam
	MatchParam
}

type memberRequest struct {
	GroupParam
	MatchParam
	User string `path:"user" maxLength:"100" doc:"Id or name of a user"`
}

type addGrantRequest struct {
	GroupParam
	MatchParam
	Body NewGrant
}

type removeGrantRequest struct {
	GroupParam
	MatchParam
	Pattern string `path:"pattern" maxLength:"600" doc:"With its slashes escaped"`
}

type trustParam struct {
	MatchParam
	Trust string `path:"trust" maxLength:"100" doc:"Id or name of a trust"`
}

type removeSessionRequest struct {
	UserParam
	MatchParam
	Session string `path:"session" maxLength:"100"`
}

func (a *api) member(ctx context.Context, in *memberRequest, do func(context.Context, auth.Group, auth.User) error) error {
	return a.changeGroup(ctx, in.Group, in.MatchParam, func(ctx context.Context, g auth.Group) error {
		u, err := a.anyUser(ctx, in.User)
		if err != nil {
			return err
		}
		return do(ctx, g, u)
	})
}

// groupVersion counts members and grants, too: they are what a group is.
func groupVersion(g Group) string {
	return versionOf(g.ID, g.Name, g.Members, g.Grants)
}

func groupFields(g Group) [][2]string {
	return [][2]string{
		{"members", strings.Join(each(g.Members, func(m Member) string { return m.Name }), ", ")}, {"grants", strings.Join(g.Grants, ", ")},
	}
}

// changeGroup changes a group, by id or name, that is still as the caller has
// seen it, and notes what became of its members and grants.
func (s *Server) changeGroup(ctx context.Context, ref string, m MatchParam, do func(context.Context, auth.Group) error) error {
	g, err := s.Accounts.Group(ctx, ref)
	if err != nil {
		return err
	}
	now := func() (Group, error) {
		all, err := s.groupsJSON(ctx)
		if err != nil {
			return Group{}, err
		}
		i := slices.IndexFunc(all, func(x Group) bool { return x.ID == g.ID })
		if i < 0 {
			return Group{}, nil // it is gone
		}
		return all[i], nil
	}
	var before Group
	look := func() (_ thing, err error) {
		before, err = now()
		return thing{Name: "the group " + g.Name, Version: groupVersion(before)}, err
	}
	return s.edits(ctx, m, look, nil, func() error {
		if _, err := look(); err != nil {
			return err
		}
		if err := do(ctx, g); err != nil {
			return err
		}
		after, err := now()
		if err != nil {
			return err
		}
		auth.Note(ctx, "group "+g.Name, changesOf(groupFields(before), groupFields(after))...)
		return nil
	})
}

func trustVersion(t auth.Trust) string {
	return versionOf(t.ID, t.Name, t.Issuer, t.Audience, t.Claims, t.User, t.Scope, t.TTL)
}

// dropTrust ends the trust with an id or name.
func (s *Server) dropTrust(ctx context.Context, ref string, m MatchParam) error {
	return s.edits(ctx, m, func() (thing, error) {
		all, err := s.Accounts.Trusts(ctx)
		if err != nil {
			return thing{}, err
		}
		i := slices.IndexFunc(all, func(t auth.Trust) bool { return t.ID == ref || strings.EqualFold(t.Name, ref) })
		if i < 0 {
			return thing{}, noSuch("trust", ref)
		}
		return thing{Name: "the trust " + all[i].Name, Version: trustVersion(all[i])}, nil
	}, nil, func() error { return s.Accounts.RemoveTrust(ctx, ref) })
}

// anyUser finds an account by id or name, for administrators.
func (s *Server) anyUser(ctx context.Context, ref string) (auth.User, error) {
	u, err := s.Accounts.User(ctx, ref)
	if err != nil {
		u, err = s.Accounts.UserByName(ctx, ref)
	}
	return u, named("user", ref, err)
}

// groupsJSON are all groups with what is in them.
func (s *Server) groupsJSON(ctx context.Context) ([]Group, error) {
	groups, err := s.Accounts.Groups(ctx)
	if err != nil {
		return nil, err
	}
	table, err := s.Accounts.AccessTable(ctx)
	if err != nil {
		return nil, err
	}
	users, err := s.Accounts.Users(ctx)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, u := range users {
		names[u.ID] = u.Name
	}
	out := make([]Group, len(groups))
	for i, g := range groups {
		out[i] = Group{ID: g.ID, Name: g.Name, CreatedAt: g.Created.UTC(), Members: []Member{}, Grants: []string{}}
		for _, m := range table.Members {
			if m.Group == g.ID {
				out[i].Members = append(out[i].Members, Member{ID: m.User, Name: names[m.User], Origin: m.Origin})
			}
		}
		for _, grant := range table.Grants {
			if grant.Group == g.ID {
				out[i].Grants = append(out[i].Grants, grant.Pattern)
			}
		}
		out[i].Version = groupVersion(out[i])
	}
	return out, nil
}

func trustJSON(t auth.Trust) Trust {
	return Trust{
		ID: t.ID, Name: t.Name, Issuer: t.Issuer, Audience: t.Audience, Claims: t.Claims, User: t.User, Scope: t.Scope,
		TTLS: int64(t.TTL / time.Second), CreatedAt: t.Created.UTC(), LastUsedAt: t.LastUsed.UTC(), Version: trustVersion(t),
	}
}

func (a *api) addTrust(ctx context.Context, in *answer[NewTrust]) (*answer[Trust], error) {
	b := in.Body
	u, err := a.anyUser(ctx, b.User)
	if err != nil {
		return nil, err
	}
	if b.Audience == "" {
		b.Audience = a.Site.URL
	}
	t, err := a.Accounts.AddTrust(ctx, auth.Trust{
		Name: b.Name, Issuer: b.Issuer, Audience: b.Audience, Claims: b.Claims, User: u.ID, Scope: auth.Scope(b.Scope), TTL: time.Duration(b.TTLS) * time.Second,
	})
	return &answer[Trust]{trustJSON(t)}, err
}

func (a *api) exchangeToken(ctx context.Context, in *answer[IdentityToken]) (*answer[CreatedToken], error) {
	if a.CI == nil {
		return nil, &mirror.Problem{Kind: mirror.ErrNotFound, What: "this server trusts no CI system"}
	}
	t, secret, err := a.CI.Exchange(ctx, in.Body.Token, peer(ctx))
	return &answer[CreatedToken]{CreatedToken{Token: tokenJSON(t), Secret: secret}}, err
}

func (a *api) listSessions(ctx context.Context, in *userPageRequest) (*listAnswer[Session], error) {
	user, err := a.user(ctx, in.User, looking)
	if err != nil {
		return nil, err
	}
	all, err := a.Accounts.SignIns(ctx, user.ID)
	if err != nil {
		return nil, err
	}
	now := auth.From(ctx).SignIn
	return paged(in.PageParams, "/users/"+user.ID+"/sessions", nil, all, true, func(s auth.SignIn) string { return fmt.Sprintf("%020d %s", s.Created.UnixMicro(), s.ID) }, func(s auth.SignIn) Session {
		return Session{
			ID: s.ID, Via: s.Via, Addr: s.Addr, Agent: s.Agent, Current: s.ID == now,
			CreatedAt: s.Created.UTC(), SeenAt: s.Seen.UTC(), ExpiresAt: s.Expires.UTC(),
		}
	})
}
