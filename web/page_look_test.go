package web_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/web"
)

func TestLanguageOfTheBrowser(t *testing.T) {
	site := newConsoleSite(t)
	for _, row := range []struct{ reads, want string }{
		{"", "Sign in"},
		{"en-GB,en;q=0.9", "Sign in"},
		{"zh-CN,zh;q=0.9,en;q=0.8", "登录"},
		{"zh", "登录"},
		{"zh-TW,zh;q=0.5", "登录"},
		{"de-DE,zh;q=0.7,en;q=0.3", "登录"},
		{"en;q=0.3, zh-Hans;q=0.8", "登录"},
		{"fr", "Sign in"},
		{"*", "Sign in"},
		{"zh;q=0, en", "Sign in"},
		{strings.Repeat("zh-", 3000), "Sign in"},
		{"\"<script>", "Sign in"},
	} {
		v := site.visitor(t)
		v.reads = row.reads
		got := v.get("/login")
		if !strings.Contains(got.body, "<h1>"+row.want+"</h1>") {
			t.Errorf("Accept-Language %.40q: heading is not %q", row.reads, row.want)
		}
	}
}

// The choice of a person is stronger than the list of the browser, and stays
// through signing in and out.
func TestSwitches(t *testing.T) {
	site := newConsoleSite(t)
	v := site.visitor(t)
	v.reads = "en"
	v.post("/look", "language", "zh", "next", "/login").wants(t, http.StatusOK, `lang="zh-Hans"`, "<h1>登录</h1>")
	v.post("/login", "name", "admin", "password", adminPassword).wants(t, http.StatusOK, "镜像", "退出登录")
	v.post("/look", "theme", "dark", "next", "/rules").wants(t, http.StatusOK, `data-theme="dark"`, "映射规则")
	v.post("/look", "theme", "puce", "next", "/rules").wants(t, http.StatusOK, `data-theme="dark"`)
	v.post("/look", "language", "xx", "next", "/rules").wants(t, http.StatusOK, "映射规则")
	v.post("/rules/remove", "pattern", "github.com/none/*").wants(t, http.StatusNotFound, "未找到")
	if got := v.post("/look", "theme", "system", "next", "https://evil.example/"); strings.Contains(got.body, "data-theme") || strings.Contains(got.path, "evil") {
		t.Errorf("theme system, next elsewhere: ended at %s", got.path)
	}
	v.post("/logout").wants(t, http.StatusOK, "<h1>登录</h1>")
}

func TestMarked(t *testing.T) {
	for _, row := range []struct {
		text string
		args []any
		want string
	}{
		{"run `go env` **now**", nil, "run <code>go env</code> <strong>now</strong>"},
		{"[all]({1}) of {2}", []any{"/mirrors?q=a&b", 12345}, `<a href="/mirrors?q=a&amp;b">all</a> of 12` + "\u202f" + `345`},
		{"<b>{1}</b>", []any{"<script>"}, "&lt;b&gt;&lt;script&gt;&lt;/b&gt;"},
		{"**{1}**", []any{"`x` [y](/z) {1} **w**"}, "<strong>`x` [y](/z) {1} **w**</strong>"},
		{"[a]({1})", []any{"javascript:alert(1)"}, `<a href="/">a</a>`},
		{"[a]({1})", []any{"//evil.example"}, `<a href="/">a</a>`},
		{"[a]({1})", []any{`/"onclick="x`}, `<a href="/&#34;onclick=&#34;x">a</a>`},
		{"[a](#tokens)", nil, `<a href="#tokens">a</a>`},
		{"`**` and `*`", nil, "<code>**</code> and <code>*</code>"},
	} {
		if got := web.Marked(row.text, row.args...); got != row.want {
			t.Errorf("Marked(%q, %q) = %q, want %q", row.text, row.args, got, row.want)
		}
	}
}
