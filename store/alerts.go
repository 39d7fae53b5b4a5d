package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gitmirror/gitmirror/mirror"
)

type channelRow struct {
	Name    string `gorm:"primaryKey"`
	Kind    string
	Target  string
	Secret  []byte
	Created int64
	Version int64
}

// TableName is where gorm finds the rows.
func (channelRow) TableName() string { return "alert_channels" }

// channelTarget is the JSON of channelRow.Target.
type channelTarget struct {
	Shown  string   `json:"shown,omitempty"`
	Server string   `json:"server,omitempty"`
	TLS    string   `json:"tls,omitempty"`
	User   string   `json:"user,omitempty"`
	From   string   `json:"from,omitempty"`
	To     []string `json:"to,omitempty"`
}

// AlertChannels implements mirror.AlertStore.
func (db *DB) AlertChannels(ctx context.Context) ([]mirror.SealedChannel, error) {
	rows, err := table[channelRow](db.read).Order("name").Find(ctx)
	out := make([]mirror.SealedChannel, len(rows))
	for i, row := range rows {
		var t channelTarget
		if err := json.Unmarshal([]byte(row.Target), &t); err != nil {
			return nil, fmt.Errorf("stored alert channel %s: %w", row.Name, err)
		}
		out[i] = mirror.SealedChannel{Sealed: row.Secret, AlertChannel: mirror.AlertChannel{
			Name: row.Name, Kind: mirror.ChannelKind(row.Kind), Shown: t.Shown, Server: t.Server, TLS: t.TLS, User: t.User, From: t.From, To: t.To,
			Created: moment(&row.Created), Version: row.Version,
		}}
	}
	return out, known(err)
}

// SaveAlertChannel implements mirror.AlertStore.
func (db *DB) SaveAlertChannel(ctx context.Context, c mirror.SealedChannel) error {
	text, err := json.Marshal(channelTarget{c.Shown, c.Server, c.TLS, c.User, c.From, c.To})
	if err != nil {
		return err
	}
	row := channelRow{Name: clean(c.Name), Kind: string(c.Kind), Target: clean(string(text)), Secret: c.Sealed, Created: c.Created.UnixMicro(), Version: c.Version + 1}
	if c.Version == 0 {
		return about("alert channel", c.Name, table[channelRow](db.write).Create(ctx, &row))
	}
	n, err := table[channelRow](db.write).Where("name = ? AND version = ?", c.Name, c.Version).Select("kind", "target", "secret", "version").Updates(ctx, row)
	return about("alert channel", c.Name, stale(n, err))
}

// stale is ErrExists when no row had the version that was seen.
func stale(n int, err error) error {
	if err == nil && n == 0 {
		return mirror.ErrExists
	}
	return err
}

// RemoveAlertChannel implements mirror.AlertStore.
func (db *DB) RemoveAlertChannel(ctx context.Context, name string) error {
	return about("alert channel", name, remove[channelRow](ctx, db, "name = ?", clean(name)))
}

type alertRuleRow struct {
	Name     string `gorm:"primaryKey"`
	Kind     string
	Terms    string
	Disabled bool
	Told     *int64
	Created  int64
	Version  int64
}

// TableName is where gorm finds the rows.
func (alertRuleRow) TableName() string { return "alert_rules" }

// alertTerms is the JSON of alertRuleRow.Terms.
type alertTerms struct {
	AfterS   int64    `json:"after_s,omitempty"`
	Times    int      `json:"times,omitempty"`
	Pattern  string   `json:"pattern,omitempty"`
	Channels []string `json:"channels,omitempty"`
}

// AlertRules implements mirror.AlertStore.
func (db *DB) AlertRules(ctx context.Context) ([]mirror.AlertRule, error) {
	rows, err := table[alertRuleRow](db.read).Order("name").Find(ctx)
	out := make([]mirror.AlertRule, len(rows))
	for i, row := range rows {
		var t alertTerms
		if err := json.Unmarshal([]byte(row.Terms), &t); err != nil {
			return nil, fmt.Errorf("stored alert rule %s: %w", row.Name, err)
		}
		out[i] = mirror.AlertRule{
			Name: row.Name, Kind: mirror.AlertKind(row.Kind), After: time.Duration(t.AfterS) * time.Second, Times: t.Times, Pattern: t.Pattern,
			Channels: t.Channels, Disabled: row.Disabled, Told: moment(row.Told), Created: moment(&row.Created), Version: row.Version,
		}
	}
	return out, known(err)
}

// SaveAlertRule implements mirror.AlertStore.
func (db *DB) SaveAlertRule(ctx context.Context, r mirror.AlertRule) error {
	text, err := json.Marshal(alertTerms{int64(r.After / time.Second), r.Times, r.Pattern, r.Channels})
	if err != nil {
		return err
	}
	row := alertRuleRow{Name: r.Name, Kind: string(r.Kind), Terms: clean(string(text)), Disabled: r.Disabled, Created: r.Created.UnixMicro(), Version: r.Version + 1}
	if r.Version == 0 {
		return about("alert rule", r.Name, table[alertRuleRow](db.write).Create(ctx, &row))
	}
	n, err := table[alertRuleRow](db.write).Where("name = ? AND version = ?", r.Name, r.Version).Select("kind", "terms", "disabled", "version").Updates(ctx, row)
	return about("alert rule", r.Name, stale(n, err))
}

// RemoveAlertRule implements mirror.AlertStore.
func (db *DB) RemoveAlertRule(ctx context.Context, name string) error {
	return about("alert rule", name, remove[alertRuleRow](ctx, db, "name = ?", clean(name)))
}

type alertRow struct {
	Rule    string `gorm:"primaryKey"`
	Subject string `gorm:"primaryKey"`
	Text    string
	Link    string
	Since   int64
	Over    *int64
	Told    *int64
}

// TableName is where gorm finds the rows.
func (alertRow) TableName() string { return "alerts" }

// Alerts implements mirror.AlertStore.
func (db *DB) Alerts(ctx context.Context, rule string) ([]mirror.Alert, error) {
	q := table[alertRow](db.read).Order("rule, since, subject").Limit(10_000)
	if rule != "" {
		q = q.Where("rule = ?", rule)
	}
	rows, err := q.Find(ctx)
	return alertsOf(rows), known(err)
}

func alertsOf(rows []alertRow) []mirror.Alert {
	out := make([]mirror.Alert, len(rows))
	for i, row := range rows {
		out[i] = mirror.Alert{Rule: row.Rule, Subject: row.Subject, Text: row.Text, Link: row.Link, Since: moment(&row.Since), Over: moment(row.Over), Told: moment(row.Told)}
	}
	return out
}

// FindAlerts implements mirror.AlertStore.
func (db *DB) FindAlerts(ctx context.Context, text string, offset, limit int) (list []mirror.Alert, found, all int, err error) {
	pattern := "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(strings.ToLower(clean(text))) + "%"
	holding := func() query[alertRow] {
		return table[alertRow](db.read).Where(`lower(rule || ' ' || subject) LIKE ? ESCAPE '\'`, pattern)
	}
	n, err := table[alertRow](db.read).Count(ctx, "*")
	if err != nil {
		return nil, 0, 0, known(err)
	}
	m := n
	if text != "" {
		if m, err = holding().Count(ctx, "*"); err != nil {
			return nil, 0, 0, known(err)
		}
	}
	rows, err := holding().Order("rule, since, subject").Offset(max(0, offset)).Limit(bounded(limit)).Find(ctx)
	return alertsOf(rows), int(m), int(n), known(err)
}

// SetAlerts implements mirror.AlertStore.
func (db *DB) SetAlerts(ctx context.Context, rule string, alerts []mirror.Alert, told time.Time, messages []mirror.AlertMessage) error {
	rows := make([]alertRow, len(alerts))
	for i, a := range alerts {
		rows[i] = alertRow{Rule: rule, Subject: clean(a.Subject), Text: clean(a.Text), Link: clean(a.Link), Since: a.Since.UnixMicro(), Over: micros(a.Over), Told: micros(a.Told)}
	}
	queued := make([]messageRow, len(messages))
	for i, m := range messages {
		var err error
		if queued[i], err = newMessageRow(m); err != nil {
			return err
		}
	}
	return about("alerts of rule", rule, db.write.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if _, err := table[alertRow](tx).Where("rule = ?", rule).Delete(ctx); err != nil {
			return err
		}
		if len(rows) > 0 {
			if err := table[alertRow](tx).CreateInBatches(ctx, &rows, 100); err != nil {
				return err
			}
		}
		if len(queued) > 0 {
			if err := table[messageRow](tx).CreateInBatches(ctx, &queued, 100); err != nil {
				return err
			}
		}
		if told.IsZero() {
			return nil
		}
		_, err := table[alertRuleRow](tx).Where("name = ?", rule).Select("told").Updates(ctx, alertRuleRow{Told: micros(told)})
		return err
	}))
}

type messageRow struct {
	ID       int64 `gorm:"primaryKey"`
	Channel  string
	Rule     string
	At       int64
	Body     string
	Attempts int64
	Due      *int64
	Sent     *int64
	Problem  *string
}

// TableName is where gorm finds the rows.
func (messageRow) TableName() string { return "alert_messages" }

func newMessageRow(m mirror.AlertMessage) (messageRow, error) {
	body, err := json.Marshal(m.Body)
	return messageRow{Channel: m.Channel, Rule: m.Rule, At: m.At.UnixMicro(), Body: clean(string(body)), Due: micros(m.Due)}, err
}

func messages(rows []messageRow, err error) ([]mirror.AlertMessage, error) {
	out := make([]mirror.AlertMessage, len(rows))
	for i, row := range rows {
		out[i] = mirror.AlertMessage{ID: row.ID, Channel: row.Channel, Rule: row.Rule, At: moment(&row.At), Attempts: int(row.Attempts), Due: moment(row.Due), Sent: moment(row.Sent)}
		if row.Problem != nil {
			out[i].Problem = *row.Problem
		}
		if err := json.Unmarshal([]byte(row.Body), &out[i].Body); err != nil {
			return nil, fmt.Errorf("stored alert message %d: %w", row.ID, err)
		}
	}
	return out, known(err)
}

// QueueMessage implements mirror.AlertStore.
func (db *DB) QueueMessage(ctx context.Context, m mirror.AlertMessage) (int64, error) {
	row, err := newMessageRow(m)
	if err != nil {
		return 0, err
	}
	err = known(table[messageRow](db.write).Create(ctx, &row))
	return row.ID, err
}

// DueMessages implements mirror.AlertStore.
func (db *DB) DueMessages(ctx context.Context, now time.Time, limit int) ([]mirror.AlertMessage, error) {
	return messages(table[messageRow](db.read).Where("due IS NOT NULL AND due <= ?", now.UnixMicro()).Order("due, id").Limit(bounded(limit)).Find(ctx))
}

// MessageTried implements mirror.AlertStore.
func (db *DB) MessageTried(ctx context.Context, m mirror.AlertMessage) error {
	row := messageRow{Attempts: int64(m.Attempts), Due: micros(m.Due), Sent: micros(m.Sent)}
	if m.Problem != "" {
		text := clean(m.Problem)
		row.Problem = &text
	}
	_, err := table[messageRow](db.write).Where("id = ?", m.ID).Select("attempts", "due", "sent", "problem").Updates(ctx, row)
	return known(err)
}

// Messages implements mirror.AlertStore.
func (db *DB) Messages(ctx context.Context, before int64, limit int) ([]mirror.AlertMessage, error) {
	q := table[messageRow](db.read).Order("id DESC").Limit(bounded(limit))
	if before > 0 {
		q = q.Where("id < ?", before)
	}
	return messages(q.Find(ctx))
}

// ForgetMessages implements mirror.AlertStore.
func (db *DB) ForgetMessages(ctx context.Context, before time.Time) error {
	_, err := table[messageRow](db.write).Where("due IS NULL AND at < ?", before.UnixMicro()).Delete(ctx)
	return known(err)
}

var _ mirror.AlertStore = (*DB)(nil)
