package web

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

type usersPage struct {
	page
	Users   []userView
	Window  window // of Users
	Roles   []roleChoice
	Secret  *newSecret // a token that was just made for a robot: shown this once
	Wrong   *mirror.Problem
	NewName string
	NewRole auth.Role
}

type userView struct {
	ID           string
	Name         string
	Role         auth.Role
	Disabled     bool
	HasPassword  bool
	Robot        bool
	Self         bool
	Created      time.Time
	Keys, Tokens int
	Factor       bool // has a second factor
	Seen         int64
}

type roleChoice struct {
	Role  auth.Role
	Words string
}

// role is a role in a word.
func (w *words) role(r auth.Role) string {
	switch r {
	case auth.Developer:
		return w.t("developer")
	case auth.Robot:
		return w.t("robot")
	case auth.Admin:
		return w.t("admin")
	}
	return string(r)
}

func (w *words) roles() []roleChoice {
	return []roleChoice{
		{auth.Developer, w.t("developer: reads mirrors, asks for syncs")},
		{auth.Robot, w.t("robot: a program, with tokens only")},
		{auth.Admin, w.t("admin: everything")},
	}
}

func (c *console) users(g *gin.Context) error {
	return c.renderUsers(g, http.StatusOK, usersPage{NewRole: auth.Developer})
}

func (c *console) renderUsers(g *gin.Context, status int, data usersPage) error {
	var err error
	if data.page, err = c.page(g, "Users", "/users"); err != nil {
		return err
	}
	ctx := g.Request.Context()
	list, err := c.Accounts.Users(ctx)
	if err != nil {
		return err
	}
	keys, err := c.Accounts.Keys(ctx, "")
	if err != nil {
		return err
	}
	tokens, err := c.Accounts.Tokens(ctx, "")
	if err != nil {
		return err
	}
	nKeys, nTokens := map[string]int{}, map[string]int{}
	for _, k := range keys {
		nKeys[k.User]++
	}
	for _, t := range tokens {
		nTokens[t.User]++
	}
	data.Roles = c.words(g).roles()
	factors, err := c.Accounts.WithFactor(ctx)
	if err != nil {
		return err
	}
	list, data.Window = windowOf(g, "/users", list, func(u auth.User) string { return u.Name })
	for _, u := range list {
		data.Users = append(data.Users, userView{
			ID: u.ID, Name: u.Name, Role: u.Role, Disabled: u.Disabled, HasPassword: u.PasswordHash != "", Robot: u.Role == auth.Robot,
			Self: u.ID == c.identity(g).User, Created: u.Created, Keys: nKeys[u.ID], Tokens: nTokens[u.ID], Factor: factors[u.ID], Seen: u.Version(),
		})
	}
	return c.render(g, status, "users", data)
}

func (c *console) addUser(g *gin.Context) error {
	data := usersPage{NewName: g.PostForm("name"), NewRole: auth.Role(g.PostForm("role"))}
	user, err := c.Accounts.AddUser(g.Request.Context(), data.NewName, data.NewRole, g.PostForm("password"))
	if data.Wrong, err = told(err); err != nil {
		return err
	}
	if data.Wrong != nil {
		return c.renderUsers(g, newProblem(g.Request.Context(), data.Wrong).Status, data)
	}
	if user.PasswordHash == "" {
		return c.then(g, nil, "{1} was added, without a password.", "/users", user.Name)
	}
	return c.then(g, nil, "{1} was added. Tell them the password; they can change it under their name.", "/users", user.Name)
}

// createUserToken makes a token for a robot, which cannot sign in to make its
// own. Like createToken it answers with the page.
func (c *console) createUserToken(g *gin.Context) error {
	ctx := g.Request.Context()
	user, err := c.Accounts.User(ctx, g.Param("user"))
	if err != nil {
		return err
	}
	if user.Role != auth.Robot {
		return &mirror.Problem{Kind: mirror.ErrInvalid, What: user.Name + " is not a robot", Do: "people create their tokens themselves, on their account page"}
	}
	t, secret, err := c.Accounts.CreateToken(ctx, user.ID, g.PostForm("name"), auth.Scope(g.PostForm("scope")), tokenLife(g.PostForm("expires")))
	if err != nil {
		return c.orTell(g, err, "", "/users")
	}
	return c.renderUsers(g, http.StatusCreated, usersPage{NewRole: auth.Developer, Secret: c.newSecret(user.Name, t.Name, secret)})
}

// editUser edits the user an address names, if the form was made of what is so now.
func (c *console) editUser(g *gin.Context, edit auth.UserEdit) error {
	user, err := c.Accounts.User(g.Request.Context(), g.Param("user"))
	if err == nil {
		_, err = c.changeUser(g.Request.Context(), user, edit, formVersion(g))
	}
	return err
}

func (c *console) setRole(g *gin.Context) error {
	role, err := auth.ParseRole(g.PostForm("role"))
	if err == nil {
		err = c.editUser(g, auth.UserEdit{Role: &role})
	}
	return c.orTell(g, err, "The role is now {1}.", "/users", string(role))
}

func (c *console) resetPassword(g *gin.Context) error {
	password := g.PostForm("password")
	err := c.editUser(g, auth.UserEdit{Password: &password})
	if err == nil && g.Param("user") == c.identity(g).User { // keep the one who did it signed in
		err = c.signIn(g, g.Param("user"), c.identity(g).First)
	}
	return c.orTell(g, err, "The password was set. Sessions with the old one have ended.", "/users")
}

func (c *console) disableUser(g *gin.Context) error {
	err := c.editUser(g, auth.UserEdit{Disabled: ptr(true)})
	return c.orTell(g, err, "Disabled. Sessions, keys and tokens of this user are refused from now on.", "/users")
}

func (c *console) enableUser(g *gin.Context) error {
	err := c.editUser(g, auth.UserEdit{Disabled: ptr(false)})
	return c.orTell(g, err, "Enabled again.", "/users")
}

func (c *console) removeUser(g *gin.Context) error {
	ctx := g.Request.Context()
	user, err := c.Accounts.User(ctx, g.Param("user"))
	if err == nil {
		err = formVersion(g).met(ctx, userTitle(user), user.Version(), nil)
	}
	if err == nil {
		err = c.Accounts.RemoveUser(ctx, user.ID)
	}
	return c.orTell(g, err, "The user was removed, with all keys and tokens.", "/users")
}
