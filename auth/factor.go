package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"github.com/gitmirror/gitmirror/mirror"
)

// Factor is the second factor of a user: an app that shows time-based codes
// (RFC 6238: SHA-1, 30 s, 6 digits, which every app knows), and recovery codes.
type Factor struct {
	User      string
	Secret    []byte    // base32 text, sealed under factorRecord
	Confirmed time.Time // zero = it was never proven that the app has it; it counts for nothing
	LastStep  int64     // of 30 s since 1970, that was used last: codes work once
	Codes     []string  // SHA-256 of the recovery codes that are left, in hex
	Created   time.Time
}

// FactorStore keeps second factors.
type FactorStore interface {
	Factor(ctx context.Context, user string) (Factor, error)
	// WithFactor lists the ids of users whose factor is confirmed.
	WithFactor(ctx context.Context) ([]string, error)
	// PutFactor replaces what the user has, unless that is confirmed: ErrExists.
	PutFactor(ctx context.Context, f Factor) error
	// ConfirmFactor stores Confirmed, LastStep and Codes of one that is not
	// confirmed yet; else ErrExists.
	ConfirmFactor(ctx context.Context, f Factor) error
	// UseStep stores a step that is later than LastStep; else ErrExists.
	UseStep(ctx context.Context, user string, step int64) error
	// UseCode takes a recovery code away; ErrNotFound when it is not there.
	UseCode(ctx context.Context, user, code string) error
	RemoveFactor(ctx context.Context, user string) error
}

const (
	factorPeriod   = 30 // seconds
	recoveryCodes  = 10
	recoveryLength = 16
)

func factorRecord(user string) string { return "second-factor/" + user }

// HasFactor tells whether a user has a second factor.
func (a *Accounts) HasFactor(ctx context.Context, userID string) (bool, error) {
	f, err := a.Store.Factor(ctx, userID)
	if errors.Is(err, mirror.ErrNotFound) {
		return false, nil
	}
	return err == nil && !f.Confirmed.IsZero(), err
}

// WithFactor are the ids of all users who have a second factor.
func (a *Accounts) WithFactor(ctx context.Context) (map[string]bool, error) {
	ids, err := a.Store.WithFactor(ctx)
	out := make(map[string]bool, len(ids))
	for _, id := range ids {
		out[id] = true
	}
	return out, err
}

// FactorOf is the second factor of a user without its secret; the zero value
// when there is none.
func (a *Accounts) FactorOf(ctx context.Context, userID string) (Factor, error) {
	f, err := a.Store.Factor(ctx, userID)
	if errors.Is(err, mirror.ErrNotFound) || err == nil && f.Confirmed.IsZero() {
		return Factor{}, nil
	}
	f.Secret = nil
	return f, err
}

// Enrolment is what an app needs to show codes.
type Enrolment struct {
	Secret string // base32, to type in
	URL    string // otpauth://…, for a QR code
}

// NewFactor makes a second factor that counts once ConfirmFactor has seen a code
// of it. site names the server in the app.
func (a *Accounts) NewFactor(ctx context.Context, userID, site string) (Enrolment, error) {
	a.init()
	user, err := a.Store.User(ctx, userID)
	if err != nil {
		return Enrolment{}, err
	}
	if a.Vault == nil || user.Role == Robot || user.PasswordHash == "" {
		return Enrolment{}, &mirror.Problem{Kind: mirror.ErrInvalid, What: user.Name + " cannot have a second factor here",
			Why: "it protects sign-ins with a password, and this account has none"}
	}
	enrolment, err := enrolmentOf(site, user.Name, nil)
	if err != nil {
		return Enrolment{}, err
	}
	sealed, err := a.Vault.Seal(factorRecord(userID), enrolment.Secret)
	if err != nil {
		return Enrolment{}, err
	}
	err = a.Store.PutFactor(ctx, Factor{User: userID, Secret: sealed, Created: time.Now().UTC().Truncate(time.Millisecond)})
	if errors.Is(err, mirror.ErrExists) {
		return Enrolment{}, &mirror.Problem{Kind: mirror.ErrExists, What: "there is a second factor already", Do: "remove it first"}
	}
	return enrolment, err
}

// Pending is the enrolment that waits for its first code; ErrNotFound without one.
func (a *Accounts) Pending(ctx context.Context, userID, site string) (Enrolment, error) {
	f, err := a.Store.Factor(ctx, userID)
	if err != nil {
		return Enrolment{}, err
	}
	if !f.Confirmed.IsZero() || a.Vault == nil {
		return Enrolment{}, mirror.ErrNotFound
	}
	secret, err := a.Vault.Open(factorRecord(userID), f.Secret)
	if err != nil {
		return Enrolment{}, err
	}
	user, err := a.Store.User(ctx, userID)
	if err != nil {
		return Enrolment{}, err
	}
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		return Enrolment{}, err
	}
	return enrolmentOf(site, user.Name, raw)
}

// enrolmentOf is that of a secret; nil = of a new one.
func enrolmentOf(site, name string, secret []byte) (Enrolment, error) {
	key, err := totp.Generate(totp.GenerateOpts{
		Issuer: "gitmirror " + site, AccountName: name, Period: factorPeriod, Secret: secret, SecretSize: 20, Algorithm: otp.AlgorithmSHA1,
	})
	if err != nil {
		return Enrolment{}, err
	}
	return Enrolment{Secret: key.Secret(), URL: key.URL()}, nil
}

// ConfirmFactor turns the second factor on with a first code of it, ends all
// sign-ins of the user but one, and returns the recovery codes, this once.
func (a *Accounts) ConfirmFactor(ctx context.Context, userID, code, peer, keep string) ([]string, error) {
	a.init()
	f, err := a.Store.Factor(ctx, userID)
	if errors.Is(err, mirror.ErrNotFound) || err == nil && !f.Confirmed.IsZero() {
		return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: "no second factor waits to be confirmed", Do: "begin to set one up"}
	}
	if err != nil {
		return nil, err
	}
	step, err := a.tryCode(ctx, f, code, peer)
	if err != nil {
		return nil, err
	}
	codes := make([]string, recoveryCodes)
	f.Codes = make([]string, recoveryCodes)
	for i := range codes {
		codes[i] = recoveryCode()
		f.Codes[i] = hashCode(codes[i])
	}
	f.Confirmed, f.LastStep = time.Now().UTC().Truncate(time.Millisecond), step
	if err := a.Store.ConfirmFactor(ctx, f); err != nil {
		return nil, err
	}
	if _, err := a.SignOutAll(ctx, userID, keep); err != nil {
		return nil, err
	}
	a.Log.Info("second factor turned on", "user", userID)
	return codes, nil
}

// CheckFactor takes a code of the app, or a recovery code, once. Wrong ones are
// ErrSignIn, too many of them ErrBusy. A user without a second factor passes with
// the empty code.
func (a *Accounts) CheckFactor(ctx context.Context, userID, code, peer string) error {
	a.init()
	f, err := a.Store.Factor(ctx, userID)
	if errors.Is(err, mirror.ErrNotFound) || err == nil && f.Confirmed.IsZero() {
		if a.RequireFactor {
			return errEnrol()
		}
		return nil
	}
	if err != nil {
		return err
	}
	if isRecoveryCode(code) {
		return a.useRecoveryCode(ctx, f, code, peer)
	}
	step, err := a.tryCode(ctx, f, code, peer)
	if err != nil {
		return err
	}
	err = a.Store.UseStep(ctx, userID, step)
	if errors.Is(err, mirror.ErrExists) {
		return errFactor("this code was used already", "wait for the next one")
	}
	return err
}

func (a *Accounts) useRecoveryCode(ctx context.Context, f Factor, code, peer string) error {
	hash := hashCode(code)
	known := false
	for _, c := range f.Codes {
		known = subtle.ConstantTimeCompare([]byte(c), []byte(hash)) == 1 || known
	}
	matches, err := a.attempt(ctx, "second factor of "+f.User, peer, func() bool { return known })
	if err != nil {
		return err
	}
	if matches {
		err = a.Store.UseCode(ctx, f.User, hash)
	}
	if !matches || errors.Is(err, mirror.ErrNotFound) {
		a.Log.Info("second factor refused", "user", f.User, "addr", peer)
		return errFactor("this recovery code is wrong or was used", "use another")
	}
	if err == nil {
		a.Log.Info("recovery code used", "user", f.User, "addr", peer)
	}
	return err
}

// tryCode returns the step a code belongs to, of the present one and those beside it.
func (a *Accounts) tryCode(ctx context.Context, f Factor, code, peer string) (int64, error) {
	if a.Vault == nil {
		return 0, errors.New("second factors need a vault")
	}
	secret, err := a.Vault.Open(factorRecord(f.User), f.Secret)
	if err != nil {
		return 0, err
	}
	code = strings.Join(strings.Fields(code), "")
	now, found := time.Now().Unix()/factorPeriod, int64(0)
	matches, err := a.attempt(ctx, "second factor of "+f.User, peer, func() bool {
		for step := now - 1; step <= now+1; step++ {
			if len(code) == 6 && step > f.LastStep && hotp.Validate(code, uint64(step), secret) {
				found = step
			}
		}
		return found != 0
	})
	if err != nil {
		return 0, err
	}
	if !matches {
		a.Log.Info("second factor refused", "user", f.User, "addr", peer)
		return 0, errFactor("this code is not right", "type the one your app shows now; check that the clock of the phone is right")
	}
	return found, nil
}

// DropFactor takes the second factor from a user.
func (a *Accounts) DropFactor(ctx context.Context, userID string) error {
	a.init()
	err := a.Store.RemoveFactor(ctx, userID)
	if errors.Is(err, mirror.ErrNotFound) {
		return &mirror.Problem{Kind: mirror.ErrNotFound, What: "this account has no second factor"}
	}
	if err == nil {
		a.Log.Info("second factor removed", "user", userID)
	}
	return err
}

// passwordAlone says why a password is not enough, if it is not.
func (a *Accounts) passwordAlone(ctx context.Context, id Identity) error {
	if id.Via != ByPassword {
		return nil
	}
	on, err := a.HasFactor(ctx, id.User)
	switch {
	case err != nil:
		return err
	case on:
		return &mirror.Problem{Code: mirror.CodeFactor, Kind: mirror.ErrSignIn, What: "the password alone is not enough",
			Why: "this account has a second factor", Do: "use an API token as the password; the console and \"gitmirror login\" make one"}
	case a.RequireFactor:
		return &mirror.Problem{Code: mirror.CodeFactor, Kind: mirror.ErrSignIn, What: "the password alone is not enough",
			Why: "this server wants a second factor", Do: "set one up in the console, and use an API token as the password here"}
	}
	return nil
}

func errFactor(what, do string) error {
	return &mirror.Problem{Code: mirror.CodeFactor, Kind: mirror.ErrSignIn, What: what, Do: do}
}

func errEnrol() error {
	return &mirror.Problem{Code: mirror.CodeFactor, Kind: mirror.ErrDenied, What: "this server wants a second factor",
		Why: "your account has none yet", Do: "set one up on your account page in the console"}
}

// recoveryCode is 16 letters and digits in groups of four: 79 bits, so that its
// hash needs no salt.
func recoveryCode() string {
	plain := strings.ReplaceAll(generatePassword(), "-", "")[:recoveryLength]
	return plain[:4] + "-" + plain[4:8] + "-" + plain[8:12] + "-" + plain[12:]
}

func plainCode(code string) string {
	return strings.ToLower(strings.NewReplacer("-", "", " ", "").Replace(strings.TrimSpace(code)))
}

func isRecoveryCode(code string) bool { return len(plainCode(code)) == recoveryLength }

func hashCode(code string) string {
	sum := sha256.Sum256([]byte(plainCode(code)))
	return hex.EncodeToString(sum[:])
}
