package web

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gitmirror/gitmirror/auth"
)

// Factor is the second factor of an account.
type Factor struct {
	On        bool      `json:"on"`
	Since     time.Time `json:"since,omitzero"`
	CodesLeft int       `json:"recovery_codes_left"`
}

// FactorCode is a code of an app, or a recovery code.
type FactorCode struct {
	Code string `json:"code" minLength:"1" maxLength:"40" writeOnly:"true"`
}

// Enrolment is what an app needs to show codes.
type Enrolment struct {
	Secret string `json:"secret" doc:"To type into an app"`
	URL    string `json:"url" doc:"otpauth://…, for a QR code"`
}

// RecoveryCodes are shown this once; each works once in place of a code.
type RecoveryCodes struct {
	Codes []string `json:"recovery_codes"`
}

func (a *api) factorOperations() {
	tags, gone := []string{"users"}, []int{http.StatusNotFound}
	register(a, signedIn, huma.Operation{
		OperationID: "show-second-factor", Method: http.MethodGet, Path: "/users/{user}/second-factor", Tags: tags, Summary: "Whether an account has a second factor", Errors: gone,
	}, func(ctx context.Context, in *UserParam) (*answer[Factor], error) {
		user, err := a.user(ctx, in.User, looking)
		if err != nil {
			return nil, err
		}
		f, err := a.Accounts.FactorOf(ctx, user.ID)
		return &answer[Factor]{Factor{On: !f.Confirmed.IsZero(), Since: f.Confirmed.UTC(), CodesLeft: len(f.Codes)}}, err
	})
	register(a, signedIn, huma.Operation{
		OperationID: "begin-second-factor", Method: http.MethodPost, Path: "/second-factor", Tags: tags, Summary: "Begin to set up one's second factor",
		DefaultStatus: http.StatusCreated, Errors: []int{http.StatusConflict},
	}, func(ctx context.Context, _ *struct{}) (*answer[Enrolment], error) {
		user, err := a.user(ctx, "me", changing)
		if err != nil {
			return nil, err
		}
		e, err := a.Accounts.NewFactor(ctx, user.ID, a.Site.Host())
		return &answer[Enrolment]{Enrolment{Secret: e.Secret, URL: e.URL}}, err
	})
	register(a, signedIn, huma.Operation{
		OperationID: "confirm-second-factor", Method: http.MethodPost, Path: "/second-factor/confirm", Tags: tags, Summary: "Turn one's second factor on with a first code",
	}, func(ctx context.Context, in *answer[FactorCode]) (*answer[RecoveryCodes], error) {
		user, err := a.user(ctx, "me", changing)
		if err != nil {
			return nil, err
		}
		codes, err := a.Accounts.ConfirmFactor(ctx, user.ID, in.Body.Code, peer(ctx), auth.From(ctx).SignIn)
		return &answer[RecoveryCodes]{RecoveryCodes{codes}}, asInvalid(err)
	})
	register(a, signedIn, huma.Operation{
		OperationID: "remove-second-factor", Method: http.MethodPost, Path: "/users/{user}/second-factor/remove", Tags: tags, Summary: "Remove a second factor",
		Description: "One's own with a code of it; administrators take that of others who have lost theirs.", Errors: gone,
	}, a.removeFactor)
}

type removeFactorRequest struct {
	UserParam
	Body struct {
		Code string `json:"code,omitempty" maxLength:"40" writeOnly:"true" doc:"Needed for one's own"`
	}
}

func (a *api) removeFactor(ctx context.Context, in *removeFactorRequest) (*struct{}, error) {
	user, err := a.user(ctx, in.User, changing)
	if err != nil {
		return nil, err
	}
	if user.ID == auth.From(ctx).User {
		if err := a.Accounts.CheckFactor(ctx, user.ID, in.Body.Code, peer(ctx)); err != nil {
			return nil, asInvalid(err)
		}
	}
	return nil, a.Accounts.DropFactor(ctx, user.ID)
}
