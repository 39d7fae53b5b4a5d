package web

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// signInSteps put a token where git, go and curl read it, or where a CI system
// keeps its secrets.
func (w *words) signInSteps(site mirror.Site, kind startKind, user, token string) (netrc []startStep, secret *startStep) {
	switch {
	case kind.Name == "github":
		return nil, &startStep{"secret", w.t("Add a secret of the repository"), "gh secret set GITMIRROR_TOKEN", w.t("It asks for the token. Or in the browser: Settings › Secrets and variables › Actions › New repository secret.")}
	case kind.Name == "gitlab":
		return nil, &startStep{"secret", w.t("Add a variable of the project"), "glab variable set GITMIRROR_TOKEN --masked", w.t("It asks for the token. Or in the browser: Settings › CI/CD › Variables, masked.")}
	case kind.Shell == "powershell":
		return []startStep{{"netrc", w.t("Let git, go and curl sign in"), netrcPowerShell(site, user, token), w.t("Takes earlier lines for this server out of the file, then adds these.")}}, nil
	case kind.Name == "docker":
		return []startStep{{"netrc", w.t("Put the token into a file of its own"), "(umask 077; printf '%s\\n' " + netrcWords(site, user, token) + " > ~/.mirror.netrc)",
			w.t("It is in your home folder and not in the project, whose files the build copies. The build reads it as a secret, and no layer of the image keeps it.")}}, nil
	}
	return []startStep{{"netrc", w.t("Let git, go and curl sign in"),
		"touch ~/.netrc && chmod 600 ~/.netrc && " + undoNetrc(site) + " && printf '%s\\n' " + netrcWords(site, user, token) + " >> ~/.netrc",
		w.t("Takes earlier lines for this server out of the file, then adds these; the file as it was is beside it, with .bak behind its name.")}}, nil
}

// netrcWords are the lines of netrcLines, each as a word of a shell.
func netrcWords(site mirror.Site, user, token string) string {
	return "'" + strings.Join(strings.Split(netrcLines(site, user, token), "\n"), "' '") + "'"
}

func netrcPowerShell(site mirror.Site, user, token string) string {
	hosts := netrcHosts(site)
	for i, h := range hosts {
		hosts[i] = strings.ReplaceAll(h, ".", `\.`)
	}
	return "$netrc = Join-Path $HOME $(if ($env:OS -eq 'Windows_NT') { '_netrc' } else { '.netrc' })\n" +
		"$rest = @(Get-Content $netrc -ErrorAction SilentlyContinue | Where-Object { $_ -notmatch '^machine (" + strings.Join(hosts, "|") + ") ' })\n" +
		"Set-Content $netrc ($rest + @(" + strings.ReplaceAll(netrcWords(site, user, token), "' '", "', '") + "))"
}

// sshSteps are what ssh is told of the server; nil when SSH is off.
func (w *words) sshSteps(site mirror.Site, hostKey string, key *auth.Key) (config, host *startStep) {
	u, err := url.Parse(site.SSH)
	if err != nil || site.SSH == "" {
		return nil, nil
	}
	port, name := u.Port(), u.Hostname()
	lines := "Match originalhost " + u.Hostname() + " user git\n"
	if port != "" && port != "22" {
		name = "[" + name + "]:" + port
		lines += "    Port " + port + "\n"
	}
	lines += "    IdentityFile " + identityFile(key) + "\n    IdentitiesOnly yes"
	config = &startStep{"ssh-config", w.t("In ~/.ssh/config"), lines, w.t("Only where ssh would not choose this key by itself. Put the name of your own file behind IdentityFile.")}
	if hostKey != "" {
		host = &startStep{"known-hosts", w.t("In ~/.ssh/known_hosts"), name + " " + hostKey, w.t("The key of this server, so that ssh need not ask whether you trust it.")}
	}
	return config, host
}

// identityFile is where ssh-keygen puts a key of this type.
func identityFile(key *auth.Key) string {
	kind := ""
	if key != nil {
		kind, _, _ = strings.Cut(key.Public, " ")
	}
	switch {
	case strings.HasPrefix(kind, "sk-ssh-ed25519"):
		return "~/.ssh/id_ed25519_sk"
	case strings.HasPrefix(kind, "sk-ecdsa"):
		return "~/.ssh/id_ecdsa_sk"
	case strings.HasPrefix(kind, "ecdsa"):
		return "~/.ssh/id_ecdsa"
	case kind == "ssh-rsa":
		return "~/.ssh/id_rsa"
	}
	return "~/.ssh/id_ed25519"
}

// testSteps prove that the machine is set up.
func (w *words) testSteps(site mirror.Site, kind startKind, example startExample) []startStep {
	if kind.Place == "ci" {
		return []startStep{{"test-ci", w.t("Commit the file and push"), "git push", w.t("The job fails with the difference when the project does not build from the mirror.")}}
	}
	if kind.Place == "docker" {
		return []startStep{{"test-docker", w.t("Build"), "docker build --secret id=netrc,src=$HOME/.mirror.netrc .", ""}}
	}
	curl := "curl -fsS --netrc " + site.URL + "/api/v1/whoami"
	if kind.Shell == "powershell" {
		curl = "curl.exe -fsS --netrc-file $netrc " + site.URL + "/api/v1/whoami"
	}
	steps := []startStep{
		{"test-token", w.t("The token"), curl, w.t("Prints your name.")},
		{"test-git", w.t("git"), "git ls-remote " + site.URL + "/" + string(example.Path) + ".git HEAD", w.t("Prints one line with a commit.")},
	}
	if ssh := sshCommand(site); ssh != "" {
		steps = append(steps, startStep{"test-ssh", w.t("SSH"), strings.Replace(ssh, "ssh ", "ssh -T ", 1), w.t("Greets you.")})
	}
	if example.Module != "" {
		list := "go list -m " + example.Module + "@latest"
		switch proxy := site.URL + "/proxy"; kind.Shell {
		case "powershell":
			list = "$env:GOPROXY = '" + proxy + "'; " + list + "; Remove-Item Env:GOPROXY"
		default:
			list = "GOPROXY=" + proxy + " " + list
		}
		steps = append(steps, startStep{"test-go", w.t("The module gateway"), list, w.t("Prints the newest version. Here nothing but the mirror is asked.")})
	}
	return append(steps, startStep{"test-doctor", w.t("All of it, in the folder of your project"), "gitmirror doctor", w.t("Names what is wrong, with the cure. It needs the gitmirror command.")})
}

// projectSteps are how the mirror is used from now on.
func (w *words) projectSteps(site mirror.Site, kind startKind, mode string, example startExample) []startStep {
	if kind.Place != "computer" {
		return nil
	}
	steps := []startStep{{"clone-http", w.t("Clone over HTTP"), fmt.Sprintf("git clone %s/%s.git", site.URL, example.Path), w.t("Put the address of this server in front of the address you know.")}}
	if site.SSH != "" {
		steps = append(steps, startStep{"clone-ssh", w.t("Clone over SSH"), fmt.Sprintf("git clone %s/%s.git", site.SSH, example.Path), ""})
	}
	steps = append(steps, startStep{"login", w.t("Sign the gitmirror command in, once"), "gitmirror login " + site.URL, ""})
	if mode == "replace" {
		steps = append(steps, startStep{"rewrite", w.t("In the folder of your project: look first, then rewrite"), "gitmirror rewrite --diff\ngitmirror rewrite",
			w.t("Checks that the mirror has exactly the code your go.sum promises, and changes nothing if it has not.")})
	}
	return steps
}

// undoSteps take back what the page told to do.
func (w *words) undoSteps(site mirror.Site, kind startKind, mode string) []startStep {
	if kind.Place != "computer" {
		return nil
	}
	var steps []startStep
	if mode == "replace" {
		steps = append(steps, startStep{"undo-go", w.t("The project and the settings"), "gitmirror rewrite --revert\ngitmirror env --unset", ""})
	} else {
		steps = append(steps, startStep{"undo-go", w.t("The settings"), "go env -u GOPROXY", ""})
	}
	steps = append(steps, startStep{"undo-login", w.t("The sign-in"), "gitmirror logout", ""})
	if kind.Shell != "powershell" {
		steps = append(steps, startStep{"undo-netrc", w.t("The lines in ~/.netrc"), undoNetrc(site), ""})
	}
	return steps
}

func originScheme(site string) string {
	u, err := url.Parse(site)
	if err != nil {
		return ""
	}
	return u.Scheme
}

// netrcHosts are the names under which clients look the server up in .netrc:
// git and curl by the bare name; the go command by "host:port" where the proxy's
// URL has a port, and by the bare name elsewhere. The bare name is last.
func netrcHosts(site mirror.Site) []string {
	u, err := url.Parse(site.URL)
	if err != nil {
		return []string{""}
	}
	if u.Port() == "" {
		return []string{u.Hostname()}
	}
	return []string{net.JoinHostPort(u.Hostname(), u.Port()), u.Hostname()}
}

func netrcLines(site mirror.Site, user, secret string) string {
	lines := ""
	for i, host := range netrcHosts(site) {
		if i > 0 {
			lines += "\n"
		}
		lines += fmt.Sprintf("machine %s login %s password %s", host, user, secret)
	}
	return lines
}

// undoNetrc deletes the lines netrcLines gave, and keeps a copy of the file.
func undoNetrc(site mirror.Site) string {
	command := "sed -i.bak"
	for _, host := range netrcHosts(site) {
		command += fmt.Sprintf(" -e '/^machine %s /d'", strings.ReplaceAll(host, ".", `\.`))
	}
	return command + " ~/.netrc"
}

// sshCommand greets over SSH; empty when SSH is off.
func sshCommand(site mirror.Site) string {
	u, err := url.Parse(site.SSH)
	if err != nil || site.SSH == "" {
		return ""
	}
	command := "ssh "
	if u.Port() != "" && u.Port() != "22" {
		command += "-p " + u.Port() + " "
	}
	return command + "git@" + u.Hostname()
}
