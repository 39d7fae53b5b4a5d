package cli_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/cli"
)

// result is what one invocation did.
type result struct {
	code        int
	out, stderr string
}

// run is gitmirror in a process environment of its own: home is empty, and
// nothing of the developer's shell is seen.
func run(t *testing.T, environ []string, args ...string) result {
	t.Helper()
	return runIn(t, environ, "", args...)
}

func runIn(t *testing.T, environ []string, stdin string, args ...string) result {
	t.Helper()
	var out, stderr bytes.Buffer
	environ = append([]string{"HOME=" + t.TempDir()}, environ...)
	code := cli.Main(t.Context(), cli.Process{
		Args: append([]string{"gitmirror"}, args...), In: strings.NewReader(stdin), Out: &out, Err: &stderr, Environ: environ,
	})
	return result{code, out.String(), stderr.String()}
}

// decode reads the one JSON document that out must be.
func decode[T any](t *testing.T, out string) T {
	t.Helper()
	var v T
	dec := json.NewDecoder(strings.NewReader(out))
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("stdout is not JSON: %v\n%s", err, out)
	}
	if dec.More() {
		t.Fatalf("stdout holds more than one document:\n%s", out)
	}
	return v
}

func TestWrongUsage(t *testing.T) {
	rows := []struct {
		args []string
		want string
	}{
		{[]string{"mirrro"}, "did you mean mirror?"},
		{[]string{"mirror", "lst"}, "did you mean list"},
		{[]string{"mirror", "show"}, `needs PATH`},
		{[]string{"mirror", "list", "a", "b"}, "one argument too many"},
		{[]string{"serve", "--no-such-flag"}, "unknown flag: --no-such-flag"},
		{[]string{"serve", "--sync-workers"}, "write --sync-workers VALUE: "},
		{[]string{"completion", "csh"}, "use bash, zsh, fish or powershell"},
		{[]string{"version", "now"}, "one argument too many"},
	}
	for _, r := range rows {
		got := run(t, nil, r.args...)
		if got.code != 2 || got.out != "" || !strings.Contains(got.stderr, r.want) {
			t.Errorf("gitmirror %q = exit %d, stdout %q, stderr %q, want exit 2 and %q on stderr", r.args, got.code, got.out, got.stderr, r.want)
		}
	}
}

func TestWrongUsageInJSON(t *testing.T) {
	got := run(t, nil, "mirror", "list", "--json", "--bogus")
	doc := decode[struct {
		Error  struct{ Code, What string } `json:"error"`
		Exit   int                         `json:"exit_code"`
		Reason string                      `json:"exit_reason"`
	}](t, got.out)
	if got.code != 2 || got.stderr != "" || doc.Exit != 2 || doc.Reason != "invalid" || !strings.Contains(doc.Error.What, "--bogus") {
		t.Errorf("mirror list --json --bogus = %+v, want exit 2, an empty stderr and the reason in the document", got)
	}
}

func TestVersion(t *testing.T) {
	got := run(t, nil, "version")
	if got.code != 0 || !strings.HasPrefix(got.out, "gitmirror ") || got.stderr != "" {
		t.Errorf("version = %+v, want one line on stdout", got)
	}
	doc := decode[map[string]string](t, run(t, nil, "version", "--json").out)
	if doc["version"] == "" || doc["go"] == "" {
		t.Errorf("version --json = %v, want version and go", doc)
	}
}

func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := run(t, nil, "completion", shell); got.code != 0 || !strings.Contains(got.out, "gitmirror") || got.stderr != "" {
			t.Errorf("completion %s = exit %d, %d bytes, stderr %q, want a script", shell, got.code, len(got.out), got.stderr)
		}
	}
}

// A Tab must stay silent when there is nobody to ask.
func TestCompletionWithoutServer(t *testing.T) {
	got := run(t, []string{"GITMIRROR_SERVER=http://127.0.0.1:1"}, "__complete", "mirror", "show", "")
	if got.code != 0 || !strings.Contains(got.out, ":4") {
		t.Errorf("__complete mirror show = %+v, want no names and no file names", got)
	}
}
