// Package faultproxy is a bad road for tests: a proxy in front of an upstream
// that delays, throttles, cuts, damages or replaces what passes, as a script
// says. It knows nothing of git.
//
//	road := faultproxy.New(t, up.Base())
//	mend := road.Add(faultproxy.Toxic{Kind: faultproxy.Reset, Bytes: 4096, Match: faultproxy.Match{Path: "git-upload-pack"}})
//	… mirror road.URL(), look at what happens …
//	mend()
//
// In front of an http URL it speaks HTTP: toxics choose requests by path and
// method, and byte positions count the body of an answer. With Options.TLS it
// also ends TLS, with a certificate of the test's own authority that may be
// expired or another host's. In front of an address ("127.0.0.1:5432") it knows
// only connections and their bytes: any protocol, TLS and databases included.
//
// Everything random comes from Options.Seed. What passed, and what was done to
// it, is in Transcript.
package faultproxy
