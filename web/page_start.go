package web

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

type startPage struct {
	page
	URL       string
	Example   mirror.Path // a mirror of this server, so that the lines really work
	CloneHTTP string
	CloneSSH  string
	Netrc     string
	Chmod     string
	Login     string
	Rewrite   string
	Env       string
	TryRead   string
	UndoNetrc string
	UndoGo    string
	UndoLogin string
	Plain     bool // http: passwords travel in clear
}

func (c *console) start(g *gin.Context) error {
	p, err := c.page(g, "Set up my machine", "/start")
	if err != nil {
		return err
	}
	p.Narrow = true
	site := c.Site
	data := startPage{
		page: p, URL: site.URL, Example: "github.com/spf13/cobra", Plain: g.Request.TLS == nil && originScheme(site.URL) == "http",
		Netrc: netrcLines(site, p.Name, "YOUR_TOKEN"), Chmod: "chmod 600 ~/.netrc",
		Login:     "gitmirror login " + site.URL,
		Rewrite:   "gitmirror rewrite --diff\ngitmirror rewrite",
		Env:       "eval \"$(gitmirror env)\"",
		UndoGo:    "gitmirror rewrite --revert\ngitmirror env --unset",
		UndoLogin: "gitmirror logout",
		UndoNetrc: undoNetrc(site),
	}
	ready, err := c.Store.Repos(g.Request.Context(), mirror.RepoQuery{Status: mirror.Ready, Limit: 1})
	if err != nil {
		return err
	}
	if len(ready) > 0 {
		data.Example = ready[0].Path
	}
	data.CloneHTTP = fmt.Sprintf("git clone %s/%s.git", site.URL, data.Example)
	data.TryRead = fmt.Sprintf("git ls-remote %s/%s.git HEAD", site.URL, data.Example)
	if site.SSH != "" {
		data.CloneSSH = fmt.Sprintf("git clone %s/%s.git", site.SSH, data.Example)
	}
	return c.render(g, http.StatusOK, "start", data)
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
