package cli

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
)

// setting declares one key: flags, environment names, help and "config show"
// are all made from this table.
type setting struct {
	Key     string
	Kind    kind
	Default string // in text; empty = see Help
	Help    string
	Secret  bool // masked wherever it is shown
}

// kind is the type of a setting's value: it checks a text and says in words
// what is wrong with it.
type kind struct {
	Name  string
	check func(text string) (why string)
}

var settings = []setting{
	{Key: "data", Kind: textKind, Default: "./gitmirror-data", Help: "directory of everything the server keeps"},
	{Key: "public_url", Kind: urlKind, Help: "how clients reach the server (default: http://<http.addr>); its host begins replacement module paths"},
	{Key: "http.addr", Kind: addrKind, Default: "127.0.0.1:8080", Help: "host:port of console, API, git over HTTP and module proxy; \"off\" disables them"},
	{Key: "http.hosts", Kind: hostsKind, Help: "host names the server answers for over HTTP besides that of public_url, names without a dot and addresses, with commas between: git.corp.example,*.lab.example; * = every name, as when public_url is not set either"},
	{Key: "ssh.addr", Kind: addrKind, Default: "127.0.0.1:2222", Help: "host:port of git over SSH; \"off\" disables it"},
	{Key: "ssh.connections", Kind: manyKind, Default: "1024", Help: "signed-in SSH connections that one address (IPv6: a /64), and one key, may hold at a time"},
	{Key: "tls.mode", Kind: oneOf("off", "files", "acme"), Default: "off", Help: "off, files (tls.cert and tls.key, read again when they change) or acme"},
	{Key: "tls.cert", Kind: textKind, Help: "file with the certificate chain in PEM, for tls.mode files"},
	{Key: "tls.key", Kind: textKind, Help: "file with the private key in PEM, for tls.mode files"},
	{Key: "tls.acme_directory", Kind: urlKind, Help: "directory URL of the ACME server, for tls.mode acme (default: the public one)"},
	{Key: "tls.acme_email", Kind: textKind, Help: "address the ACME server may write to"},
	{Key: "database.url", Kind: textKind, Help: "postgres://… (default: SQLite at <data>/gitmirror.db)", Secret: true},
	{Key: "auth.anonymous_read", Kind: boolKind, Default: "true", Help: "let anybody read the mirrors of public upstreams"},
	{Key: "auth.private_read", Kind: oneOf("signed-in", "granted"), Default: "signed-in", Help: "who reads private mirrors that no grant names: whoever is signed in, or administrators only"},
	{Key: "auth.second_factor", Kind: oneOf("optional", "required"), Default: "optional", Help: "whether everybody with a password must have a second factor (one-time codes)"},
	{Key: "auth.oidc.issuer", Kind: urlKind, Help: "URL of an OpenID provider people sign in with; its callback is <public_url>/login/oidc/callback"},
	{Key: "auth.oidc.name", Kind: textKind, Default: "single sign-on", Help: "what the sign-in page calls it"},
	{Key: "auth.oidc.client_id", Kind: textKind, Help: "id of this server at the provider"},
	{Key: "auth.oidc.client_secret", Kind: textKind, Secret: true, Help: "secret of this server at the provider; none for a public client"},
	{Key: "auth.oidc.client_secret_file", Kind: textKind, Help: "file that holds auth.oidc.client_secret, instead of it"},
	{Key: "auth.oidc.scopes", Kind: textKind, Default: "profile,email", Help: "scopes to ask for besides openid, with commas between"},
	{Key: "auth.oidc.domains", Kind: textKind, Help: "domains of verified e-mail addresses that may sign in, with commas between (default: all)"},
	{Key: "auth.oidc.groups_claim", Kind: textKind, Help: "claim that lists groups; members of groups here that have the same names are kept as it says"},
	{Key: "auth.oidc.groups", Kind: textKind, Help: "groups of that claim of which somebody must have one to sign in, with commas between (default: none is needed)"},
	{Key: "auth.oidc.admin_groups", Kind: textKind, Help: "groups of that claim whose members are administrators, and no others who sign in so (default: roles are given here)"},
	{Key: "auth.oidc.create_users", Kind: boolKind, Default: "true", Help: "make an account at the first sign-in of somebody unknown"},
	{Key: "sync.interval_min", Kind: durationKind, Default: "1m", Help: "shortest time between two syncs of a mirror"},
	{Key: "sync.interval_max", Kind: durationKind, Default: "8h", Help: "longest time between two syncs of a mirror"},
	{Key: "sync.workers", Kind: countKind, Default: "8", Help: "syncs that run at the same time"},
	{Key: "sync.checks", Kind: countKind, Default: "64", Help: "scheduled looks for news at upstreams that go on at the same time"},
	{Key: "sync.max_staleness", Kind: waitKind, Default: "0s", Help: "a client waits for a look at the upstream of a mirror that was not looked at for longer; 0s = none waits"},
	{Key: "sync.fresh_wait", Kind: durationKind, Default: "2s", Help: "how long a client waits for that look before it gets what there is"},
	{Key: "sync.timeout", Kind: durationKind, Default: "30m", Help: "longest time one sync may take"},
	{Key: "upkeep.jobs", Kind: countKind, Default: "1", Help: "repositories that are tidied, checked or repaired at the same time"},
	{Key: "upkeep.check_every", Kind: durationKind, Default: "168h", Help: "time between two checks that everything refs lead to is on disk"},
	{Key: "upkeep.verify_every", Kind: durationKind, Default: "720h", Help: "time between two checks that read every object"},
	{Key: "disk.repacks_below", Kind: percentKind, Default: "15", Help: "full repacks wait while less of the disk is free, in percent (and less than 32 GiB)"},
	{Key: "disk.syncs_below", Kind: percentKind, Default: "10", Help: "nothing is fetched while less of the disk is free, in percent (and less than 10 GiB)"},
	{Key: "disk.read_only_below", Kind: percentKind, Default: "5", Help: "nothing is changed while less of the disk is free, in percent (and less than 2 GiB)"},
	{Key: "disk.ballast_mb", Kind: sizeKind, Default: "256", Help: "MiB that are kept in reserve for the database until the disk is nearly full; at most a hundredth of the disk; 0 = none"},
	{Key: "network.proxy", Kind: proxyKind, Secret: true, Help: "proxy for connections to upstreams: http://, https:// or socks5://, perhaps with user and password; it resolves their names and must itself keep clients off private networks (ssh does not use it)"},
	{Key: "network.no_proxy", Kind: textKind, Help: "upstream hosts that are reached without network.proxy: names with their subdomains, addresses or networks, with commas between"},
	{Key: "network.api", Kind: apiKind, Help: "REST APIs of hosts as host=url,… where it is not https://HOST/api/v3; they confirm renames and deletions and list organisations"},
	{Key: "sync.client_wait", Kind: durationKind, Default: "5m", Help: "how long a git client waits for a first clone when it cannot be told how that goes (it is over HTTP with protocol v0, or shallow)"},
	{Key: "serve.cache_bytes", Kind: bytesKind, Default: "4GiB", Help: "space for answers to clones and fetches that are kept for the next client; the least recently used go first; 0 = none is kept"},
	{Key: "serve.cache_age", Kind: durationKind, Default: "168h", Help: "how long such an answer is kept that nobody asks for"},
	{Key: "serve.packs", Kind: limitKind, Default: "0", Help: "packs that git makes at the same time for all clients; 0 = two for each processor, and 8"},
	{Key: "serve.packs_per_repo", Kind: limitKind, Default: "0", Help: "the same for one repository; 0 = three quarters of serve.packs"},
	{Key: "serve.packs_per_client", Kind: limitKind, Default: "0", Help: "the same for one user, or for one address of somebody anonymous; 0 = 8"},
	{Key: "serve.queue_wait", Kind: durationKind, Default: "30s", Help: "how long a client waits for its turn before it is told to come back later"},
	{Key: "modules.proxies", Kind: textKind, Secret: true, Help: "module proxies the server asks, in the form of GOPROXY (default: the GOPROXY of the server's own go command); off = none"},
	{Key: "modules.sumdb", Kind: sumdbKind, Help: "checksum database that is passed on at /proxy/sumdb/, in the form of GOSUMDB (default: the GOSUMDB of the server's own go command); off = none"},
	{Key: "modules.mode", Kind: oneOf(modeNames()...), Default: string(mirror.PreferMirror), Help: "where modules may come from that no rule says anything else about: mirrors and then proxies, mirrors alone, proxies alone, or (offline) only what is here already"},
	{Key: "modules.missing", Kind: missingKind, Default: modproxy.DefaultMissing, Help: "statuses by which module proxies say that they do not have something; one host may have its own: 403,404;HOST=404,410"},
	{Key: "modules.misses", Kind: sizeKind, Default: "1000", Help: "questions for what does not exist that one user, or address, may cost module proxies and the checksum database at once, and then one a second; 0 = any number"},
	{Key: "modules.cache_bytes", Kind: bytesKind, Default: "20GiB", Help: "space for files of module proxies and for zips that were made of mirrors; from 80 % on the longest unused go; 0 = nothing is kept"},
	{Key: "modules.verify", Kind: oneOf(string(modproxy.VerifyKnown), string(modproxy.VerifyAlways), string(modproxy.VerifyOff)), Default: string(modproxy.VerifyKnown), Help: "what becomes of files of module proxies that the checksum database does not vouch for: when-known passes them on, always does not, off asks nobody; what it contradicts is refused"},
	{Key: "modules.no_sumdb", Kind: textKind, Help: "modules whose names are never told to the checksum database, in the form of GONOSUMDB (default: the GONOSUMDB, or GOPRIVATE, of the server's own go command)"},
	{Key: "modules.ahead", Kind: oneOf("far", "off"), Default: "far", Help: "whether files are fetched that clients are about to ask for: far does so while the module proxy that is asked first takes 20 ms or longer to answer"},
	{Key: "modules.rules", Kind: textKind, Help: "file with rules: which modules and versions are allowed, denied, pinned, and where each may come from; read again when it changes"},
	{Key: "modules.pin_for", Kind: ageKind, Default: "30d", Help: "how long what a project was found to need of module proxies, by gitmirror rewrite or cache warm, is not dropped to make room; 0s = no longer than anything else"},
	{Key: "modules.min_age", Kind: ageKind, Default: "0s", Help: "how old a version must be to be had, such as 7d; 0s = any age"},
	{Key: "modules.osv", Kind: textKind, Help: "database of known vulnerabilities in OSV form, whose versions are refused: a file, a directory, a .zip or .tar.gz, or the URL of one"},
	{Key: "discovery.enabled", Kind: boolKind, Default: "true", Help: "ask the hosts of import paths where their repositories are, and the APIs of hosts what an owner has"},
	{Key: "hooks.github_secret", Kind: textKind, Help: "secret of GitHub's webhooks at /hooks/github, which are off without one", Secret: true},
	{Key: "hooks.github_secret_file", Kind: textKind, Help: "file that holds hooks.github_secret, instead of it"},
	{Key: "security.allow_private_upstreams", Kind: boolKind, Default: "false", Help: "let upstreams be on loopback and private addresses"},
	{Key: "api.rate", Kind: limitKind, Default: "100", Help: "requests a second of one user, or of one address of somebody anonymous, that the API answers for long; ten times as many may come at once; 0 = any number"},
	{Key: "alerts.allow_private", Kind: boolKind, Default: "false", Help: "let alerts go to webhooks and mail servers on loopback and private addresses"},
	{Key: "log.format", Kind: oneOf("text", "json"), Help: "text or json (default: text on a terminal, else json)"},
	{Key: "log.level", Kind: oneOf("debug", "info", "warn", "error"), Default: "info", Help: "debug, info, warn or error"},
}

// flag is the name of a setting on the command line: http.addr → http-addr.
func (s setting) flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.Key) }

// env is the name of a setting in the environment: http.addr → GITMIRROR_HTTP_ADDR.
func (s setting) env() string {
	return envPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(s.Key))
}

// mask hides a value that must not be shown. Of a URL only the password goes.
func (s setting) mask(value string) string {
	if !s.Secret || value == "" {
		return value
	}
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || len(u.Query()) > 0 {
		return "********"
	}
	if _, has := u.User.Password(); !has {
		return value
	}
	user := u.User.Username()
	u.User = nil
	return strings.Replace(u.String(), "://", "://"+url.PathEscape(user)+":********@", 1)
}

func settingOf(key string) (setting, bool) {
	for _, s := range settings {
		if s.Key == key {
			return s, true
		}
	}
	return setting{}, false
}

// nearest is the known key most like key, in letters.
func nearest(key string, known []string) string {
	best, distance := "", len(key)/2+2
	for _, k := range known {
		if d := edits(key, k); d < distance {
			best, distance = k, d
		}
	}
	return best
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	previous := make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := range len(a) {
		diagonal := previous[0]
		previous[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = previous[j+1]
			previous[j+1] = min(cost, previous[j]+1, previous[j+1]+1)
		}
	}
	return previous[len(b)]
}

var (
	textKind = kind{"text", func(string) string { return "" }}

	boolKind = kind{"true or false", func(text string) string {
		if _, ok := parseBool(text); !ok {
			return "write true or false"
		}
		return ""
	}}

	durationKind = kind{"duration", func(text string) string {
		d, err := time.ParseDuration(text)
		switch {
		case err != nil:
			return "write a number with its unit, such as 30s, 10m or 8h"
		case d <= 0:
			return "it must be longer than nothing"
		}
		return ""
	}}

	waitKind = kind{"duration", func(text string) string {
		if d, err := time.ParseDuration(text); err != nil || d < 0 {
			return "write 0s, or a number with its unit, such as 30s or 10m"
		}
		return ""
	}}

	countKind = kind{"number", func(text string) string {
		if n, err := strconv.Atoi(text); err != nil || n < 1 || n > 1000 {
			return "write a whole number from 1 to 1000"
		}
		return ""
	}}

	manyKind = kind{"number", func(text string) string {
		if n, err := strconv.Atoi(text); err != nil || n < 1 || n > 100_000 {
			return "write a whole number from 1 to 100000"
		}
		return ""
	}}

	percentKind = kind{"percentage", func(text string) string {
		if n, err := strconv.Atoi(text); err != nil || n < 0 || n > 90 {
			return "write a whole number from 0 (never) to 90"
		}
		return ""
	}}

	sizeKind = kind{"number", func(text string) string {
		if n, err := strconv.Atoi(text); err != nil || n < 0 || n > 1_000_000 {
			return "write a whole number from 0 to 1000000"
		}
		return ""
	}}

	limitKind = kind{"number", func(text string) string {
		if n, err := strconv.Atoi(text); err != nil || n < 0 || n > 10_000 {
			return "write a whole number from 0 (the default) to 10000"
		}
		return ""
	}}

	bytesKind = kind{"size", func(text string) string {
		if n, err := humanize.ParseBytes(text); err != nil || n > 1<<60 {
			return "write a number with its unit, such as 500MB or 4GiB, or 0"
		}
		return ""
	}}

	addrKind = kind{"address", func(text string) string {
		if text == "off" {
			return ""
		}
		_, port, err := net.SplitHostPort(text)
		if err != nil {
			return "write host:port, such as 127.0.0.1:8080, or off"
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return "its port must be a number from 0 to 65535"
		}
		return ""
	}}

	urlKind = kind{"URL", func(text string) string {
		if text == "" {
			return ""
		}
		u, err := url.Parse(text)
		switch {
		case err != nil, u.Host == "", u.Scheme != "http" && u.Scheme != "https":
			return "write a URL that begins with https:// or http://"
		case u.User != nil, u.RawQuery != "", u.Fragment != "":
			return "leave out user, query and fragment"
		}
		return ""
	}}
)

// hostsKind is a list of host names.
var hostsKind = kind{"host names", func(text string) string {
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimPrefix(strings.TrimSpace(name), "*.")
		if name != "" && name != "*" && strings.ContainsAny(name, "/:*@ ") {
			return "write names without scheme, port or path: git.corp.example,*.lab.example"
		}
	}
	return ""
}}

// proxyKind is the URL of a proxy.
var proxyKind = kind{"proxy URL", func(text string) string {
	if _, err := git.ParseProxy(text); err != nil {
		return mirror.AsProblem(err).Why
	}
	return ""
}}

// sumdbKind is a GOSUMDB.
var sumdbKind = kind{"checksum database", func(text string) string {
	if _, err := mirror.ParseSumDB(text); err != nil {
		return mirror.AsProblem(err).Why
	}
	return ""
}}

// missingKind is a list of statuses.
var missingKind = kind{"statuses", func(text string) string {
	if _, _, err := modproxy.ParseMissing(text); err != nil {
		return mirror.AsProblem(err).Why
	}
	return ""
}}

// ageKind is a duration that may be in days.
var ageKind = kind{"duration", func(text string) string {
	if _, ok := modproxy.ParseAge(text); !ok {
		return "write 0s, or a number with its unit, such as 12h or 7d"
	}
	return ""
}}

func modeNames() (names []string) {
	for _, m := range mirror.ModuleModes() {
		names = append(names, string(m))
	}
	return names
}

// apiKind is a list of host=url.
var apiKind = kind{"host=url,…", func(text string) string {
	_, why := apiURLs(text)
	return why
}}

// apiURLs reads a list of host=url.
func apiURLs(text string) (urls map[string]string, why string) {
	urls = map[string]string{}
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		host, base, ok := strings.Cut(entry, "=")
		if !ok || host == "" || base == "" {
			return nil, "write host=url, such as git.corp.example=https://git.corp.example/api/v3"
		}
		if why := urlKind.check(base); why != "" {
			return nil, why
		}
		urls[strings.ToLower(host)] = strings.TrimSuffix(base, "/")
	}
	return urls, ""
}

func oneOf(values ...string) kind {
	return kind{strings.Join(values, ", "), func(text string) string {
		for _, v := range values {
			if v == text {
				return ""
			}
		}
		return "write one of " + strings.Join(values, ", ")
	}}
}

func parseBool(text string) (value, ok bool) {
	switch strings.ToLower(text) {
	case "true", "yes", "on", "1":
		return true, true
	case "false", "no", "off", "0":
		return false, true
	}
	return false, false
}

// Config is the effective settings, typed.
type Config struct {
	values map[string]value
}

// value is the text of a setting and where it is from.
type value struct {
	Text   string
	Origin string // "default", "file PATH", "environment NAME" or "flag --name"
}

func (c Config) text(key string) string {
	v, ok := c.values[key]
	if !ok {
		panic("setting " + key + " is not declared")
	}
	return v.Text
}

func (c Config) bool(key string) bool {
	b, _ := parseBool(c.text(key))
	return b
}

func (c Config) duration(key string) time.Duration {
	d, _ := time.ParseDuration(c.text(key))
	return d
}

func (c Config) count(key string) int {
	n, _ := strconv.Atoi(c.text(key))
	return n
}

func (c Config) bytes(key string) int64 {
	n, _ := humanize.ParseBytes(c.text(key))
	return int64(n)
}

// apis is network.api.
func (c Config) apis() map[string]string {
	urls, _ := apiURLs(c.text("network.api"))
	return urls
}

// data is the absolute path of the data directory.
func (c Config) data() string {
	dir, err := filepath.Abs(c.text("data"))
	if err != nil {
		return c.text("data")
	}
	return dir
}

// hookSecret is what GitHub signs its webhooks with; empty = they are off.
func (c Config) hookSecret() (mirror.Secret, error) {
	name := c.text("hooks.github_secret_file")
	if name == "" {
		return mirror.Secret(c.text("hooks.github_secret")), nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return "", startProblem("the secret of webhooks cannot be read", err, "set hooks.github_secret_file to a file this user may read")
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" {
		return "", configProblem("the file of hooks.github_secret_file is empty", "", "write the secret into it, or unset the setting")
	}
	return mirror.Secret(secret), nil
}

// database is the URL the store opens.
func (c Config) database() string {
	if u := c.text("database.url"); u != "" {
		return u
	}
	return "sqlite://" + filepath.ToSlash(filepath.Join(c.data(), "gitmirror.db"))
}

// check tells what settings contradict each other.
func (c Config) check() error {
	switch {
	case c.text("http.addr") == "off" && c.text("ssh.addr") == "off":
		return configProblem("http.addr and ssh.addr are both off", "the server would serve nobody", "turn one of them on")
	case c.duration("sync.interval_min") > c.duration("sync.interval_max"):
		return configProblem(fmt.Sprintf("sync.interval_min (%s) is longer than sync.interval_max (%s)",
			c.text("sync.interval_min"), c.text("sync.interval_max")), "", "swap them")
	case c.text("hooks.github_secret") != "" && c.text("hooks.github_secret_file") != "":
		return configProblem("hooks.github_secret and hooks.github_secret_file are both set", "", "set one of them")
	case c.text("auth.oidc.issuer") != "" && c.text("auth.oidc.client_id") == "":
		return configProblem("auth.oidc.issuer is set, and auth.oidc.client_id is not", "", "set both, as the provider has them")
	case c.text("auth.oidc.client_secret") != "" && c.text("auth.oidc.client_secret_file") != "":
		return configProblem("auth.oidc.client_secret and auth.oidc.client_secret_file are both set", "", "set one of them")
	case c.text("auth.oidc.groups_claim") == "" && c.text("auth.oidc.groups")+c.text("auth.oidc.admin_groups") != "":
		return configProblem("groups of the provider are named, and auth.oidc.groups_claim is not set", "", "set it to the claim that lists them, often groups")
	case c.text("tls.mode") == "files" && (c.text("tls.cert") == "" || c.text("tls.key") == ""):
		return configProblem("tls.mode is files, and tls.cert or tls.key is not set", "", "set both to the paths of PEM files")
	case c.text("tls.mode") == "acme" && c.text("public_url") == "":
		return configProblem("tls.mode is acme, and public_url is not set", "a certificate is for a host name", "set public_url to https://NAME")
	case c.text("tls.mode") != "off" && strings.HasPrefix(c.text("public_url"), "http://"):
		return configProblem("tls.mode is "+c.text("tls.mode")+", and public_url begins with http://", "", "let public_url begin with https://")
	}
	return nil
}
