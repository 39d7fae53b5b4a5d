package rewrite

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"text/template"

	"github.com/gitmirror/gitmirror/mirror"
)

//go:embed templates
var templateFiles embed.FS

// Templates are the names Template knows: whole files for a project.
func Templates() []string {
	return []string{"github-job", "gitlab-job", "pre-commit", "renovate", "dependabot", "dockerfile"}
}

// job is what the templates are filled with. Each value stands in its file as
// the function beside it writes it: yaml, json, sh or expression.
type job struct {
	Server, Host, Root string
	Hosts              []string  // as .netrc has them: the go command looks for HOST:PORT, git for HOST
	Settings           []Setting // as variables
	Check              string    // what "gitmirror rewrite" is called with
	Rewrites           bool      // the mode changes go.mod
}

// Template writes a file that makes a CI system, a hook or an update bot work
// with the mirror. The settings are those of e, and nothing of this machine's:
// where the file is used there are others.
func Template(name string, e Environment) (string, error) {
	e.Current, e.Shell, e.Git = nil, nil, nil
	settings, _ := e.Settings()
	j := job{
		Server: e.Site.URL, Host: e.Site.Host(), Root: e.Site.Root(), Settings: Variables(settings, nil), Check: "--check",
		Rewrites: e.Mode == Replace || e.Mode == "",
	}
	if u, err := url.Parse(e.Site.URL); err == nil && u.Port() != "" {
		j.Hosts = append(j.Hosts, u.Host)
	}
	j.Hosts = append(j.Hosts, j.Host)
	if !j.Rewrites {
		j.Check = "--mode " + string(e.Mode) + " --check"
	}
	t, err := template.New(name+".tmpl").Funcs(template.FuncMap{
		"yaml": quoteYAML, "sh": quoteShell, "gitlab": quoteGitLab, "expression": quoteExpression, "json": quoteJSON, "docker": quoteDocker,
	}).ParseFS(templateFiles, "templates/"+name+".tmpl")
	if err != nil {
		return "", &mirror.Problem{
			Kind: mirror.ErrInvalid, What: "unknown template " + fmt.Sprintf("%q", name), Do: "use one of " + strings.Join(Templates(), ", "),
		}
	}
	var b bytes.Buffer
	if err := t.Execute(&b, j); err != nil {
		return "", err
	}
	return b.String(), nil
}

// quoteExpression is a YAML string of a GitHub workflow, in which ${{ begins an
// expression.
func quoteExpression(v string) string {
	return quoteYAML(strings.ReplaceAll(v, "${{", "${{ '${{' }}"))
}

func quoteJSON(v string) (string, error) {
	text, err := json.Marshal(v)
	return string(text), err
}
