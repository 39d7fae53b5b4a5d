package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp/totp"

	"github.com/gitmirror/gitmirror/mirror"
)

// value is what an expression is in the page.
func (b *browser) value(expression string) string {
	b.t.Helper()
	got, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return got
}

// choose picks an option of a list by its value.
func (b *browser) choose(field, value string) {
	b.t.Helper()
	b.eventually(`(list => (list.value = `+quoteJS(value)+`, list.dispatchEvent(new Event("change", {bubbles: true})), list.value === `+quoteJS(value)+`))(document.querySelector(`+quoteJS(field)+`))`, "choose "+value)
}

// TestJourneyOfPeople: an administrator adds a person and a robot and says what
// they may read; the audit trail tells; the person sets up a second factor.
func TestJourneyOfPeople(t *testing.T) {
	site := newConsoleSite(t)
	b := openBrowser(t, site)
	b.signIn("admin", adminPassword)
	b.open("/users")
	b.do(fill("#name", "ada"), fill("#password", "a long enough password"))
	b.press("Add user")
	b.eventually(`[...document.querySelectorAll("tbody th")].some(e => e.innerText === "ada")`, "see the person")
	b.do(fill("#name", "ci"))
	b.choose("#role", "robot")
	b.press("Add user")
	b.eventually(`[...document.querySelectorAll("tbody th")].some(e => e.innerText === "ci")`, "see the robot")
	b.press("Change ci")
	b.do(fill("details[open] input[name=name]", "pipeline"))
	b.press("Create token")
	b.sees("It is not shown again")
	if got := site.askWith(t, b.value(`document.querySelector("#secret").textContent`)); got != http.StatusOK {
		t.Errorf("the API answers the robot's token with %d, want 200", got)
	}

	b.open("/access")
	b.do(fill("#group", "backend"))
	b.submit(`form[action="/access/groups"]`)
	b.do(fill("input[name=pattern]", "github.com/acme/*"))
	b.press("Let it read")
	b.eventually(`document.querySelector(".plain code").innerText === "github.com/acme/*"`, "see the grant")
	b.do(fill(`section[aria-labelledby^="g-"] input[name=user]`, "ada"))
	b.submit(`form[action$="/members"]`)
	b.eventually(`[...document.querySelectorAll(".plain li")].some(e => e.innerText.startsWith("ada"))`, "see the member")

	b.open("/audit")
	b.stays()
	b.do(fill("#action", "add-user"))
	b.press("Filter")
	b.eventually(`document.querySelectorAll("#found tbody tr").length === 2`, "see two entries")
	b.sees("user ci")
	b.stayed("filtering the audit trail")
	b.press("Sign out")
	b.sees("Sign in")

	b.signIn("ada", "a long enough password")
	b.open("/account/second-factor")
	b.press("Set it up")
	b.do(chromedp.WaitVisible(chromedp.CSS(".qr")))
	b.shot("journey-second-factor")
	code, err := totp.GenerateCode(strings.TrimSpace(b.value(`document.querySelector("#secret").textContent`)), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b.do(fill("#code", code))
	b.press("Turn it on")
	b.sees("Keep these recovery codes")
	recovery := strings.Fields(b.value(`document.querySelector("pre.code").textContent`))
	b.press("Sign out")
	b.sees("Sign in")
	b.do(fill("#name", "ada"), fill("#password", "a long enough password"))
	b.press("Sign in")
	b.do(fill("#code", "000000"))
	b.press("Sign in")
	b.eventually(`document.querySelector("[role=alert]") !== null`, "be refused")
	b.do(fill("#code", recovery[0]))
	b.press("Sign in")
	b.do(chromedp.WaitVisible(chromedp.CSS(".top")))
}

// TestJourneyOfAnUpstream: another road by hand, the rule again, another order.
func TestJourneyOfAnUpstream(t *testing.T) {
	site := newConsoleSite(t)
	site.seed(t)
	site.seedUpstreams(t)
	b := openBrowser(t, site)
	b.signIn("admin", adminPassword)
	b.open("/upstreams")
	b.press("github.com")
	b.sees("Pinned to proxy-hk")
	b.press("Back to automatic")
	b.sees("The rule decides again")
	b.eventually(`document.querySelector("h2#endpoints") && !document.body.innerText.includes("Pinned to")`, "see that it is not pinned")
	b.do(chromedp.Click(chromedp.CSS(`button[aria-label="Place proxy-hk higher"]`), chromedp.NodeVisible))
	b.sees("proxy-hk is now number 1.")
	b.press("Edit")
	b.do(fill("#bandwidth", "a lot"))
	b.press("Save")
	b.sees("The bandwidth is not a size")
	b.do(fill("#bandwidth", "2 MB"))
	b.press("Save")
	b.sees("At most 2.0 MB/s")
	b.press("Show as a table")
	b.shot("journey-upstream")
}

// TestJourneyInChinese: alerts and rules for modules, in Chinese all the way.
func TestJourneyInChinese(t *testing.T) {
	arrived := make(chan struct{}, 8)
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		select {
		case arrived <- struct{}{}:
		default:
		}
	}))
	defer receiver.Close()
	site := newConsoleSite(t)
	b := openBrowser(t, site)
	b.open("/login")
	b.press("简体中文") // the switch in the foot of the page
	b.sees("第一次使用")
	b.do(fill("#name", "admin"), fill("#password", "猜错了"))
	b.press("登录")
	b.sees("用户名或密码错误")
	b.do(fill("#password", adminPassword))
	b.press("登录")
	b.sees("还没有镜像")

	b.press("告警")
	b.do(fill("#channel-name", "ops"), fill("#url", "not an address"))
	b.submit(`form[action="/alerts/channels"]`)
	b.sees("该通道的 URL 无法使用")
	b.do(fill("#channel-name", "ops"), fill("#url", receiver.URL+"/hook"))
	b.submit(`form[action="/alerts/channels"]`)
	b.press("发送测试")
	b.sees("ops 已接收测试消息")
	select {
	case <-arrived:
	case <-time.After(time.Minute):
		t.Error("no trial arrived")
	}
	b.do(fill("#rule-name", "disk"))
	b.choose("#rule-kind", "disk")
	b.do(chromedp.Click(chromedp.CSS(`input[name=channel][value=ops]`), chromedp.NodeVisible))
	b.submit(`form[action="/alerts/rules"]`)
	b.eventually(`[...document.querySelectorAll("section[aria-labelledby=rules] tbody th")].some(e => e.innerText === "disk")`, "see the rule")
	b.shot("journey-chinese-alerts")

	b.press("模块")
	b.eventually(`document.querySelector("h1").innerText === "模块"`, "see the modules")
	b.press("模块规则")
	b.do(fill("#pattern", "example.com/broken/*"), fill("#reason", "上游已停止维护"))
	b.press("添加规则")
	b.sees("关于 example.com/broken/* 的规则已生效。")
	b.press("会发生什么？")
	b.do(fill("#module", "example.com/broken/lib@v1.0.0"))
	b.press("查看")
	b.sees("example.com/broken/lib 尚未在此镜像")
	b.sees("没有镜像包含它")
	b.shot("journey-chinese-module")
	b.press("退出登录")
	b.sees("登录")
}

// TestJourneyByKeyboard signs in, searches, opens a mirror and asks for a sync
// without a mouse; what has the focus can be seen all the way.
func TestJourneyByKeyboard(t *testing.T) {
	site := newConsoleSite(t)
	site.seed(t)
	b := openBrowser(t, site)
	b.open("/login")
	b.tab("#name")
	b.keys("admin")
	b.tab("#password")
	b.keys(adminPassword + "\r")
	b.do(chromedp.WaitVisible(chromedp.CSS(".top")))
	b.tab(".skip") // the first stop leads past the menu
	b.tab(`.nav a[href="/mirrors"]`)
	b.keys("\r")
	b.sees("github.com/spf13/cobra")
	b.stays()
	b.keys("/")
	b.eventually(`document.activeElement.id === "q"`, "be in the search field")
	b.keys("cobra")
	b.eventually(`document.querySelectorAll("#list tbody tr").length === 1`, "see one mirror")
	b.stayed("searching")
	b.tab("#list tbody .mirror-name a")
	b.keys("\r")
	b.eventually(`document.querySelector("h1")?.innerText === "github.com/spf13/cobra"`, "see the mirror")
	b.tab(`form[action$="/pause"] button`)
	b.keys("\r")
	b.sees("no longer synced until you resume it")
	b.tab(`.who form button`)
	b.keys("\r")
	b.sees("Sign in")
}

// keys types where the focus is.
func (b *browser) keys(text string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(text))
}

// tab presses the tabulator until the selector's element has the focus, and
// fails where nothing shows that something has it.
func (b *browser) tab(selector string) {
	b.t.Helper()
	for range 80 {
		here := b.value(`(e => e.matches(` + quoteJS(selector) + `) ? "here" : e === document.body || e.ownerDocument !== document ? "" :
			getComputedStyle(e).outlineStyle === "none" ? "nothing shows that this has the focus: " + e.outerHTML.slice(0, 200) : "")(document.activeElement)`)
		if here == "here" {
			return
		}
		if here != "" {
			b.t.Errorf("%s", here)
		}
		b.keys("\t")
	}
	b.shot("failed-" + b.t.Name())
	b.t.Fatalf("the tabulator does not lead to %s", selector)
}

// stays marks the page, so that stayed can tell whether it was loaded again.
func (b *browser) stays() {
	b.t.Helper()
	b.eventually(`(window.stays = true)`, "mark the page")
}

func (b *browser) stayed(what string) {
	b.t.Helper()
	if b.value(`String(window.stays)`) != "true" {
		b.t.Errorf("%s loaded the whole page again", what)
	}
}

// TestListWithoutReloads searches, filters, sorts and pages: only the list is
// loaded, the address says what is shown, and going back works.
func TestListWithoutReloads(t *testing.T) {
	site := newConsoleSite(t)
	now := time.Now().UTC()
	for i := range 130 {
		path := mirror.Path(fmt.Sprintf("github.com/team/repo-%03d", i))
		state := mirror.State{Status: mirror.Ready, Digest: "d", Generation: 1, Bytes: int64(i) * 1_000_000, Heads: 1, LastAttempt: now, LastSuccess: now, NextSync: now.Add(time.Hour)}
		if i%10 == 0 {
			state.Status, state.Failures = mirror.Failed, 3
		}
		if err := site.db.AddRepo(t.Context(), mirror.Repo{
			ID: mirror.NewID(), Path: path, Upstream: mirror.Upstream{Scheme: "https", Host: "github.com", Path: "/" + strings.TrimPrefix(string(path), "github.com/")},
			Tags: mirror.FreezeTags, Created: now, Updated: now, Version: 1, State: state,
		}); err != nil {
			t.Fatal(err)
		}
	}
	b := openBrowser(t, site)
	b.signIn("admin", adminPassword)
	b.open("/mirrors")
	b.stays()
	first := func(path, what string) {
		t.Helper()
		b.eventually(`document.querySelector("#list tbody .mirror-name a")?.innerText === `+quoteJS(path), what)
		b.stayed(what)
	}
	b.press("Next page")
	first("github.com/team/repo-050", "the next page")
	b.press("Next page")
	first("github.com/team/repo-100", "the page after it")
	b.press("First page")
	first("github.com/team/repo-000", "the first page")
	b.click(`thead a[href$="sort=size"]`)
	first("github.com/team/repo-129", "sorting by size")
	b.do(fill("#q", "repo-01"))
	first("github.com/team/repo-019", "searching")
	b.eventually(`document.querySelector("#matching").innerText === "10 mirrors match"`, "have the number read out")
	b.eventually(`location.search === "?q=repo-01&sort=size"`, "see it in the address")
	b.press("Needs attention 1")
	first("github.com/team/repo-010", "filtering")
	b.eventually(`document.querySelectorAll("#list tbody tr").length === 1`, "see one mirror")
	b.eventually(`getComputedStyle(document.querySelector(".sorts")).display === "none"`, "sort by the head of the table alone")
	b.look("light", 390)
	b.eventually(`getComputedStyle(document.querySelector(".sorts")).display !== "none"`, "be able to sort on a phone")
	b.press("Data age")
	b.eventually(`location.search.includes("sort=age")`, "sort on a phone")
	b.stayed("sorting on a phone")
	b.value(`(history.back(), "")`)
	b.eventually(`location.search.includes("sort=size") && document.querySelectorAll("#list tbody tr").length === 1`, "go back")
}
