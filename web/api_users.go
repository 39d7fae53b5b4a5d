package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// UserParam names the user an operation is about.
type UserParam struct {
	User string `path:"user" maxLength:"100" doc:"Id of a user, or me"`
}

func (a *api) userOperations() {
	tags, gone := []string{"users"}, []int{http.StatusNotFound}
	changed := []int{http.StatusNotFound, http.StatusPreconditionFailed}
	register(a, signedIn, huma.Operation{
		OperationID: "whoami", Method: http.MethodGet, Path: "/whoami", Tags: tags, Summary: "Who is asking, and what they may do",
	}, a.whoami)
	register(a, governors, huma.Operation{
		OperationID: "list-users", Method: http.MethodGet, Path: "/users", Tags: tags, Summary: "List users by name",
	}, a.listUsers)
	register(a, governors, huma.Operation{
		OperationID: "add-user", Method: http.MethodPost, Path: "/users", Tags: tags, Summary: "Add a user",
		DefaultStatus: http.StatusCreated, Errors: []int{http.StatusConflict},
	}, a.addUser)
	register(a, signedIn, huma.Operation{
		OperationID: "show-user", Method: http.MethodGet, Path: "/users/{user}", Tags: tags, Summary: "Show a user", Errors: gone,
	}, a.showUser)
	register(a, signedIn, huma.Operation{
		OperationID: "edit-user", Method: http.MethodPatch, Path: "/users/{user}", Tags: tags, Summary: "Change role, password, or disable",
		Description: "Everybody may change their own password; the rest is for administrators. Sessions of the user end.", Errors: changed,
	}, a.editUser)
	register(a, governors, huma.Operation{
		OperationID: "remove-user", Method: http.MethodDelete, Path: "/users/{user}", Tags: tags, Summary: "Remove a user with keys and tokens", Errors: changed,
	}, a.removeUser)
	a.keyOperations()
	a.tokenOperations()
}

func (a *api) whoami(ctx context.Context, _ *struct{}) (*answer[Identity], error) {
	id := auth.From(ctx)
	out := Identity{ID: id.User, Name: id.Name, Role: id.Role, Scope: id.Scope, Via: id.Via, May: []string{}}
	for _, may := range []struct {
		action auth.Action
		name   string
	}{{auth.Read, "read"}, {auth.Sync, "sync"}, {auth.Manage, "manage"}, {auth.Administer, "administer"}} {
		if a.Policy.May(id, may.action, true) == nil {
			out.May = append(out.May, may.name)
		}
	}
	return &answer[Identity]{out}, nil
}

func (a *api) listUsers(ctx context.Context, in *PageParams) (*listAnswer[User], error) {
	users, err := a.Accounts.Users(ctx)
	if err != nil {
		return nil, err
	}
	return paged(*in, "/users", nil, users, false, func(u auth.User) string { return u.Name }, userJSON)
}

type addUserAnswer struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     User
}

type userAnswer struct {
	ETag string `header:"ETag"`
	Body User
}

func shownUser(u auth.User) *userAnswer { return &userAnswer{versionTag(u.Version()), userJSON(u)} }

func (a *api) addUser(ctx context.Context, in *answer[NewUser]) (*addUserAnswer, error) {
	user, err := a.Accounts.AddUser(ctx, in.Body.Name, auth.Role(in.Body.Role), in.Body.Password)
	if err != nil {
		return nil, err
	}
	return &addUserAnswer{Location: apiPrefix + "/users/" + user.ID, ETag: versionTag(user.Version()), Body: userJSON(user)}, nil
}

func (a *api) showUser(ctx context.Context, in *UserParam) (*userAnswer, error) {
	user, err := a.user(ctx, in.User, looking)
	if err != nil {
		return nil, err
	}
	return shownUser(user), nil
}

type editUserRequest struct {
	UserParam
	MatchParam
	Body EditUser
}

func (a *api) editUser(ctx context.Context, in *editUserRequest) (*userAnswer, error) {
	user, err := a.user(ctx, in.User, changing)
	if err != nil {
		return nil, err
	}
	b := in.Body
	if b.Role != nil || b.Disabled != nil {
		if err := a.check(ctx, governors); err != nil {
			return nil, err
		}
	}
	if b.Password != nil {
		if err := a.mayChangePassword(ctx, user, b.CurrentPassword); err != nil {
			return nil, err
		}
	}
	edit := auth.UserEdit{Disabled: b.Disabled, Password: b.Password}
	if b.Role != nil {
		role := auth.Role(*b.Role)
		edit.Role = &role
	}
	if user, err = a.changeUser(ctx, user, edit, in.MatchParam); err != nil {
		return nil, err
	}
	return shownUser(user), nil
}

// changeUser edits an account that is still as the caller has seen it.
func (s *Server) changeUser(ctx context.Context, user auth.User, edit auth.UserEdit, m MatchParam) (auth.User, error) {
	yours := user
	if edit.Role != nil {
		yours.Role = *edit.Role
	}
	if edit.Disabled != nil {
		yours.Disabled = *edit.Disabled
	}
	if err := m.met(ctx, userTitle(user), user.Version(), diffOf(userFields(user), userFields(yours))); err != nil {
		return user, err
	}
	edit.Version, _ = m.version()
	edited, err := s.Accounts.EditUser(ctx, user.ID, edit)
	if errors.Is(err, mirror.ErrExists) && edit.Version != 0 { // since we looked
		if now, seeErr := s.Accounts.User(ctx, user.ID); seeErr == nil {
			return now, m.met(ctx, userTitle(user), now.Version(), diffOf(userFields(now), userFields(yours)))
		}
	}
	return edited, err
}

func userTitle(u auth.User) string { return "the user " + u.Name }

func userFields(u auth.User) [][2]string {
	return [][2]string{{"role", string(u.Role)}, {"disabled", strconv.FormatBool(u.Disabled)}}
}

// mayChangePassword wants the present password from people who change their
// own: a session somebody left open must not be enough to take the account.
func (a *api) mayChangePassword(ctx context.Context, user auth.User, current string) error {
	id := auth.From(ctx)
	if user.ID != id.User || user.PasswordHash == "" {
		return a.check(ctx, governors)
	}
	_, err := a.Accounts.Password(ctx, user.Name, current, peer(ctx))
	if errors.Is(err, mirror.ErrSignIn) {
		return &mirror.Problem{Kind: mirror.ErrInvalid, What: "current_password is not your password", Do: "send your present password with the new one"}
	}
	return err
}

type userMatchRequest struct {
	UserParam
	MatchParam
}

func (a *api) removeUser(ctx context.Context, in *userMatchRequest) (*struct{}, error) {
	user, err := a.user(ctx, in.User, changing)
	if err == nil {
		err = in.met(ctx, userTitle(user), user.Version(), nil)
	}
	if err != nil {
		return nil, err
	}
	return nil, a.Accounts.RemoveUser(ctx, user.ID)
}

// intent is what somebody wants with an account.
type intent int

const (
	looking intent = iota
	changing
)

// user finds the account an operation is about: one's own, or anybody's for
// administrators. For others it does not exist. Changing one's own needs more
// than a token made for a narrower purpose, and is not for robots: a token that
// leaked from CI must not be able to make itself successors.
func (a *api) user(ctx context.Context, ref string, want intent) (auth.User, error) {
	id := auth.From(ctx)
	governs := a.check(ctx, governors)
	if ref == "me" || ref == id.User {
		if want == changing && governs != nil && (id.Scope != auth.ScopeAdmin || id.Role == auth.Robot) {
			return auth.User{}, &mirror.Problem{
				Code: "E2103", Kind: mirror.ErrDenied, What: id.Name + " may not change this account",
				Why: fmt.Sprintf("role %s, scope %s", id.Role, id.Scope), Do: "sign in with a password, or ask an administrator",
			}
		}
		return a.Accounts.User(ctx, id.User)
	}
	if governs != nil {
		return auth.User{}, noSuch("user", ref)
	}
	user, err := a.Accounts.User(ctx, ref)
	return user, named("user", ref, err)
}

// named says which thing was not found.
func named(kind, name string, err error) error {
	if errors.Is(err, mirror.ErrNotFound) {
		return noSuch(kind, name)
	}
	return err
}

func noSuch(kind, name string) error {
	return &mirror.Problem{Kind: mirror.ErrNotFound, What: fmt.Sprintf("there is no %s %q", kind, cut(name))}
}

func (a *api) keyOperations() {
	tags, gone := []string{"keys"}, []int{http.StatusNotFound}
	changed := []int{http.StatusNotFound, http.StatusPreconditionFailed}
	register(a, signedIn, huma.Operation{
		OperationID: "list-keys", Method: http.MethodGet, Path: "/users/{user}/keys", Tags: tags, Summary: "List SSH keys", Errors: gone,
	}, a.listKeys)
	register(a, signedIn, huma.Operation{
		OperationID: "add-key", Method: http.MethodPost, Path: "/users/{user}/keys", Tags: tags, Summary: "Add an SSH key",
		DefaultStatus: http.StatusCreated, Errors: []int{http.StatusNotFound, http.StatusConflict},
	}, a.addKey)
	register(a, signedIn, huma.Operation{
		OperationID: "remove-key", Method: http.MethodDelete, Path: "/users/{user}/keys/{key}", Tags: tags, Summary: "Remove an SSH key", Errors: changed,
	}, a.removeKey)
}

type userPageRequest struct {
	UserParam
	PageParams
}

func (a *api) listKeys(ctx context.Context, in *userPageRequest) (*listAnswer[Key], error) {
	user, err := a.user(ctx, in.User, looking)
	if err != nil {
		return nil, err
	}
	keys, err := a.Accounts.Keys(ctx, user.ID)
	if err != nil {
		return nil, err
	}
	return paged(in.PageParams, "/users/"+user.ID+"/keys", nil, keys, false, func(k auth.Key) string { return cut(k.Name) + " " + k.ID }, keyJSON)
}

// keyVersion is that of a key, which nobody can edit.
func keyVersion(k auth.Key) string { return versionOf(k.ID, k.Name, k.Fingerprint) }

func tokenVersion(t auth.Token) string { return versionOf(t.ID, t.Name, t.Scope) }

type addKeyRequest struct {
	UserParam
	Body NewKey
}

func (a *api) addKey(ctx context.Context, in *addKeyRequest) (*answer[Key], error) {
	user, err := a.user(ctx, in.User, changing)
	if err != nil {
		return nil, err
	}
	key, err := a.Accounts.AddKey(ctx, user.ID, in.Body.Name, in.Body.PublicKey)
	return &answer[Key]{keyJSON(key)}, err
}

type removeKeyRequest struct {
	UserParam
	MatchParam
	Key string `path:"key" maxLength:"100"`
}

func (a *api) removeKey(ctx context.Context, in *removeKeyRequest) (*struct{}, error) {
	user, err := a.user(ctx, in.User, changing)
	if err != nil {
		return nil, err
	}
	look := func() (thing, error) {
		keys, err := a.Accounts.Keys(ctx, user.ID)
		if err != nil {
			return thing{}, err
		}
		i := slices.IndexFunc(keys, func(k auth.Key) bool { return k.ID == in.Key })
		if i < 0 {
			return thing{}, noSuch("key", in.Key)
		}
		return thing{Name: "the key " + keys[i].Name, Version: keyVersion(keys[i])}, nil
	}
	return nil, a.edits(ctx, in.MatchParam, look, nil, func() error { return named("key", in.Key, a.Accounts.RemoveKey(ctx, user.ID, in.Key)) })
}

func (a *api) tokenOperations() {
	tags, gone := []string{"tokens"}, []int{http.StatusNotFound}
	changed := []int{http.StatusNotFound, http.StatusPreconditionFailed}
	register(a, signedIn, huma.Operation{
		OperationID: "sign-in", Method: http.MethodPost, Path: "/tokens", Tags: tags, Summary: "Make an API token for oneself",
		Description: "With basic authentication by user name and password this is the sign-in of command-line clients.", DefaultStatus: http.StatusCreated,
	}, func(ctx context.Context, in *answer[NewToken]) (*answer[CreatedToken], error) {
		return a.createToken(ctx, "me", in.Body)
	})
	register(a, signedIn, huma.Operation{
		OperationID: "list-tokens", Method: http.MethodGet, Path: "/users/{user}/tokens", Tags: tags, Summary: "List API tokens", Errors: gone,
	}, a.listTokens)
	register(a, signedIn, huma.Operation{
		OperationID: "create-token", Method: http.MethodPost, Path: "/users/{user}/tokens", Tags: tags, Summary: "Make an API token",
		DefaultStatus: http.StatusCreated, Errors: gone,
	}, func(ctx context.Context, in *createTokenRequest) (*answer[CreatedToken], error) {
		return a.createToken(ctx, in.User, in.Body)
	})
	register(a, signedIn, huma.Operation{
		OperationID: "remove-token", Method: http.MethodDelete, Path: "/users/{user}/tokens/{token}", Tags: tags, Summary: "End an API token",
		Description: "`current` is the token that makes the request.", Errors: changed,
	}, a.removeToken)
}

func (a *api) listTokens(ctx context.Context, in *userPageRequest) (*listAnswer[Token], error) {
	user, err := a.user(ctx, in.User, looking)
	if err != nil {
		return nil, err
	}
	tokens, err := a.Accounts.Tokens(ctx, user.ID)
	if err != nil {
		return nil, err
	}
	return paged(in.PageParams, "/users/"+user.ID+"/tokens", nil, tokens, true, func(t auth.Token) string {
		return fmt.Sprintf("%020d %s", t.Created.UnixMicro(), t.ID)
	}, tokenJSON)
}

type createTokenRequest struct {
	UserParam
	Body NewToken
}

func (a *api) createToken(ctx context.Context, ref string, n NewToken) (*answer[CreatedToken], error) {
	user, err := a.user(ctx, ref, changing)
	if err != nil {
		return nil, err
	}
	token, secret, err := a.Accounts.CreateToken(ctx, user.ID, n.Name, auth.Scope(n.Scope), time.Duration(n.ExpiresS)*time.Second)
	return &answer[CreatedToken]{CreatedToken{Token: tokenJSON(token), Secret: secret}}, err
}

type removeTokenRequest struct {
	UserParam
	MatchParam
	Token string `path:"token" maxLength:"100" doc:"Id of a token, or current"`
}

func (a *api) removeToken(ctx context.Context, in *removeTokenRequest) (*struct{}, error) {
	id := auth.From(ctx)
	if in.Token == "current" && id.Token != "" && (in.User == "me" || in.User == id.User) {
		return nil, a.Accounts.RemoveToken(ctx, id.User, id.Token) // giving up one's own right needs no other
	}
	user, err := a.user(ctx, in.User, changing)
	if err != nil {
		return nil, err
	}
	look := func() (thing, error) {
		tokens, err := a.Accounts.Tokens(ctx, user.ID)
		if err != nil {
			return thing{}, err
		}
		i := slices.IndexFunc(tokens, func(t auth.Token) bool { return t.ID == in.Token })
		if i < 0 {
			return thing{}, noSuch("token", in.Token)
		}
		return thing{Name: "the token " + tokens[i].Name, Version: tokenVersion(tokens[i])}, nil
	}
	return nil, a.edits(ctx, in.MatchParam, look, nil, func() error { return named("token", in.Token, a.Accounts.RemoveToken(ctx, user.ID, in.Token)) })
}
