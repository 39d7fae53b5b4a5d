package gitserver

import (
	"strings"
	"testing"
)

// The grammar has no exported door of its own: SSH sessions would cost a
// connection for every row and the fuzzer a server.
func TestParseCommand(t *testing.T) {
	for raw, want := range map[string]string{
		`git-upload-pack '/github.com/o/r'`:                         "upload-pack /github.com/o/r",
		`git-upload-pack 'github.com/o/r.git'`:                      "upload-pack github.com/o/r.git",
		`git upload-pack '/github.com/o/r'`:                         "upload-pack /github.com/o/r",
		`git-receive-pack '/github.com/o/r'`:                        "receive-pack /github.com/o/r",
		`git receive-pack '/github.com/o/r'`:                        "receive-pack /github.com/o/r",
		`git-upload-pack '/a/it'\''s'`:                              "upload-pack /a/it's",
		`git-upload-pack '/a/b'\!'c'`:                               "upload-pack /a/b!c",
		`git-upload-pack ''\'''`:                                    "upload-pack '",
		`git-upload-pack ''`:                                        "upload-pack ",
		`git-upload-pack '$(id)'`:                                   "upload-pack $(id)", // a path like any other; no shell sees it
		`git-upload-pack '~/x'`:                                     "upload-pack ~/x",
		``:                                                          "",
		` `:                                                         "",
		`git-upload-pack`:                                           "",
		`git-upload-pack `:                                          "",
		`git-upload-pack /github.com/o/r`:                           "",
		`git-upload-pack "/github.com/o/r"`:                         "",
		`git-upload-pack  '/github.com/o/r'`:                        "",
		`git-upload-pack '/github.com/o/r' `:                        "",
		`git-upload-pack '/github.com/o/r`:                          "",
		`git-upload-pack '/a' '/b'`:                                 "",
		`git-upload-pack '/a'; id`:                                  "",
		`git-upload-pack '/a'$(id)`:                                 "",
		"git-upload-pack '/a'`id`":                                  "",
		"git-upload-pack '/a'\n":                                    "",
		`git-upload-pack '/a'\'`:                                    "",
		`git-upload-pack '/a'\x'b'`:                                 "",
		`git-upload-pack --help`:                                    "",
		`git-upload-pack --strict '/a'`:                             "",
		`git --exec-path=/tmp upload-pack '/a'`:                     "",
		`git-upload-archive '/github.com/o/r'`:                      "",
		`git-lfs-authenticate '/a' upload`:                          "",
		`git-lfs-transfer '/a' download`:                            "",
		`/usr/bin/git-upload-pack '/a'`:                             "",
		`GIT-UPLOAD-PACK '/a'`:                                      "",
		`scp -f /etc/passwd`:                                        "",
		`bash`:                                                      "",
		`sh -c 'git-upload-pack /a'`:                                "",
		`git-upload-pack '` + strings.Repeat("a", maxCommand) + `'`: "",
	} {
		service, path, err := parseCommand(raw)
		got := ""
		if err == nil {
			got = service + " " + path
		}
		if got != want {
			t.Errorf("parseCommand(%.60q) = %q, %v, want %q", raw, got, err, want)
		}
	}
}

// What git is told of the protocol is what we understood of it ourselves.
func TestProtocolOf(t *testing.T) {
	for value, want := range map[string]string{
		"version=2": "version=2", "version=1": "version=1", "version=0": "version=0", "version=2:side=x": "version=2",
		"version=1:version=2": "version=2", "version=2:version=1": "version=2", "version=0:version=3": "version=0",
		"": "", "version=3": "", "2": "", "version=2:": "", "VERSION=2": "", "version=2\n": "", "side=x:version=2": "",
		"version=2:a;b": "", "version=2 ": "", "version=2:" + strings.Repeat("a", 64): "",
	} {
		if got := protocolOf(value); got != want {
			t.Errorf("protocolOf(%q) = %q, want %q", value, got, want)
		}
	}
}

func FuzzParseCommand(f *testing.F) {
	f.Add(`git-upload-pack '/github.com/o/r'`)
	f.Add(`git upload-pack '/a'\''b'\!'c'`)
	f.Add(`git-upload-pack '/a'; id`)
	f.Fuzz(func(t *testing.T, raw string) {
		service, path, err := parseCommand(raw)
		if err != nil {
			return
		}
		// Whatever is accepted is what git's own quoting makes of the path.
		quoted := "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(path) + "'"
		plain := "'" + strings.ReplaceAll(path, "'", `'\''`) + "'" // a bare ! is as good
		for _, prefix := range []string{"git-", "git "} {
			if raw == prefix+service+" "+quoted || raw == prefix+service+" "+plain {
				return
			}
		}
		if strings.Count(path, "!") < 2 { // only some of several ! escaped: odd, and harmless
			t.Errorf("parseCommand(%q) = %q, %q, which git would not have written so", raw, service, path)
		}
	})
}
