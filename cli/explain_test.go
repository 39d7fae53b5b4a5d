package cli_test

import (
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
)

type doctorFindings struct {
	Findings []struct {
		Check, Status string
		Problem       *mirror.Problem
	} `json:"findings"`
	Exit int `json:"exit_code"`
}

// What go and git print, word for word, and what it means.
func TestExplain(t *testing.T) {
	rows := []struct{ name, said, check, want string }{
		{"tag missing", "go: git.corp.test/github.com/o/r@v1.99.0: reading git.corp.test/github.com/o/r/go.mod at revision v1.99.0: unknown revision v1.99.0", "modules", "has no tag v1.99.0"},
		{"invalid version", "go: git.corp.test/github.com/o/r@v0.0.0-20200101000000-aaaaaaaaaaaa: invalid version: unknown revision aaaaaaaaaaaa", "modules", "has no commit or tag aaaaaaaaaaaa"},
		{"nested tag missing", "reading git.corp.test/github.com/o/r/cmd/go.mod at revision cmd/v1.0.0: unknown revision cmd/v1.0.0", "modules", "tag cmd/v1.0.0"},
		{"base tag missing", "invalid pseudo-version: preceding tag (v0.1.0) not found", "modules", "tag v0.1.0"},
		{"repository missing", `unrecognized import path "git.corp.test/github.com/o/x": reading https://git.corp.test/github.com/o/x?go-get=1: 404 Not Found`, "modules", "git.corp.test/github.com/o/x is not mirrored"},
		{"wrong go.sum", "verifying git.corp.test/github.com/o/r@v1.0.0: checksum mismatch\n\tdownloaded: h1:AAA=\n\tgo.sum:     h1:BBB=\n\nSECURITY ERROR\nThis download does NOT match an earlier download recorded in go.sum.", "checksums", "downloaded h1:AAA=, go.sum has h1:BBB="},
		{"wrong go.sum of a go.mod", "verifying git.corp.test/github.com/o/r@v1.0.0/go.mod: checksum mismatch\n\tdownloaded: h1:AAA=\n\tgo.sum:     h1:BBB=\n\nSECURITY ERROR", "checksums", "git.corp.test/github.com/o/r@v1.0.0 is not what go.sum promises"},
		{"the checksum database disagrees", "verifying github.com/o/r@v1.0.0: checksum mismatch\n\tdownloaded: h1:AAA=\n\tsum.corp.test: h1:BBB=\n\nSECURITY ERROR\nThis download does NOT match the one reported by the checksum server.", "checksums", "not what the checksum database sum.corp.test knows"},
		{"GOPRIVATE missing", "go: git.corp.test/github.com/o/r@v1.0.0: verifying module: git.corp.test/github.com/o/r@v1.0.0: reading https://proxy.corp.test/sumdb/sum.corp.test/lookup/git.corp.test/github.com/o/r@v1.0.0: 404 Not Found", "env", "a checksum database is asked for git.corp.test/github.com/o/r"},
		{"GOPRIVATE missing, directly", `verifying go.mod: git.corp.test/github.com/o/r@v1.0.0/go.mod: Get "https://sum.corp.test/lookup/git.corp.test/github.com/o/r@v1.0.0": dial tcp: lookup sum.corp.test: no such host`, "env", "a checksum database is asked"},
		{"go.sum line missing", "main.go:3:8: missing go.sum entry for module providing package github.com/o/r (imported by x); to add:\n\tgo get x", "sums", "go.sum lacks a line"},
		{"go.sum line missing for go.mod", "go: github.com/o/r@v1.0.0 (replaced by git.corp.test/r@v1.0.0): missing go.sum entry for go.mod file; to add it:", "sums", "go.sum lacks a line"},
		{"no credentials", "fatal: could not read Username for 'https://git.corp.test': terminal prompts disabled", "sign-in", "git has no credentials for https://git.corp.test"},
		{"no credentials, no terminal", "fatal: could not read Username for 'https://git.corp.test': No such device or address", "sign-in", "git has no credentials"},
		{"discovery 401", `unrecognized import path "git.corp.test/github.com/o/x": reading https://git.corp.test/github.com/o/x?go-get=1: 401 Unauthorized`, "sign-in", "wants a sign-in"},
		{"proxy 401", "reading https://git.corp.test/proxy/github.com/o/x/@v/v1.0.0.mod: 401 Unauthorized", "sign-in", "wants a sign-in"},
		{"ssh key", "git@git.corp.test: Permission denied (publickey).", "ssh", "does not know the SSH key"},
		{"ssh key, several ways", "git@git.corp.test: Permission denied (publickey,password).", "ssh", "does not know the SSH key"},
		{"host key", "Host key verification failed.", "ssh", "host key"},
		{"http mirror", `Get "https://git.corp.test/github.com/o/r?go-get=1": dial tcp 10.0.0.1:443: connect: connection refused`, "reach", "nothing listens at 10.0.0.1:443"},
		{"http mirror on 443", `Get "https://git.corp.test/x?go-get=1": tls: first record does not look like a TLS handshake`, "scheme", "speaks http where https is expected"},
		{"unknown authority, go", `Get "https://git.corp.test/x?go-get=1": tls: failed to verify certificate: x509: certificate signed by unknown authority`, "trust", "the go command does not trust"},
		{"unknown authority, git", "fatal: unable to access 'https://git.corp.test/x/': server certificate verification failed. CAfile: none CRLfile: none", "trust", "git does not trust"},
		{"unknown authority, git with OpenSSL", "fatal: unable to access 'https://git.corp.test/x/': SSL certificate problem: unable to get local issuer certificate", "trust", "git does not trust"},
		{"expired", `tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2030-01-01T00:00:00Z is after 2026-01-01T00:00:00Z`, "trust", "has expired"},
		{"another host", `tls: failed to verify certificate: x509: certificate is valid for a.corp.test, not git.corp.test`, "trust", "for another host"},
		{".git", "main.go:3:8: no secure protocol found for repository", "modules", "the go command hides why"},
		{"sign-in page", "parse https://git.corp.test/x?go-get=1: no go-import meta tags ()", "sso", "a sign-in page"},
		{"no git", `unable to resolve git version: exec: "git": executable file not found in $PATH`, "git", "there is no git"},
		{"DNS", `Get "https://git.corp.test/x?go-get=1": dial tcp: lookup git.corp.test on 10.0.0.2:53: no such host`, "dns", "git.corp.test does not lead to an address"},
		{"DNS, git", "fatal: unable to access 'https://git.corp.test/x/': Could not resolve host: git.corp.test", "dns", "git.corp.test does not lead to an address"},
		{"DNS, ssh", "ssh: Could not resolve hostname git.corp.test: Name or service not known", "dns", "git.corp.test does not lead to an address"},
		{"vendor", "go: inconsistent vendoring in /src/x:\n\tgithub.com/o/r@v1.0.0: is replaced in go.mod, but not marked as replaced in vendor/modules.txt", "vendor", "vendor/modules.txt of /src/x"},
		{"sealed", "go: github.com/o/r@v1.0.0: module lookup disabled by GOPROXY=off", "sealed", "github.com/o/r@v1.0.0 does not come from the mirror"},
		{"GOVCS", "go: GOVCS disallows using git for private git.corp.test/github.com/o/r.git; see 'go help vcs'", "settings", "use git for git.corp.test/github.com/o/r.git"},
		{"proxy", `Get "https://git.corp.test/x": proxyconnect tcp: dial tcp 10.0.0.9:3128: connect: connection refused`, "proxy", "the proxy does not lead to the mirror"},
		{"proxy, git", "fatal: unable to access 'https://git.corp.test/x/': Received HTTP code 403 from proxy after CONNECT", "proxy", "the proxy does not lead"},
		{"go too old", "go: git.corp.test/o/r@v1.0.0 requires go >= 1.99 (running go 1.26.8; GOTOOLCHAIN=local)", "go", "needs Go 1.99, and this is Go 1.26.8"},
		{"no toolchain", "go: download go1.99.1 for linux/amd64: toolchain not available", "go", "the toolchain go1.99.1 cannot be fetched"},
		{"a port in a path", `malformed module path "git.corp.test:8443/github.com/o/r": invalid char ':'`, "rewrite", "holds a port"},
		{"a major in a path", "go: git.corp.test/yaml.v3@v3.0.1: invalid version: should be v0 or v1, not v3", "rewrite", "has not the major version"},
		{"one for two", "go: git.corp.test/r@v1.0.0 used for two different module paths (a.test/x and b.test/y)", "rewrite", "a.test/x and b.test/y"},
		{"another module", "go: git.corp.test/r@v1.0.0: parsing go.mod:\n\tmodule declares its path as: a.test/x\n\t        but was required as: b.test/y", "rewrite", "the replacement of b.test/y is the repository of a.test/x"},
		{"workspace", "go: conflicting replacements for github.com/o/r@v1.0.0:", "rewrite", "replace github.com/o/r@v1.0.0"},
		{"slow", `Get "https://git.corp.test/x": net/http: TLS handshake timeout`, "reach", "in time"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			got := runIn(t, nil, "go: downloading x v1.0.0\n"+r.said+"\n", "doctor", "--explain", "-", "--json")
			doc := decode[doctorFindings](t, got.out)
			if got.code != 0 || len(doc.Findings) != 1 {
				t.Fatalf("doctor --explain = %+v, want one finding", got)
			}
			f := doc.Findings[0]
			if f.Check != r.check || f.Status != "failed" || !strings.Contains(f.Problem.Error(), r.want) || f.Problem.Do == "" || strings.Contains(f.Problem.Error()+f.Problem.Do, "$1") {
				t.Errorf("doctor --explain = %s: %v, do %q, want %s: … %s", f.Check, f.Problem, f.Problem.Do, r.check, r.want)
			}
		})
	}
}

// Whatever is put in, it is read to an end and printed without control characters.
func TestExplainHostile(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "binary": "\x00\xff\xfe", "a long line": strings.Repeat("x", 1<<16), "many lines": strings.Repeat("unknown revision v1\n", 2000),
		"controls": "go: \x1b[2J\u009b@v1: module lookup disabled by GOPROXY=off",
	} {
		got := runIn(t, nil, text, "doctor", "--explain", "-")
		if got.code != 0 && got.code != 5 || strings.ContainsAny(got.out+got.stderr, "\x1b\u009b") {
			t.Errorf("doctor --explain of %s = exit %d, want 0 or 5 and nothing that steers a terminal", name, got.code)
		}
	}
}
