// Package auth says who somebody is and what they may do: users, passwords, SSH
// keys, API tokens, roles. Deny is the zero value of everything here.
//
// It is the one place for password and token hashing. It knows no HTTP, no SSH
// session and no database; edges hand it credentials and get an [Identity].
package auth
