// Package auth says who somebody is and what they may do: users, groups,
// passwords, second factors, SSH keys, API tokens, sign-in providers, trusted CI
// jobs, roles. Deny is the zero value of everything here.
//
// It is the one place for password and token hashing. It serves nothing and knows
// no database; edges hand it credentials and get an [Identity]. OIDC and CI ask
// providers for their keys over HTTP.
package auth
