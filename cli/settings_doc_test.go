package cli

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestSettingsPage keeps docs/settings.md equal to the table in settings.go.
// UPDATE_DOCS=1 writes it.
func TestSettingsPage(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# Settings

In force is the first of: flag, environment, YAML file (` + "`--config`, else `<data>/gitmirror.yaml`" + `), default.
` + "`gitmirror config show`" + ` prints what is in force and where it is from. A key nobody knows is an error.

In YAML the dots are levels:

` + "```yaml" + `
public_url: https://git.corp.example
http:
  addr: 0.0.0.0:8080
sync:
  workers: 16
` + "```" + `

The first start also reads ` + "`GITMIRROR_ADMIN_PASSWORD`" + `: the admin's password, else one is made and printed once.

| key | flag | environment | default | |
|---|---|---|---|---|
`)
	for _, s := range settings {
		value := ""
		if s.Default != "" {
			value = "`" + s.Default + "`"
		}
		help := strings.NewReplacer("<", "&lt;", ">", "&gt;").Replace(s.Help)
		fmt.Fprintf(&b, "| `%s` | `--%s` | `%s` | %s | %s |\n", s.Key, s.flag(), s.env(), value, help)
	}
	const page = "../docs/settings.md"
	if os.Getenv("UPDATE_DOCS") != "" {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != b.String() {
		t.Errorf("docs/settings.md is not what the table of settings says; run: UPDATE_DOCS=1 go test ./cli -run SettingsPage")
	}
}
