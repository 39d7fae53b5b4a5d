package main_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

// upstreamCommand is "upstream", of the first host or of the second.
func (w *world) upstreamCommand(ts *testscript.TestScript, neg bool, args []string) {
	host, variable := &w.upstream, "UPSTREAM"
	if len(args) > 0 && args[0] == "second" {
		host, variable, args = &w.second, "SECOND", args[1:]
	}
	if neg || len(args) == 0 {
		ts.Fatalf("usage: upstream [second] start | commit REPO DIR [TAG…] | modules PATH@VERSION… | move REPO TAG REV | branch REPO REV NAME… | delete REPO REF | private REPO USER PASS | break HOW [REPO] | mend | remove REPO | stop")
	}
	if args[0] == "start" {
		*host = gittest.NewUpstream(w.tb)
		ts.Setenv(variable, (*host).Base())
		return
	}
	up := *host
	if up == nil {
		ts.Fatalf("upstream %s: say \"upstream start\" first", args[0])
	}
	switch {
	case args[0] == "commit" && len(args) >= 3:
		files, err := readTree(ts.MkAbs(args[2]))
		ts.Check(err)
		ts.Setenv("COMMIT", up.Commit(w.tb, args[1], files, args[3:]...))
	case args[0] == "modules" && len(args) >= 2:
		w.fixtures = append(w.fixtures, up.AddModules(w.tb, parseModules(ts.Fatalf, args[1:])...)...)
	case args[0] == "branch" && len(args) >= 4:
		for _, name := range args[3:] {
			up.ForceBranch(w.tb, args[1], name, args[2])
		}
	case args[0] == "delete" && len(args) == 3:
		w.deleteRefs(ts, up, args[1], args[2])
	case args[0] == "move" && len(args) == 4:
		up.MoveTag(w.tb, args[1], args[2], args[3])
	case args[0] == "private" && len(args) == 4:
		up.Private(args[1], args[2], args[3])
	case args[0] == "break" && len(args) >= 2:
		w.breakUpstream(ts, up, args[1], args[2:])
	case args[0] == "mend":
		for _, mend := range w.mend {
			mend()
		}
		w.mend = nil
	case args[0] == "remove" && len(args) == 2:
		up.Remove(w.tb, args[1])
	case args[0] == "stop":
		up.Kill()
	default:
		ts.Fatalf("upstream %s: unknown, or the wrong number of arguments", args[0])
	}
}

// deleteRefs deletes what a pattern of path.Match matches.
func (w *world) deleteRefs(ts *testscript.TestScript, up *gittest.Upstream, repo, pattern string) {
	found := false
	for _, line := range up.Refs(w.tb, repo) {
		_, name, _ := strings.Cut(line, " ")
		match, err := path.Match(pattern, name)
		ts.Check(err)
		if match {
			up.DeleteRef(w.tb, repo, name)
			found = true
		}
	}
	if !found {
		ts.Fatalf("upstream delete: %s has no %s", repo, pattern)
	}
}

// readTree are the files below a directory by their names, with slashes.
func readTree(dir string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		rel, relErr := filepath.Rel(dir, name)
		files[filepath.ToSlash(rel)] = string(text)
		return errors.Join(err, relErr)
	})
	return files, err
}

// sign is how GitHub signs what its webhooks send.
func sign(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sign KEY FILE")
	}
	mac := hmac.New(sha256.New, []byte(strings.TrimSpace(ts.ReadFile(args[0]))))
	mac.Write([]byte(ts.ReadFile(args[1])))
	ts.Setenv("SIGNATURE", "sha256="+hex.EncodeToString(mac.Sum(nil)))
}
