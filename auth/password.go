package auth

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gitmirror/gitmirror/mirror"
	"golang.org/x/crypto/argon2"
)

// Parameters of argon2id as OWASP's password storage cheat sheet has them:
// 19 MiB of memory, 2 passes, 1 lane; about 25 ms of a core.
const (
	hashMemory  = 19 * 1024 // KiB
	hashPasses  = 2
	hashLanes   = 1
	hashKeyLen  = 32
	hashSaltLen = 16

	minPasswordRunes = 10
	maxPasswordBytes = 256
)

// dummyHash costs as much to check as any other and matches no password: it
// stands in for users that do not exist.
const dummyHash = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// hashPassword returns the hash of a new password in PHC form.
func hashPassword(password string) string {
	salt := make([]byte, hashSaltLen)
	rand.Read(salt) // never fails: crypto/rand
	key := argon2.IDKey([]byte(password), salt, hashPasses, hashMemory, hashLanes, hashKeyLen)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, hashMemory, hashPasses, hashLanes, b64(salt), b64(key))
}

// checkPassword tells whether password has the hash. A hash that is not
// argon2id, or asks for more than eight times our own cost, matches nothing.
func checkPassword(hash, password string) bool {
	if len(password) > maxPasswordBytes {
		password = "" // no stored password is empty; the time stays the same
	}
	f := strings.Split(hash, "$")
	if len(f) != 6 || f[1] != "argon2id" || f[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return false
	}
	var memory, passes, lanes uint32
	if n, err := fmt.Sscanf(f[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes); err != nil || n != 3 {
		return false
	}
	if memory < 8 || memory > 4*hashMemory || passes < 1 || passes > 8 || lanes < 1 || lanes > 4 {
		return false
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(f[4])
	want, err2 := base64.RawStdEncoding.DecodeString(f[5])
	if err1 != nil || err2 != nil || len(salt) < 8 || len(want) < 16 || len(want) > 64 {
		return false
	}
	got := argon2.IDKey([]byte(password), salt, passes, memory, uint8(lanes), uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1
}

// checkNewPassword says what is wrong with a password somebody wants to have.
func checkNewPassword(user, password string) error {
	why := ""
	switch {
	case !utf8.ValidString(password) || strings.ContainsFunc(password, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		why = "it holds control characters or broken UTF-8"
	case utf8.RuneCountInString(password) < minPasswordRunes:
		why = fmt.Sprintf("it has fewer than %d characters", minPasswordRunes)
	case len(password) > maxPasswordBytes:
		why = fmt.Sprintf("it is longer than %d bytes", maxPasswordBytes)
	case strings.HasPrefix(password, tokenPrefix):
		why = "it begins like an API token"
	case strings.EqualFold(password, user):
		why = "it is the user name"
	default:
		return nil
	}
	return &mirror.Problem{
		Kind: mirror.ErrInvalid, What: "this password cannot be used", Why: why,
		Do: fmt.Sprintf("choose one of %d characters or more; a few random words do well", minPasswordRunes),
	}
}

// generatePassword returns 20 random letters and digits in groups of five, none
// of which are easily confused: 98 bits.
func generatePassword() string {
	const alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
	var b strings.Builder
	for i := 0; i < 20; {
		var c [1]byte
		rand.Read(c[:])
		if int(c[0]) >= 256-256%len(alphabet) {
			continue // keeps every character equally likely
		}
		if i > 0 && i%5 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(alphabet[int(c[0])%len(alphabet)])
		i++
	}
	return b.String()
}
