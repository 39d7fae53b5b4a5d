package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// Alert is something that is so now.
type Alert struct {
	Rule    string    `json:"rule"`
	Subject string    `json:"subject" example:"mirror github.com/spf13/cobra"`
	Text    string    `json:"text"`
	Link    string    `json:"link,omitempty" doc:"Path of a page of the console"`
	Since   time.Time `json:"since"`
	OverAt  time.Time `json:"over_at,omitzero" doc:"It is not so any more, and nobody was told yet"`
	ToldAt  time.Time `json:"told_at,omitzero" doc:"When a message said that it began"`
}

// AlertRule says what is told to whom.
type AlertRule struct {
	Name     string           `json:"name"`
	Kind     mirror.AlertKind `json:"kind"`
	AfterS   int64            `json:"after_s,omitempty"`
	Times    int              `json:"times,omitempty"`
	Pattern  string           `json:"pattern,omitempty"`
	Channels []string         `json:"channels"`
	Disabled bool             `json:"disabled"`
	ToldAt   time.Time        `json:"told_at,omitzero" doc:"When it last made a message"`
	Version  int64            `json:"version" doc:"Grows with every edit; also the ETag"`
}

// PutAlertRule is a rule as it shall be.
type PutAlertRule struct {
	Kind     string   `json:"kind" enum:"late,failing,tag-moved,change-held,token-expiring,credential-refused,disk,failover,checksum-refused"`
	AfterS   int64    `json:"after_s,omitempty" minimum:"0" maximum:"315360000" doc:"late: how long; token-expiring: how soon; in seconds, 0 = 24 h, 14 days"`
	Times    int      `json:"times,omitempty" minimum:"0" maximum:"1000000" doc:"failing: attempts in a row; 0 = 3"`
	Pattern  string   `json:"pattern,omitempty" maxLength:"500" example:"github.com/acme/*" doc:"Mirrors it is about; empty = all"`
	Channels []string `json:"channels,omitempty" maxItems:"20" nullable:"false" doc:"Where messages go; none = it only shows in the list"`
	Disabled bool     `json:"disabled,omitempty"`
}

// AlertChannel is where messages go. Secrets are never in an answer.
type AlertChannel struct {
	Name      string             `json:"name"`
	Kind      mirror.ChannelKind `json:"kind"`
	Address   string             `json:"address" doc:"Scheme and host of where it leads" example:"https://hooks.example.com"`
	Server    string             `json:"server,omitempty"`
	TLS       string             `json:"tls,omitempty"`
	User      string             `json:"user,omitempty"`
	From      string             `json:"from,omitempty"`
	To        []string           `json:"to,omitempty"`
	CreatedAt time.Time          `json:"created_at"`
	Version   int64              `json:"version" doc:"Grows with every edit; also the ETag"`
}

// PutAlertChannel is a channel as it shall be.
type PutAlertChannel struct {
	Kind   string   `json:"kind" enum:"webhook,email,slack,feishu,dingtalk"`
	URL    string   `json:"url,omitempty" maxLength:"2000" doc:"Of a webhook; stored sealed and never shown again. Empty in an edit = as it was"`
	Secret string   `json:"secret,omitempty" maxLength:"1000" doc:"What a webhook is signed with, or the password of the mail server. Empty in an edit = as it was, unless it goes to another host now"`
	Server string   `json:"server,omitempty" maxLength:"300" example:"mail.example.com:587" doc:"Mail server"`
	TLS    string   `json:"tls,omitempty" enum:"starttls,tls,none" doc:"email: absent = starttls"`
	User   string   `json:"user,omitempty" maxLength:"300"`
	From   string   `json:"from,omitempty" maxLength:"300"`
	To     []string `json:"to,omitempty" maxItems:"50" nullable:"false"`
}

// AlertMessage is an entry of the delivery log.
type AlertMessage struct {
	ID       int64     `json:"id"`
	Channel  string    `json:"channel"`
	Rule     string    `json:"rule,omitempty" doc:"Absent = a trial"`
	At       time.Time `json:"at"`
	Title    string    `json:"title"`
	Text     string    `json:"text"`
	State    string    `json:"state" enum:"sent,waiting,given-up"`
	Attempts int       `json:"attempts"`
	NextAt   time.Time `json:"next_at,omitzero"`
	SentAt   time.Time `json:"sent_at,omitzero"`
	Problem  string    `json:"problem,omitempty" doc:"Why the last attempt failed"`
}

// AlertMessages is a page of them, newest first.
type AlertMessages struct {
	Items      []AlertMessage `json:"items"`
	NextCursor string         `json:"next_cursor,omitempty"`
}

// AlertNameParam names a rule or a channel.
type AlertNameParam struct {
	Name string `path:"name" maxLength:"60" doc:"Lower-case letters, digits and -"`
}

func (a *api) alertOperations() {
	tags, gone := []string{"alerts"}, []int{http.StatusNotFound}
	changed := []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed}
	register(a, readers, huma.Operation{
		OperationID: "list-alerts", Method: http.MethodGet, Path: "/alerts", Tags: tags, Errors: gone, Summary: "List what is wrong now, by the rules",
	}, a.listAlerts)
	register(a, governors, huma.Operation{
		OperationID: "list-alert-rules", Method: http.MethodGet, Path: "/alerts/rules", Tags: tags, Errors: gone, Summary: "List alert rules by name",
	}, a.listAlertRules)
	register(a, governors, huma.Operation{
		OperationID: "put-alert-rule", Method: http.MethodPut, Path: "/alerts/rules/{name}", Tags: tags, Errors: changed, Summary: "Add or edit an alert rule",
	}, a.putAlertRule)
	register(a, governors, huma.Operation{
		OperationID: "remove-alert-rule", Method: http.MethodDelete, Path: "/alerts/rules/{name}", Tags: tags, Errors: changed, Summary: "Remove an alert rule",
	}, a.removeAlertRule)
	register(a, governors, huma.Operation{
		OperationID: "list-alert-channels", Method: http.MethodGet, Path: "/alerts/channels", Tags: tags, Errors: gone, Summary: "List where alerts can go, by name",
	}, a.listAlertChannels)
	register(a, governors, huma.Operation{
		OperationID: "put-alert-channel", Method: http.MethodPut, Path: "/alerts/channels/{name}", Tags: tags, Errors: changed, Summary: "Add or edit a channel",
	}, a.putAlertChannel)
	register(a, governors, huma.Operation{
		OperationID: "remove-alert-channel", Method: http.MethodDelete, Path: "/alerts/channels/{name}", Tags: tags, Summary: "Remove a channel",
		Errors: changed,
	}, a.removeAlertChannel)
	register(a, governors, huma.Operation{
		OperationID: "test-alert-channel", Method: http.MethodPost, Path: "/alerts/channels/{name}/test", Tags: tags, Summary: "Send a trial message and wait for its end",
		Errors: []int{http.StatusNotFound, http.StatusBadGateway}, DefaultStatus: http.StatusNoContent,
	}, a.testAlertChannel)
	register(a, governors, huma.Operation{
		OperationID: "list-alert-messages", Method: http.MethodGet, Path: "/alerts/messages", Tags: tags, Errors: gone, Summary: "List what was sent, newest first",
	}, a.listAlertMessages)
}

func (s *Server) alerting() error {
	if s.Alerts == nil {
		return &mirror.Problem{Kind: mirror.ErrNotFound, What: "this server sends no alerts"}
	}
	return nil
}

func alertJSON(x mirror.Alert) Alert {
	return Alert{Rule: x.Rule, Subject: x.Subject, Text: x.Text, Link: x.Link, Since: x.Since.UTC(), OverAt: x.Over.UTC(), ToldAt: x.Told.UTC()}
}

func (a *api) listAlerts(ctx context.Context, in *PageParams) (*listAnswer[Alert], error) {
	if err := a.alerting(); err != nil {
		return nil, err
	}
	on, err := a.Alerts.Store.Alerts(ctx, "")
	if err != nil {
		return nil, err
	}
	return paged(*in, "/alerts", nil, on, false, func(x mirror.Alert) string {
		return fmt.Sprintf("%s %020d %s", x.Rule, x.Since.UnixMicro(), x.Subject)
	}, alertJSON)
}

func alertRuleJSON(r mirror.AlertRule) AlertRule {
	out := AlertRule{
		Name: r.Name, Kind: r.Kind, AfterS: int64(r.After / time.Second), Times: r.Times, Pattern: r.Pattern, Channels: r.Channels,
		Disabled: r.Disabled, ToldAt: r.Told.UTC(), Version: r.Version,
	}
	if out.Channels == nil {
		out.Channels = []string{}
	}
	return out
}

func (a *api) listAlertRules(ctx context.Context, in *PageParams) (*listAnswer[AlertRule], error) {
	if err := a.alerting(); err != nil {
		return nil, err
	}
	rules, err := a.Alerts.Store.AlertRules(ctx)
	if err != nil {
		return nil, err
	}
	return paged(*in, "/alerts/rules", nil, rules, false, func(r mirror.AlertRule) string { return r.Name }, alertRuleJSON)
}

type putAlertRuleRequest struct {
	AlertNameParam
	MatchParam
	Body PutAlertRule
}

type alertRuleAnswer struct {
	ETag string `header:"ETag"`
	Body AlertRule
}

func (a *api) putAlertRule(ctx context.Context, in *putAlertRuleRequest) (*alertRuleAnswer, error) {
	if err := a.alerting(); err != nil {
		return nil, err
	}
	b := in.Body
	r, err := a.saveAlertRule(ctx, mirror.AlertRule{
		Name: in.Name, Kind: mirror.AlertKind(b.Kind), After: time.Duration(b.AfterS) * time.Second, Times: b.Times, Pattern: b.Pattern, Channels: b.Channels, Disabled: b.Disabled,
	}, in.MatchParam)
	if err != nil {
		return nil, err
	}
	return &alertRuleAnswer{ETag: versionTag(r.Version), Body: alertRuleJSON(r)}, nil
}

// saveAlertRule adds the rule or edits the one of its name.
func (s *Server) saveAlertRule(ctx context.Context, r mirror.AlertRule, match MatchParam) (mirror.AlertRule, error) {
	before, err := s.alertRule(ctx, r.Name)
	if err != nil && !errors.Is(err, mirror.ErrNotFound) {
		return r, err
	}
	if err := match.met(ctx, alertRuleTitle(r.Name), before.Version, diffOf(alertRuleFields(before), alertRuleFields(r))); err != nil {
		return r, err
	}
	r.Version = before.Version
	if err := s.Alerts.SaveRule(ctx, r); err != nil {
		return r, err
	}
	r, err = s.alertRule(ctx, r.Name)
	auth.Note(ctx, "alert rule "+r.Name, changesOf(alertRuleFields(before), alertRuleFields(r))...)
	return r, err
}

func (s *Server) alertRule(ctx context.Context, name string) (mirror.AlertRule, error) {
	rules, err := s.Alerts.Store.AlertRules(ctx)
	if err != nil {
		return mirror.AlertRule{}, err
	}
	if i := slices.IndexFunc(rules, func(r mirror.AlertRule) bool { return r.Name == name }); i >= 0 {
		return rules[i], nil
	}
	return mirror.AlertRule{}, noSuch("alert rule", name)
}

func alertRuleFields(r mirror.AlertRule) [][2]string {
	if r.Name == "" {
		return nil
	}
	return [][2]string{
		{"kind", string(r.Kind)}, {"after", r.After.String()}, {"times", strconv.Itoa(r.Times)}, {"pattern", r.Pattern},
		{"channels", strings.Join(r.Channels, ", ")}, {"disabled", strconv.FormatBool(r.Disabled)},
	}
}

func alertRuleTitle(name string) string    { return "the alert rule " + name }
func alertChannelTitle(name string) string { return "the alert channel " + name }

type removeAlertRequest struct {
	AlertNameParam
	MatchParam
}

func (a *api) removeAlertRule(ctx context.Context, in *removeAlertRequest) (*struct{}, error) {
	if err := a.alerting(); err != nil {
		return nil, err
	}
	return nil, a.dropAlertRule(ctx, in.Name, in.MatchParam)
}

func (s *Server) dropAlertRule(ctx context.Context, name string, match MatchParam) error {
	before, err := s.alertRule(ctx, name)
	if err == nil {
		err = match.met(ctx, alertRuleTitle(name), before.Version, nil)
	}
	if err != nil {
		return err
	}
	if err = s.Alerts.Store.RemoveAlertRule(ctx, name); err == nil {
		auth.Note(ctx, "alert rule "+name, changesOf(alertRuleFields(before), nil)...)
	}
	return err
}

func alertChannelJSON(c mirror.SealedChannel) AlertChannel {
	return AlertChannel{
		Name: c.Name, Kind: c.Kind, Address: c.Shown, Server: c.Server, TLS: c.TLS, User: c.User, From: c.From, To: c.To,
		CreatedAt: c.Created.UTC(), Version: c.Version,
	}
}

func (a *api) listAlertChannels(ctx context.Context, in *PageParams) (*listAnswer[AlertChannel], error) {
	if err := a.alerting(); err != nil {
		return nil, err
	}
	channels, err := a.Alerts.Store.AlertChannels(ctx)
	if err != nil {
		return nil, err
	}
	return paged(*in, "/alerts/channels", nil, channels, false, func(c mirror.SealedChannel) string { return c.Name }, alertChannelJSON)
}

type putAlertChannelRequest struct {
	AlertNameParam
	MatchParam
	Body PutAlertChannel
}

type alertChannelAnswer struct {
	ETag string `header:"ETag"`
	Body AlertChannel
}

func (a *api) putAlertChannel(ctx context.Context, in *putAlertChannelRequest) (*alertChannelAnswer, error) {
	if err := a.alerting(); err != nil {
		return nil, err
	}
	b := in.Body
	c, err := a.saveAlertChannel(ctx, mirror.AlertChannel{
		Name: in.Name, Kind: mirror.ChannelKind(b.Kind), URL: mirror.Secret(b.URL), Secret: mirror.Secret(b.Secret), Server: b.Server, TLS: b.TLS, User: b.User, From: b.From, To: b.To,
	}, in.MatchParam)
	if err != nil {
		return nil, err
	}
	return &alertChannelAnswer{ETag: versionTag(c.Version), Body: alertChannelJSON(c)}, nil
}

// saveAlertChannel adds the channel or edits the one of its name.
func (s *Server) saveAlertChannel(ctx context.Context, c mirror.AlertChannel, match MatchParam) (mirror.SealedChannel, error) {
	before, err := s.alertChannel(ctx, c.Name)
	if err != nil && !errors.Is(err, mirror.ErrNotFound) {
		return before, err
	}
	asked := c
	asked.Shown = before.Shown
	if err := match.met(ctx, alertChannelTitle(c.Name), before.Version, diffOf(alertChannelFields(before.AlertChannel), alertChannelFields(asked))); err != nil {
		return before, err
	}
	c.Version = before.Version
	if err := s.Alerts.SaveChannel(ctx, c); err != nil {
		return before, err
	}
	saved, err := s.alertChannel(ctx, c.Name)
	changes := changesOf(alertChannelFields(before.AlertChannel), alertChannelFields(saved.AlertChannel))
	if c.URL != "" || c.Secret != "" {
		changes = append(changes, auth.Change{Field: "secrets", After: "(new ones)"})
	}
	auth.Note(ctx, "alert channel "+c.Name, changes...)
	return saved, err
}

func (s *Server) alertChannel(ctx context.Context, name string) (mirror.SealedChannel, error) {
	channels, err := s.Alerts.Store.AlertChannels(ctx)
	if err != nil {
		return mirror.SealedChannel{}, err
	}
	if i := slices.IndexFunc(channels, func(c mirror.SealedChannel) bool { return c.Name == name }); i >= 0 {
		return channels[i], nil
	}
	return mirror.SealedChannel{}, noSuch("alert channel", name)
}

func alertChannelFields(c mirror.AlertChannel) [][2]string {
	if c.Kind == "" {
		return nil
	}
	return [][2]string{
		{"kind", string(c.Kind)}, {"address", c.Shown}, {"server", c.Server}, {"tls", c.TLS}, {"user", c.User}, {"from", c.From}, {"to", strings.Join(c.To, ", ")},
	}
}

func (a *api) removeAlertChannel(ctx context.Context, in *removeAlertRequest) (*struct{}, error) {
	if err := a.alerting(); err != nil {
		return nil, err
	}
	return nil, a.dropAlertChannel(ctx, in.Name, in.MatchParam)
}

func (s *Server) dropAlertChannel(ctx context.Context, name string, match MatchParam) error {
	before, err := s.alertChannel(ctx, name)
	if err == nil {
		err = match.met(ctx, alertChannelTitle(name), before.Version, nil)
	}
	if err != nil {
		return err
	}
	if err = s.Alerts.RemoveChannel(ctx, name); err == nil {
		auth.Note(ctx, "alert channel "+name, changesOf(alertChannelFields(before.AlertChannel), nil)...)
	}
	return err
}

func (a *api) testAlertChannel(ctx context.Context, in *AlertNameParam) (*struct{}, error) {
	if err := a.alerting(); err != nil {
		return nil, err
	}
	auth.Note(ctx, "alert channel "+in.Name)
	return nil, a.Alerts.Trial(ctx, in.Name)
}

type listAlertMessagesAnswer struct {
	Link string `header:"Link"`
	Body AlertMessages
}

func (a *api) listAlertMessages(ctx context.Context, in *PageParams) (*listAlertMessagesAnswer, error) {
	if err := a.alerting(); err != nil {
		return nil, err
	}
	before, err := in.before()
	if err != nil {
		return nil, err
	}
	sent, err := a.Alerts.Store.Messages(ctx, before, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &listAlertMessagesAnswer{Body: AlertMessages{Items: each(sent, alertMessageJSON)}}
	if len(sent) == in.Limit {
		out.Body.NextCursor = strconv.FormatInt(sent[len(sent)-1].ID, 10)
	}
	out.Link = in.next("/alerts/messages", out.Body.NextCursor, nil)
	return out, nil
}

func alertMessageJSON(m mirror.AlertMessage) AlertMessage {
	out := AlertMessage{
		ID: m.ID, Channel: m.Channel, Rule: m.Rule, At: m.At.UTC(), Title: m.Body.Title, Text: m.Body.Text(), State: "waiting",
		Attempts: m.Attempts, NextAt: m.Due.UTC(), SentAt: m.Sent.UTC(), Problem: m.Problem,
	}
	switch {
	case !m.Sent.IsZero():
		out.State = "sent"
	case m.Due.IsZero():
		out.State = "given-up"
	}
	return out
}
