package web

import (
	"strings"
)

// startKind is what can be set up.
type startKind struct {
	Name    string // in the address
	Words   string
	Place   string   // "computer", "ci" or "docker": where the token is kept
	Shell   string   // whose lines are shown: "sh", "fish" or "powershell"
	Life    string   // choice of tokenLife that suits
	Token   string   // how its token is called; empty = as the computer
	Formats []string // of "gitmirror env"
}

// startKinds are all of them, in their groups.
func (w *words) startKinds() [][]startKind {
	return [][]startKind{
		{
			{Name: "sh", Words: "bash, zsh, sh", Place: "computer", Shell: "sh", Life: "365d", Formats: []string{"sh", "commands"}},
			{Name: "fish", Words: "fish", Place: "computer", Shell: "fish", Life: "365d", Formats: []string{"fish", "commands"}},
			{Name: "powershell", Words: "PowerShell", Place: "computer", Shell: "powershell", Life: "365d", Formats: []string{"powershell", "commands"}},
		},
		{
			{Name: "goland", Words: "GoLand", Place: "computer", Shell: "sh", Life: "365d", Formats: []string{"goland"}},
			{Name: "vscode", Words: "VS Code", Place: "computer", Shell: "sh", Life: "365d", Formats: []string{"vscode"}},
		},
		{
			{Name: "github", Words: "GitHub Actions", Place: "ci", Shell: "sh", Life: "90d", Token: "github-actions", Formats: []string{"github-job"}},
			{Name: "gitlab", Words: "GitLab CI", Place: "ci", Shell: "sh", Life: "90d", Token: "gitlab-ci", Formats: []string{"gitlab-job"}},
			{Name: "docker", Words: "Docker", Place: "docker", Shell: "sh", Life: "90d", Token: "docker", Formats: []string{"dockerfile"}},
		},
	}
}

// startKind is the kind of a name, the first when there is none.
func (w *words) startKind(name string) startKind {
	all := w.startKinds()
	for _, group := range all {
		for _, k := range group {
			if k.Name == name {
				return k
			}
		}
	}
	return all[0][0]
}

// startLinks are the choices of the page, from where it is.
func (w *words) startLinks(at startChoice) (kinds []startGroup, modes []link) {
	names := []string{w.t("Shell"), w.t("Editor"), w.t("CI and containers")}
	here := at
	at.Token, at.Key = "", "" // they are about what was chosen before
	for i, group := range w.startKinds() {
		g := startGroup{Name: names[i]}
		for _, k := range group {
			at.Kind = k.Name
			g.Links = append(g.Links, link{Name: k.Words, URL: at.url(), Here: k.Name == here.Kind})
		}
		kinds = append(kinds, g)
	}
	at.Kind = here.Kind
	for _, m := range []struct{ name, words string }{
		{"goproxy", w.t("Module gateway: nothing in go.mod changes")}, {"replace", w.t("Rewritten go.mod: modules come from git")},
	} {
		at.Mode = m.name
		modes = append(modes, link{Name: m.words, URL: at.url(), Here: m.name == here.Mode})
	}
	return kinds, modes
}

// tokenName is a name that tells later what a token was for.
func (w *words) tokenName(k startKind, agent string) string {
	switch {
	case k.Token != "":
		return k.Token
	case strings.Contains(agent, "Windows"):
		return w.t("Windows computer")
	case strings.Contains(agent, "Mac OS"):
		return w.t("Mac")
	case strings.Contains(agent, "Linux"), strings.Contains(agent, "X11"):
		return w.t("Linux computer")
	}
	return w.t("my computer")
}

// formatStep says what a format of settings is for.
func (w *words) formatStep(k startKind, format string) startStep {
	switch format {
	case "sh":
		return startStep{Title: w.t("In this terminal"), Hint: w.t("The same as: {1}", `eval "$(gitmirror env)"`)}
	case "fish":
		return startStep{Title: w.t("In this terminal"), Hint: w.t("The same as: {1}", "gitmirror env --format fish | source")}
	case "powershell":
		return startStep{Title: w.t("In this terminal"), Hint: w.t("The same as: {1}", "gitmirror env --format powershell | Out-String | Invoke-Expression")}
	case "commands":
		return startStep{Title: w.t("For good: in every terminal and every editor"), Hint: w.t("They are written where {1} and {2} write; variables of a terminal go before them.", "go env -w", "git config --global")}
	case "goland":
		return startStep{Title: w.t("Settings › Go › Go Modules › Environment")}
	case "vscode":
		return startStep{Title: w.t("In settings.json"), Hint: w.t("Put these entries among those that are there. New terminals and Go tools use them.")}
	case "github-job":
		return startStep{Title: ".github/workflows/mirror.yml"}
	case "gitlab-job":
		return startStep{Title: ".gitlab-ci.yml"}
	case "dockerfile":
		return startStep{Title: "Dockerfile"}
	}
	return startStep{Title: k.Words}
}
