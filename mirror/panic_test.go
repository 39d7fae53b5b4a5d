package mirror_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/mirror"
)

// panickyDisk has a bug that knows a password.
type panickyDisk struct{ *git.Disk }

func (panickyDisk) List(context.Context, mirror.Remote) (mirror.Listing, error) {
	panic("https://robot:cAnArY@git.example/acme/tool")
}

// TestHostileE19PanicOfASync: a bug in a sync fails that sync, and what the bug knew
// is neither in the log nor in the run.
func TestHostileE19PanicOfASync(t *testing.T) {
	r := newRig(t)
	var log bytes.Buffer
	r.syncer.Disk, r.syncer.Log = panickyDisk{r.disk}, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	stop := run(t, r.syncer)
	repo := r.add(t, "git.example/acme/tool")
	got, err := r.syncer.Sync(t.Context(), repo.ID, mirror.ByHand)
	if err != nil || got.Outcome != mirror.RunFailed || got.Problem == nil || strings.Contains(got.Problem.Error()+got.Problem.Raw, "cAnArY") {
		t.Errorf("Sync = %+v, %v, want a failure that says nothing", got, err)
	}
	stop()
	if text := log.String(); strings.Contains(text, "cAnArY") || !strings.Contains(text, "a value of type string") || !strings.Contains(text, "panickyDisk") {
		t.Errorf("the log has the panic's value, or not where it came from:\n%s", text)
	}
}

func TestPanicked(t *testing.T) {
	of := func(do func()) (said string) {
		defer func() { said = mirror.Panicked(recover()) }()
		do()
		return "nothing"
	}
	none, secret := []string(nil), any("cAnArY")
	for want, do := range map[string]func(){
		"runtime error: index out of range [3] with length 0":   func() { _ = none[len("abc")] },
		"interface conversion: interface {} is string, not int": func() { _ = secret.(int) },
		"a value of type *mirror.Problem":                       func() { panic(&mirror.Problem{What: "cAnArY"}) },
		"a value of type string":                                func() { panic(secret) },
		"runtime error: hash of unhashable type []string":       func() { _ = map[any]int{none: 1} },
	} {
		if got := of(do); got != want {
			t.Errorf("Panicked = %q, want %q", got, want)
		}
	}
}
