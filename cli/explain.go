package cli

import (
	"regexp"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

// Codes of the catalogue for what "doctor" finds.
const (
	codeGoClient mirror.Code = "E4108" // the go command or git of this machine
	codeGoBuild  mirror.Code = "E4113" // what the go command stopped at
)

// said is one sentence of the go command or git and what it means.
type said struct {
	check   string // the check of "doctor" that looks for the same
	pattern string // of package regexp, with (?m)
	explain func(m []string) *mirror.Problem
}

// because makes a problem of fixed words; $1… are the groups of the pattern.
func because(code mirror.Code, kind mirror.Kind, what, why, do string) func([]string) *mirror.Problem {
	return func(m []string) *mirror.Problem {
		fill := func(s string) string {
			for i, group := range m {
				s = strings.ReplaceAll(s, "$"+string(rune('0'+i)), group)
			}
			return s
		}
		return &mirror.Problem{Code: code, Kind: kind, What: fill(what), Why: fill(why), Do: fill(do)}
	}
}

// sentences are what go and git say when a build does not get its modules
// (LAWS §9), the most telling first: what follows from another stands below it.
func sentences() []said {
	const host = `([A-Za-z0-9.-]+(?::\d+)?)`
	return []said{
		{"checksums", `verifying (\S+?)(?:/go\.mod)?: checksum mismatch\s+downloaded: +(\S+)\s+(\S+): +(h1:\S+)\s+SECURITY ERROR\s+This download does NOT match the one reported by the checksum server`,
			because(rewrite.CodeSum, mirror.ErrIntegrity, "$1 is not what the checksum database $3 knows", "downloaded $2, published $4",
				"do not use it. A tag that was moved upstream, a mirror that was tampered with, or a git filter of this machine (gitmirror doctor names those) does this; ask whoever runs the mirror")},
		{"checksums", `verifying (\S+?)(?:/go\.mod)?: checksum mismatch\s+downloaded: +(\S+)\s+go\.sum: +(h1:\S+)`,
			because(rewrite.CodeSum, mirror.ErrIntegrity, "$1 is not what go.sum promises", "downloaded $2, go.sum has $3",
				"run: gitmirror rewrite --check. It names the module when go.sum and the mirror disagree; when they agree, the module cache is stale (go clean -modcache) or a git filter of this machine changes files (gitmirror doctor names those)")},
		{"checksums", `checksum mismatch`,
			because(rewrite.CodeSum, mirror.ErrIntegrity, "a checksum is not what was promised", "", "run: gitmirror rewrite --check")},
		{"env", `(?:verifying|reading)[^\n]*/lookup/([^\s:"@]+)`,
			because(rewrite.CodeSettings, "", "a checksum database is asked for $1, which knows nothing of the mirror", "GOPRIVATE (or GONOSUMDB) does not cover it",
				"run: eval \"$(gitmirror env)\", or for good: gitmirror env --write")},
		{"env", `Get "https?://[^"]*/lookup/([^"@]+)`,
			because(rewrite.CodeSettings, "", "a checksum database is asked for $1, which knows nothing of the mirror", "GOPRIVATE (or GONOSUMDB) does not cover it",
				"run: eval \"$(gitmirror env)\", or for good: gitmirror env --write")},
		{"sealed", `(?m)(\S+): module lookup disabled by GOPROXY=off`,
			because(codeGoBuild, "", "$1 does not come from the mirror, and GOPROXY=off forbids to look elsewhere", "it is not replaced, or GOPRIVATE does not cover the mirror",
				"run: gitmirror rewrite --check (it says what is not mirrored), and gitmirror env")},
		{"vendor", `inconsistent vendoring in (\S+)`,
			because(codeGoBuild, "", "vendor/modules.txt of $1 does not list the replacements of go.mod", "the go command compares them",
				"run: gitmirror rewrite (it edits modules.txt), or go mod vendor")},
		{"sums", `missing go\.sum entry for (?:module providing package|go\.mod file)[^\n]*`,
			because(codeGoBuild, "", "go.sum lacks a line for a replacement", "$0", "run: gitmirror rewrite; it writes the lines, proven by what go.sum had before")},
		{"modules", `reading (\S+?)/go\.mod at revision (\S+/v\S+): unknown revision`,
			because(codeGoBuild, mirror.ErrNotFound, "the mirror has no tag $2 of $1", "a module in a subdirectory has tags that begin with its name",
				"run: gitmirror mirror sync --wait with the repository's path; if upstream has no such tag, no such version was released")},
		{"modules", `reading (\S+?)/go\.mod at revision (\S+): unknown revision`,
			because(codeGoBuild, mirror.ErrNotFound, "the mirror has no tag $2 of $1", "",
				"run: gitmirror mirror sync --wait with the repository's path; if the tag was deleted upstream: gitmirror mirror kept")},
		{"modules", `(\S+): invalid version: unknown revision (\S+)`,
			because(codeGoBuild, mirror.ErrNotFound, "the mirror has no commit or tag $2 of $1", "or no branch or tag leads to that commit",
				"run: gitmirror mirror sync --wait with the repository's path; if it was deleted upstream: gitmirror mirror kept")},
		{"modules", `preceding tag \((\S+)\) not found`,
			because(codeGoBuild, mirror.ErrNotFound, "the mirror has not the tag $1, on which a pseudo-version is based", "", "run: gitmirror mirror sync --wait with the repository's path")},
		{"modules", `unrecognized import path "([^"]+)":[^\n]*\?go-get=1: 404 Not Found`,
			because(codeGoBuild, mirror.ErrNotFound, "$1 is not mirrored", "", "run: gitmirror mirror add --wait with the path of its repository")},
		{"sign-in", `(?:unrecognized import path "([^"]+)":[^\n]*|https?://\S+: )40[13] (?:Unauthorized|Forbidden)`,
			because(codeGoBuild, mirror.ErrSignIn, "the mirror wants a sign-in from the go command", "it reads ~/.netrc (or $NETRC, or what GOAUTH names), not git's credential helpers",
				"run: gitmirror login URL --netrc; it writes an entry that go and git both read")},
		{"modules", `repository '?([^'\s]+)'? not found`,
			because(codeGoBuild, mirror.ErrNotFound, "$1 is not mirrored", "", "run: gitmirror mirror add --wait with the path of its repository")},
		{"sign-in", `could not read (?:Username|Password) for '([^']+)'`,
			because(codeGoBuild, mirror.ErrSignIn, "git has no credentials for $1, or wrong ones, or there is no such mirror", "the mirror answers all three with a question for a sign-in",
				"run: gitmirror login URL --netrc; if that is done, see whether it is mirrored: gitmirror mirror show")},
		{"sign-in", `Authentication failed for '([^']+)'`,
			because(codeGoBuild, mirror.ErrSignIn, "the mirror does not accept git's credentials for $1", "", "run: gitmirror login URL --netrc")},
		{"ssh", `Permission denied \([^)]*publickey[^)]*\)`,
			because(codeGoBuild, mirror.ErrSignIn, "the mirror does not know the SSH key that was offered", "$0", "run: gitmirror key add NAME ~/.ssh/id_ed25519.pub; see what is offered: ssh -v git@HOST")},
		{"ssh", `Host key verification failed`,
			because(codeGoBuild, mirror.ErrUpstream, "ssh does not know the host key of the mirror, or knows another", "$0",
				"compare the key with what the console shows, then let known_hosts have it: ssh-keyscan -p PORT HOST >> ~/.ssh/known_hosts")},
		{"trust", `(?:Failed to parse|failed to verify certificate|x509): [^\n]*certificate (?:has expired|is not yet valid)[^\n]*|(?:SSL certificate problem|server certificate verification failed)[^\n]*expired`,
			because(mirror.CodeTLS, mirror.ErrUpstream, "the certificate of the mirror has expired, or the clock here is wrong", "$0", "renew the certificate; check the clock with: date")},
		{"trust", `x509: certificate is (?:valid for|not valid for any)[^\n]*`,
			because(mirror.CodeTLS, mirror.ErrUpstream, "the certificate is for another host", "$0", "use the host name of the certificate in public_url, or have one made for this name")},
		{"trust", `x509: certificate signed by unknown authority`,
			because(mirror.CodeTLS, mirror.ErrUpstream, "the go command does not trust the authority of the mirror's certificate", "$0",
				"let the system trust it, or set SSL_CERT_FILE to a file with it; git has a trust of its own (gitmirror env then offers http.sslCAInfo)")},
		{"trust", `(?:server certificate verification failed|SSL certificate problem|unable to get local issuer certificate)[^\n]*`,
			because(mirror.CodeTLS, mirror.ErrUpstream, "git does not trust the authority of the mirror's certificate", "$0; git does not read SSL_CERT_FILE",
				"let the system trust it, or run: git config --global http.https://HOST/.sslCAInfo FILE (gitmirror env does it where SSL_CERT_FILE is set)")},
		{"scheme", `first record does not look like a TLS handshake|server gave HTTP response to HTTPS client|wrong version number|An unexpected TLS packet was received|gnutls_handshake\(\) failed: [^\n]*`,
			because(mirror.CodeTLS, mirror.ErrUpstream, "the mirror speaks http where https is expected", "$0",
				"rewrite with --form dotgit and run gitmirror env: git's insteadOf leads to http. GOINSECURE is only for the discovery form")},
		{"proxy", `proxyconnect tcp: [^\n]*|Received HTTP code \d+ from proxy[^\n]*|CONNECT tunnel failed[^\n]*|Proxy Authentication Required|Could not resolve proxy[^\n]*`,
			because(mirror.CodeConnect, mirror.ErrUpstream, "the proxy does not lead to the mirror", "$0", "add the mirror's host to NO_PROXY and no_proxy, or mend HTTPS_PROXY")},
		{"dns", `dial tcp: lookup ` + host + `[^\n]*`,
			because(mirror.CodeDNS, mirror.ErrUpstream, "the name $1 does not lead to an address", "$0", "check the name, and that this machine asks the right DNS server (VPN?)")},
		{"dns", `Could not resolve host(?:name)?:? ` + host,
			because(mirror.CodeDNS, mirror.ErrUpstream, "the name $1 does not lead to an address", "", "check the name, and that this machine asks the right DNS server (VPN?)")},
		{"reach", `dial tcp ([^\s]+:443): connect: connection refused|Failed to connect to ([^\s]+) port 443`,
			because(mirror.CodeConnect, mirror.ErrUpstream, "nothing listens at $1$2 for https", "the server is down, or it is on another port or speaks http, and the settings that say so are missing",
				"see whether it runs; run: eval \"$(gitmirror env)\", and rewrite with --form dotgit if the replacements have no .git")},
		{"reach", `dial tcp ([^\s]+): connect: (?:connection refused|no route to host|network is unreachable)|Failed to connect to ([^\n:]+)|connect to host (\S+ port \d+): [^\n]*`,
			because(mirror.CodeConnect, mirror.ErrUpstream, "nothing answers at $1$2$3", "", "see whether the server runs (gitmirror serve), and what is in between")},
		{"reach", `i/o timeout|TLS handshake timeout|Client\.Timeout exceeded|context deadline exceeded|(?:Connection|Operation) timed out`,
			because(mirror.CodeStalled, mirror.ErrUpstream, "the mirror does not answer in time", "$0", "try again; check the network between here and the server")},
		{"sso", `no go-import meta tags|(?:expected|did not find) go-import`,
			because(mirror.CodeNotGit, mirror.ErrUpstream, "a page came that is not the mirror's: a sign-in page, or that of a proxy", "it has no go-import tag",
				"let the paths of repositories pass whatever stands in front of the mirror without a sign-in of its own; open the URL with ?go-get=1 in curl to see the page")},
		{"git", `exec: "git": executable file not found in|missing Git command`,
			because(codeGoClient, mirror.ErrNotFound, "there is no git, and the replacements are fetched by git", "",
				"install git 2.39 or newer; or serve the mirror at https://HOST/ on port 443, where the go command needs none")},
		{"settings", `GOVCS disallows using (\S+) for (?:public |private )?([^\s;]+)`,
			because(rewrite.CodeSettings, "", "GOVCS does not let the go command use $1 for $2", "", "set GOVCS=HOST:git,… with the mirror's host in front (gitmirror env says how)")},
		{"go", `(\S+) requires go >= (\S+) \(running go (\S+?)[;)]`,
			because(codeGoClient, "", "$1 needs Go $2, and this is Go $3", "with GOTOOLCHAIN=local or GOPROXY=off no other one is fetched", "install Go $2 or newer")},
		{"go", `(?:download (\S+) for \S+: )?toolchain not available`,
			because(codeGoClient, "", "the toolchain $1 cannot be fetched", "the mirror and GOPROXY=off offer no toolchains", "install it, or set GOTOOLCHAIN=local and use what is installed")},
		{"settings", `parsing \$GOFLAGS: [^\n]*|flag provided but not defined: (-\S+)`,
			because(rewrite.CodeSettings, "", "GOFLAGS holds what is no flag of the go command", "$0", "take it out of GOFLAGS: go env -u GOFLAGS, and unset it in the environment")},
		{"rewrite", `updates to go\.mod needed[^\n]*`,
			because(codeGoBuild, "", "go.mod is not as the go command wants it", "$0", "run: gitmirror rewrite, or go mod tidy and then gitmirror rewrite")},
		{"rewrite", `malformed module path "([^"]+)": invalid char ':'`,
			because(rewrite.CodeAddress, "", "$1 holds a port, which no module path may", "", "run: gitmirror rewrite; it leaves the port to a git setting")},
		{"rewrite", `(\S+): invalid version: should be (v\d+(?: or v\d+)?), not v\d+`,
			because(codeGoBuild, "", "the replacement $1 has not the major version of its path", "", "run: gitmirror rewrite; it knows the form")},
		{"rewrite", `used for two different module paths \((\S+) and (\S+)\)`,
			because(codeGoBuild, "", "$1 and $2 are replaced by the same module path", "", "run: gitmirror rewrite; it writes one of them with .git")},
		{"rewrite", `module declares its path as: (\S+)\s+but was required as: (\S+)`,
			because(codeGoBuild, "", "the replacement of $2 is the repository of $1", "", "run: gitmirror rewrite, and see with gitmirror alias list where $2 leads to")},
		{"rewrite", `conflicting replacements for (\S+):`,
			because(codeGoBuild, "", "two go.mod of the workspace replace $1 by different paths", "", "run: gitmirror rewrite in the directory of go.work")},
	}
}

// explainText finds what the go command or git complained of in what it said.
// Each cause is named once.
func explainText(text string) []finding {
	var found []finding
	text = shortLines(text)
	known := map[string]bool{}
	var covered [][2]int // by sentences that matched: what stands below them in the table says less
	for _, s := range sentences() {
		re := regexp.MustCompile(s.pattern)
		for _, at := range re.FindAllStringSubmatchIndex(text, 200) {
			if overlaps(covered, at[0], at[1]) {
				continue
			}
			covered = append(covered, lineOf(text, at[0], at[1]))
			m := make([]string, 0, 4)
			for i := 0; i+1 < len(at); i += 2 {
				group := ""
				if at[i] >= 0 {
					group = text[at[i]:at[i+1]]
				}
				m = append(m, strings.TrimSpace(group))
			}
			p := s.explain(m)
			if known[p.Error()] {
				continue
			}
			known[p.Error()] = true
			found = append(found, finding{Check: s.check, Status: "failed", Problem: p})
		}
	}
	// What the go command says of every path with .git hides the cause: it is of
	// use only when nothing else was said.
	if len(found) == 0 && strings.Contains(text, "no secure protocol found for repository") {
		found = append(found, finding{Check: "modules", Status: "failed", Problem: &mirror.Problem{
			Code: codeGoBuild, Kind: mirror.ErrUpstream, What: "git did not get at a repository, and the go command hides why", Why: "it does so for every path with .git",
			Do: "run: gitmirror doctor; it asks git itself",
		}})
	}
	return found
}

// shortLines cuts what no sentence is as long as.
func shortLines(text string) string {
	const most = 4 << 10
	var b strings.Builder
	for line := range strings.Lines(text) {
		if len(line) > most {
			line = line[:most] + "\n"
		}
		b.WriteString(line)
	}
	return b.String()
}

func overlaps(covered [][2]int, from, to int) bool {
	for _, c := range covered {
		if from < c[1] && c[0] < to {
			return true
		}
	}
	return false
}

// lineOf widens a match to whole lines.
func lineOf(text string, from, to int) [2]int {
	if i := strings.LastIndexByte(text[:from], '\n'); i >= 0 {
		from = i + 1
	} else {
		from = 0
	}
	if i := strings.IndexByte(text[to:], '\n'); i >= 0 {
		to += i
	} else {
		to = len(text)
	}
	return [2]int{from, to}
}

// explainSaid is the first cause in what a tool said, or the text itself.
func explainSaid(text string, what string) *mirror.Problem {
	if found := explainText(text); len(found) > 0 {
		p := found[0].Problem
		p.Raw = text
		return p
	}
	return &mirror.Problem{Code: codeGoBuild, Kind: mirror.ErrUpstream, What: what, Why: strings.TrimSpace(text), Do: "look into the server's log"}
}
