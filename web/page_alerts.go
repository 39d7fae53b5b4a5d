package web

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

type alertsPage struct {
	page
	On       []Alert
	Window   window // of On
	Rules    []alertRuleView
	Channels []AlertChannel
	Messages []AlertMessage
	Kinds    []alertKindChoice
	Ways     []mirror.ChannelKind
	Form     string // "rule" or "channel": where Wrong belongs
	Wrong    *mirror.Problem
	// The forms: what is being changed, or was typed.
	Rule    alertRuleForm
	Channel alertChannelForm
}

// alertRuleForm is a rule as a form has it. Seen is the version it was made of;
// empty = it is a new one.
type alertRuleForm struct {
	Name                  string
	Kind                  mirror.AlertKind
	After, Times, Pattern string
	Channels              []string
	Disabled              bool
	Seen                  string
}

// Tells tells whether messages go to a channel.
func (f alertRuleForm) Tells(channel string) bool { return slices.Contains(f.Channels, channel) }

// alertChannelForm is the same of a channel; secrets are never sent back.
type alertChannelForm struct {
	Name, Server, TLS, User, From, To string
	Kind                              mirror.ChannelKind
	Seen                              string
}

// alertForms are those of what an address says is to be changed.
func (c *console) alertForms(g *gin.Context, data *alertsPage) error {
	ctx := g.Request.Context()
	if name := g.Query("rule"); name != "" {
		r, err := c.alertRule(ctx, name)
		if err != nil {
			return err
		}
		data.Rule = alertRuleForm{Name: r.Name, Kind: r.Kind, Pattern: r.Pattern, Channels: r.Channels, Disabled: r.Disabled, Seen: strconv.FormatInt(r.Version, 10)}
		if r.After > 0 {
			data.Rule.After = r.After.String()
		}
		if r.Times > 0 {
			data.Rule.Times = strconv.Itoa(r.Times)
		}
	}
	if name := g.Query("channel"); name != "" {
		ch, err := c.alertChannel(ctx, name)
		if err != nil {
			return err
		}
		data.Channel = alertChannelForm{
			Name: ch.Name, Kind: ch.Kind, Server: ch.Server, TLS: ch.TLS, User: ch.User, From: ch.From, To: strings.Join(ch.To, ", "), Seen: strconv.FormatInt(ch.Version, 10),
		}
	}
	return nil
}

// formMatch is the version a form was made of. A form for something new must
// not overwrite what there is: found = nil means that there is none.
func formMatch(g *gin.Context, what string, found error) (MatchParam, error) {
	m := formVersion(g)
	switch {
	case m.IfMatch == "" && found == nil:
		return m, &mirror.Problem{Kind: mirror.ErrExists, What: what + " is there already", Do: "press Change beside it in the list"}
	case found != nil && !errors.Is(found, mirror.ErrNotFound):
		return m, found
	}
	return m, nil
}

type alertRuleView struct {
	AlertRule
	Words string // its kind
	Terms string
}

type alertKindChoice struct {
	Kind  mirror.AlertKind
	Words string
}

// alertKind is what a rule watches for, in words.
func (w *words) alertKind(k mirror.AlertKind) string {
	switch k {
	case mirror.AlertLate:
		return w.t("a mirror is late")
	case mirror.AlertFailing:
		return w.t("syncs fail again and again")
	case mirror.AlertTag:
		return w.t("upstream moved a tag")
	case mirror.AlertHeld:
		return w.t("another change of upstream is held")
	case mirror.AlertExpiring:
		return w.t("an API token expires soon")
	case mirror.AlertCredential:
		return w.t("an upstream refuses a credential")
	case mirror.AlertDisk:
		return w.t("the disk is filling up")
	case mirror.AlertFailover:
		return w.t("an upstream is reached by another road")
	case mirror.AlertChecksum:
		return w.t("a module has the wrong checksum")
	}
	return string(k)
}

func (w *words) alertTerms(r AlertRule) string {
	var out []string
	if r.AfterS > 0 {
		span := w.span(time.Duration(r.AfterS) * time.Second)
		if r.Kind == mirror.AlertExpiring {
			out = append(out, w.t("within {1}", span))
		} else {
			out = append(out, w.t("for more than {1}", span))
		}
	}
	if r.Times > 0 {
		out = append(out, w.n("{1} failures", r.Times))
	}
	if r.Pattern != "" {
		out = append(out, r.Pattern)
	}
	return strings.Join(out, w.t(", "))
}

func (c *console) alerts(g *gin.Context) error {
	if err := c.alerting(); err != nil {
		return err
	}
	var data alertsPage
	if err := c.alertForms(g, &data); err != nil {
		return err
	}
	return c.renderAlerts(g, http.StatusOK, data)
}

func (c *console) renderAlerts(g *gin.Context, status int, data alertsPage) error {
	if err := c.alerting(); err != nil {
		return err
	}
	var err error
	if data.page, err = c.page(g, "Alerts", "/alerts"); err != nil {
		return err
	}
	ctx, w := g.Request.Context(), c.words(g)
	window, from := readWindow(g, "/alerts")
	on, found, all, err := c.Alerts.Store.FindAlerts(ctx, window.Search, from, windowSize)
	if err != nil {
		return err
	}
	window.All = all
	window.cut(from, found)
	rules, err := c.Alerts.Store.AlertRules(ctx)
	if err != nil {
		return err
	}
	channels, err := c.Alerts.Store.AlertChannels(ctx)
	if err != nil {
		return err
	}
	sent, err := c.Alerts.Store.Messages(ctx, 0, 50)
	if err != nil {
		return err
	}
	data.Window, data.On, data.Channels, data.Messages = window, each(on, alertJSON), each(channels, alertChannelJSON), each(sent, alertMessageJSON)
	for _, r := range rules {
		v := alertRuleView{AlertRule: alertRuleJSON(r), Words: w.alertKind(r.Kind)}
		v.Terms = w.alertTerms(v.AlertRule)
		data.Rules = append(data.Rules, v)
	}
	for _, k := range mirror.AlertKinds() {
		data.Kinds = append(data.Kinds, alertKindChoice{k, w.alertKind(k)})
	}
	data.Ways = mirror.ChannelKinds()
	return c.render(g, status, "alerts", data)
}

// alertsWrong shows the page with what is wrong with a form; shown is false when
// nothing is.
func (c *console) alertsWrong(g *gin.Context, err error, data alertsPage) (shown bool, _ error) {
	if err == nil {
		return false, nil
	}
	status := newProblem(g.Request.Context(), err).Status
	wrong, err := told(err)
	if err != nil {
		return true, err
	}
	data.Wrong = wrong
	return true, c.renderAlerts(g, status, data)
}

func (c *console) saveAlertRuleForm(g *gin.Context) error {
	if err := c.alerting(); err != nil {
		return err
	}
	r := mirror.AlertRule{
		Name: strings.TrimSpace(g.PostForm("name")), Kind: mirror.AlertKind(g.PostForm("kind")), Pattern: strings.TrimSpace(g.PostForm("pattern")),
		Channels: g.PostFormArray("channel"), Disabled: g.PostForm("disabled") != "",
	}
	form := alertRuleForm{
		Name: r.Name, Kind: r.Kind, After: strings.TrimSpace(g.PostForm("after")), Times: strings.TrimSpace(g.PostForm("times")), Pattern: r.Pattern,
		Channels: r.Channels, Disabled: r.Disabled, Seen: g.PostForm("version"),
	}
	var err error
	if text := form.After; text != "" {
		if r.After, err = time.ParseDuration(text); err != nil {
			err = &mirror.Problem{Kind: mirror.ErrInvalid, What: "this is no length of time", Do: "write it as 90m or 24h"}
		}
	}
	if text := form.Times; text != "" && err == nil {
		if r.Times, err = strconv.Atoi(text); err != nil {
			err = &mirror.Problem{Kind: mirror.ErrInvalid, What: "the number of failures is no number"}
		}
	}
	if err == nil {
		ctx := g.Request.Context()
		now, found := c.alertRule(ctx, r.Name)
		var m MatchParam
		if m, err = formMatch(g, alertRuleTitle(r.Name), found); err == nil {
			_, err = c.saveAlertRule(ctx, r, m)
		}
		form.Seen = m.IfMatch
		if m.IfMatch != "" && errors.Is(err, mirror.ErrExists) { // the next save overwrites what is looked at now
			form.Seen = strconv.FormatInt(now.Version, 10)
		}
	}
	if shown, err := c.alertsWrong(g, err, alertsPage{Form: "rule", Rule: form}); shown {
		return err
	}
	return c.then(g, nil, "The alert rule {1} was saved.", "/alerts", r.Name)
}

func (c *console) removeAlertRuleForm(g *gin.Context) error {
	if err := c.alerting(); err != nil {
		return err
	}
	name := g.PostForm("name")
	return c.orTell(g, c.dropAlertRule(g.Request.Context(), name, formVersion(g)), "{1} was removed.", "/alerts", name)
}

func (c *console) saveAlertChannelForm(g *gin.Context) error {
	if err := c.alerting(); err != nil {
		return err
	}
	ch := mirror.AlertChannel{
		Name: strings.TrimSpace(g.PostForm("name")), Kind: mirror.ChannelKind(g.PostForm("kind")), URL: mirror.Secret(strings.TrimSpace(g.PostForm("url"))),
		Secret: mirror.Secret(g.PostForm("secret")), Server: strings.TrimSpace(g.PostForm("server")), TLS: g.PostForm("tls"), User: strings.TrimSpace(g.PostForm("user")),
		From: strings.TrimSpace(g.PostForm("from")), To: strings.FieldsFunc(g.PostForm("to"), func(r rune) bool { return r == ',' || r == '\n' || r == '\r' }),
	}
	form := alertChannelForm{Name: ch.Name, Kind: ch.Kind, Server: ch.Server, TLS: ch.TLS, User: ch.User, From: ch.From, To: strings.Join(ch.To, ", ")}
	ctx := g.Request.Context()
	now, found := c.alertChannel(ctx, ch.Name)
	m, err := formMatch(g, alertChannelTitle(ch.Name), found)
	if err == nil {
		_, err = c.saveAlertChannel(ctx, ch, m)
	}
	form.Seen = m.IfMatch
	if m.IfMatch != "" && errors.Is(err, mirror.ErrExists) {
		form.Seen = strconv.FormatInt(now.Version, 10)
	}
	if shown, err := c.alertsWrong(g, err, alertsPage{Form: "channel", Channel: form}); shown {
		return err
	}
	return c.then(g, nil, "The channel {1} was saved. Send a trial to see that it works.", "/alerts", ch.Name)
}

func (c *console) removeAlertChannelForm(g *gin.Context) error {
	if err := c.alerting(); err != nil {
		return err
	}
	name := g.PostForm("name")
	return c.orTell(g, c.dropAlertChannel(g.Request.Context(), name, formVersion(g)), "{1} was removed.", "/alerts", name)
}

func (c *console) testAlertChannelForm(g *gin.Context) error {
	if err := c.alerting(); err != nil {
		return err
	}
	name := g.PostForm("name")
	err := c.Alerts.Trial(g.Request.Context(), name)
	if p := mirror.AsProblem(err); err != nil && p.Kind == mirror.ErrUpstream { // told on the page, not as an error of ours
		_, err = c.alertsWrong(g, &mirror.Problem{Kind: mirror.ErrInvalid, What: p.What, Why: p.Why, Do: p.Do}, alertsPage{Form: "channel"})
		return err
	}
	return c.orTell(g, err, "A trial message was taken by {1}.", "/alerts", name)
}
