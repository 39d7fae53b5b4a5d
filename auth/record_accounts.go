package auth

import (
	"context"
	"time"
)

// RecordAccounts returns the store with its changes noted for the audit trail.
func RecordAccounts(s Store) Store { return recordedAccounts{s} }

type recordedAccounts struct{ Store }

func (s recordedAccounts) AddUser(ctx context.Context, u User) error {
	err := s.Store.AddUser(ctx, u)
	if err == nil {
		Note(ctx, "user "+u.Name, Change{Field: "role", After: string(u.Role)}, Change{Field: "password", After: setOrNot(u.PasswordHash)})
	}
	return err
}

func (s recordedAccounts) EditUser(ctx context.Context, u User) error {
	before, err := s.before(ctx, u.ID)
	if err != nil {
		return err
	}
	if err := s.Store.EditUser(ctx, u); err != nil || notesOf(ctx) == nil {
		return err
	}
	changes := []Change{
		{Field: "name", Before: before.Name, After: u.Name},
		{Field: "role", Before: string(before.Role), After: string(u.Role)},
		{Field: "disabled", Before: yesNo(before.Disabled), After: yesNo(u.Disabled)},
	}
	if before.PasswordHash != u.PasswordHash {
		changes = append(changes, Change{Field: "password", Before: setOrNot(before.PasswordHash), After: "(a new one)"})
	}
	Note(ctx, "user "+before.Name, changes...)
	return nil
}

func (s recordedAccounts) RemoveUser(ctx context.Context, id string) error {
	before, err := s.before(ctx, id)
	if err != nil {
		return err
	}
	if err = s.Store.RemoveUser(ctx, id); err == nil {
		Note(ctx, "user "+before.Name, Change{Field: "role", Before: string(before.Role)}, Change{Field: "disabled", Before: yesNo(before.Disabled)})
	}
	return err
}

// before is the user as it is, when somebody wants to know.
func (s recordedAccounts) before(ctx context.Context, id string) (User, error) {
	if notesOf(ctx) == nil {
		return User{}, nil
	}
	return s.Store.User(ctx, id)
}

func (s recordedAccounts) AddKey(ctx context.Context, k Key) error {
	err := s.Store.AddKey(ctx, k)
	if err == nil {
		s.noteOwned(ctx, k.User, "key", Change{Field: "key", After: k.Name + " " + k.Fingerprint})
	}
	return err
}

func (s recordedAccounts) RemoveKey(ctx context.Context, user, id string) error {
	was := id
	if notesOf(ctx) != nil {
		keys, err := s.Store.Keys(ctx, user)
		if err != nil {
			return err
		}
		for _, k := range keys {
			if k.ID == id {
				was = k.Name + " " + k.Fingerprint
			}
		}
	}
	err := s.Store.RemoveKey(ctx, user, id)
	if err == nil {
		s.noteOwned(ctx, user, "key", Change{Field: "key", Before: was})
	}
	return err
}

func (s recordedAccounts) AddToken(ctx context.Context, t Token) error {
	err := s.Store.AddToken(ctx, t)
	if err == nil {
		s.noteOwned(ctx, t.User, "token", Change{Field: "token", After: tokenWords(t)})
	}
	return err
}

func (s recordedAccounts) RemoveToken(ctx context.Context, user, id string) error {
	was := id
	if notesOf(ctx) != nil {
		tokens, err := s.Store.Tokens(ctx, user)
		if err != nil {
			return err
		}
		for _, t := range tokens {
			if t.ID == id {
				was = tokenWords(t)
			}
		}
	}
	err := s.Store.RemoveToken(ctx, user, id)
	if err == nil {
		s.noteOwned(ctx, user, "token", Change{Field: "token", Before: was})
	}
	return err
}

func (s recordedAccounts) noteOwned(ctx context.Context, user, what string, c Change) {
	if notesOf(ctx) == nil {
		return
	}
	name := user
	if u, err := s.Store.User(ctx, user); err == nil {
		name = u.Name
	}
	Note(ctx, "user "+name, c)
}

func tokenWords(t Token) string {
	words := t.Name + " (" + t.ID + "), scope " + string(t.Scope)
	if !t.Expires.IsZero() {
		words += ", until " + t.Expires.UTC().Format(time.RFC3339)
	}
	return words
}

func setOrNot(secret string) string {
	if secret == "" {
		return ""
	}
	return "(set)"
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
