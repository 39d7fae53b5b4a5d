package auth

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/rs/xid"
	"golang.org/x/crypto/ssh"
)

const (
	minRSABits  = 3072
	maxRSABits  = 8192 // checking a longer one costs more than a stranger may spend of ours
	maxKeyBytes = 16 << 10
)

// ParseKey reads one public key in the form of a line of authorized_keys, the
// content of an id_….pub file. Only the fields Name (the comment), Fingerprint
// and Public of the answer are set.
func ParseKey(text string) (Key, error) {
	text = strings.TrimSpace(text)
	switch {
	case strings.Contains(text, "PRIVATE KEY-----"), strings.HasPrefix(text, "PuTTY-User-Key-File"):
		return Key{}, badKey("this is a PRIVATE key, which must never leave your machine; it was not stored",
			"", "paste the content of the file that ends in .pub")
	case text == "":
		return Key{}, badKey("there is no key", "", "paste the content of a file such as ~/.ssh/id_ed25519.pub")
	case len(text) > maxKeyBytes:
		return Key{}, badKey("this is not a public key", fmt.Sprintf("it is longer than %d bytes", maxKeyBytes), "")
	case strings.Contains(text, "BEGIN SSH2 PUBLIC KEY"):
		return Key{}, badKey("this public key is in the SSH2 form", "", "convert it: ssh-keygen -i -f FILE")
	case strings.ContainsAny(text, "\r\n"):
		return Key{}, badKey("this is more than one line", "", "add keys one at a time")
	}
	pub, comment, options, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil {
		return Key{}, badKey("this is not a public SSH key", "", "paste the content of a file such as ~/.ssh/id_ed25519.pub, beginning with ssh-ed25519")
	}
	if len(options) > 0 {
		return Key{}, badKey("options in front of a key are not supported", "they would have no effect here", "paste the key without them")
	}
	if err := CheckKey(pub); err != nil {
		return Key{}, err
	}
	return Key{
		Name:        comment,
		Fingerprint: ssh.FingerprintSHA256(pub),
		Public:      strings.TrimSpace(string(ssh.MarshalAuthorizedKey(pub))),
	}, nil
}

// CheckKey says whether a key is of a kind that is accepted: ed25519, ECDSA,
// either of them on a security key, or RSA of 3072 to 8192 bits.
func CheckKey(pub ssh.PublicKey) error {
	const do = "make a new one: ssh-keygen -t ed25519"
	switch pub.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
		return nil
	case ssh.KeyAlgoRSA:
		key, ok := pub.(ssh.CryptoPublicKey)
		if !ok {
			return badKey("this RSA key cannot be read", "", do)
		}
		r, ok := key.CryptoPublicKey().(*rsa.PublicKey)
		if !ok {
			return badKey("this RSA key cannot be read", "", do)
		}
		if bits := r.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return badKey(fmt.Sprintf("this RSA key has %d bits", bits), fmt.Sprintf("%d to %d are accepted", minRSABits, maxRSABits), do)
		}
		return nil
	}
	if _, ok := pub.(*ssh.Certificate); ok {
		return badKey("this is a certificate", "only plain keys are accepted", "paste the key it was made for")
	}
	return badKey("keys of type "+printable(pub.Type())+" are not accepted", "", do)
}

func badKey(what, why, do string) error {
	return &mirror.Problem{Kind: mirror.ErrInvalid, What: what, Why: why, Do: do}
}

// AddKey gives a user an SSH key; authorizedKey is the content of a .pub file
// and name may be empty, then it is the key's comment.
func (a *Accounts) AddKey(ctx context.Context, userID, name, authorizedKey string) (Key, error) {
	a.init()
	k, err := ParseKey(authorizedKey)
	if err != nil {
		return Key{}, err
	}
	user, err := a.Store.User(ctx, userID)
	if err != nil {
		return Key{}, err
	}
	if user.Role == Robot {
		return Key{}, errRobotKey(user.Name)
	}
	if strings.TrimSpace(name) != "" {
		k.Name = name
	} else if len([]rune(k.Name)) > maxNameText {
		k.Name = string([]rune(k.Name)[:maxNameText]) // a comment is nobody's fault
	}
	if k.Name, err = labelOf("key", k.Name); err != nil {
		return Key{}, err
	}
	have, err := a.Store.Keys(ctx, userID)
	if err != nil {
		return Key{}, err
	}
	if len(have) >= maxPerUser {
		return Key{}, errTooManyOf("keys", user.Name)
	}
	k.ID, k.User, k.Created = xid.New().String(), userID, time.Now().UTC().Truncate(time.Millisecond)
	err = a.Store.AddKey(ctx, k)
	if errors.Is(err, mirror.ErrExists) {
		// Whose it is stays unsaid: that would tell who has an account.
		return Key{}, &mirror.Problem{
			Kind: mirror.ErrExists, What: "the key " + k.Fingerprint + " is already in use on this server",
			Do: "if it is not on your own list, make another: ssh-keygen -t ed25519",
		}
	}
	if err != nil {
		return Key{}, err
	}
	a.Log.Info("key added", "user", user.Name, "key", k.Fingerprint)
	return k, nil
}

// Keys lists the SSH keys of a user by name; userID empty = everybody's.
func (a *Accounts) Keys(ctx context.Context, userID string) ([]Key, error) {
	return a.Store.Keys(ctx, userID)
}

// RemoveKey takes an SSH key from the user; ErrNotFound when it is somebody else's.
func (a *Accounts) RemoveKey(ctx context.Context, userID, keyID string) error {
	a.init()
	if err := a.Store.RemoveKey(ctx, userID, keyID); err != nil {
		return err
	}
	a.Log.Info("key removed", "user", userID, "key", keyID)
	return nil
}
