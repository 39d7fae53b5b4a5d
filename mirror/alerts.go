package mirror

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Alerts looks what is wrong, and tells people once when it begins and once when
// it is over. What it knows is in the database: a restart tells nothing twice.
// Of several servers one does it.
type Alerts struct {
	Store  AlertStore
	Repos  Store
	Vault  Vault
	Sender AlertSender
	// Owner names this server.
	Owner string
	Site  Site
	// Disk is the room on the disk; nil = it is not watched.
	Disk func() (Space, SpaceLevel)
	// Crowded lists what had to go although somebody wants it kept; nil = nothing.
	Crowded func() []Alert
	// Expiring lists API tokens that end before the given time; nil = none.
	Expiring func(ctx context.Context, before time.Time) ([]Alert, error)
	// Forged lists modules that were refused for their checksum since; nil = none.
	Forged func(ctx context.Context, since time.Time) ([]Alert, error)
	// Every is the time between two looks; zero = 30 s.
	Every time.Duration
	// Gap is the shortest time between two messages of a rule: what happens in
	// between is in the next one; zero = 5 min.
	Gap time.Duration
	Log *slog.Logger // nil = slog.Default()

	mu   sync.Mutex // one look at a time
	wake chan struct{}
	once sync.Once
}

// AlertSender delivers messages.
type AlertSender interface {
	// Send returns when the receiver has accepted. Its errors hold no secrets.
	Send(ctx context.Context, c AlertChannel, id int64, b AlertBody) error
}

const (
	alertDuty     = "alerts"
	alertLease    = 2 * time.Minute
	alertSendTime = 30 * time.Second
	alertBatch    = 20
	alertTries    = 10
	alertFirstTry = 15 * time.Second // doubled after each failure
	alertMaxTry   = time.Hour
	alertSubjects = 1000 // of a rule
	alertListed   = 20   // in a message
	alertKept     = 30 * 24 * time.Hour
)

func (a *Alerts) init() {
	a.once.Do(func() {
		a.wake = make(chan struct{}, 1)
		if a.Log == nil {
			a.Log = slog.Default()
		}
	})
}

// Run looks and sends until ctx ends.
func (a *Alerts) Run(ctx context.Context) error {
	a.init()
	tick := time.NewTicker(cmp.Or(a.Every, 30*time.Second))
	defer tick.Stop()
	for {
		if err := a.Look(ctx); err != nil && ctx.Err() == nil {
			a.Log.Error("look for alerts", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-a.wake:
		}
	}
}

// Look compares what is wrong with what was, and sends what is due. It does
// nothing when another server does it.
func (a *Alerts) Look(ctx context.Context) error {
	a.init()
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now().UTC()
	mine, err := a.Store.Duty(ctx, alertDuty, a.Owner, now, now.Add(alertLease))
	if err != nil || !mine {
		return err
	}
	if err := a.evaluate(ctx, now); err != nil {
		return err
	}
	if err := a.deliver(ctx); err != nil {
		return err
	}
	return a.Store.ForgetMessages(ctx, now.Add(-alertKept))
}

func (a *Alerts) evaluate(ctx context.Context, now time.Time) error {
	rules, err := a.Store.AlertRules(ctx)
	if err != nil {
		return err
	}
	look := &alertLook{Alerts: a, now: now}
	var errs []error
	for _, r := range rules {
		var found []Alert
		if !r.Disabled {
			if found, err = look.found(ctx, r); err != nil { // not knowing is no news
				errs = append(errs, fmt.Errorf("alert rule %s: %w", r.Name, err))
				continue
			}
		}
		if err := a.settle(ctx, r, found, now); err != nil && !errors.Is(err, ErrNotFound) { // removed meanwhile
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// settle brings what was on in line with what was found. What began and ended
// without anybody being told is forgotten.
func (a *Alerts) settle(ctx context.Context, r AlertRule, found []Alert, now time.Time) error {
	before, err := a.Store.Alerts(ctx, r.Name)
	if err != nil {
		return err
	}
	if len(found) > alertSubjects {
		found = found[:alertSubjects]
	}
	var next []Alert
	changed := false
	was := map[string]Alert{}
	for _, b := range before {
		was[b.Subject] = b
	}
	for _, f := range found {
		b, known := was[f.Subject]
		delete(was, f.Subject)
		f.Rule = r.Name
		if known {
			f.Since, f.Told = b.Since, b.Told
		} else if f.Since.IsZero() {
			f.Since = now
		}
		changed = changed || !known || !b.Over.IsZero() || b.Text != f.Text
		next = append(next, f)
	}
	for _, b := range before {
		if _, gone := was[b.Subject]; !gone {
			continue
		}
		if b.Told.IsZero() || r.Disabled {
			changed = true
			continue
		}
		if b.Over.IsZero() {
			b.Over, changed = now, true
		}
		next = append(next, b)
	}
	var told time.Time
	var messages []AlertMessage
	if begun, over := untold(next); (len(begun) > 0 || len(over) > 0) && now.Sub(r.Told) >= cmp.Or(a.Gap, 5*time.Minute) {
		body := a.body(r, begun, over)
		for _, c := range r.Channels {
			messages = append(messages, AlertMessage{Channel: c, Rule: r.Name, At: now, Body: body, Due: now})
		}
		told, changed = now, true
		next = slices.DeleteFunc(next, func(n Alert) bool { return !n.Over.IsZero() })
		for i := range next {
			if next[i].Told.IsZero() {
				next[i].Told = now
			}
		}
	}
	if !changed {
		return nil
	}
	return a.Store.SetAlerts(ctx, r.Name, next, told, messages)
}

// untold is what nobody was told of yet.
func untold(list []Alert) (begun, over []Alert) {
	for _, n := range list {
		switch {
		case !n.Over.IsZero():
			over = append(over, n)
		case n.Told.IsZero():
			begun = append(begun, n)
		}
	}
	return begun, over
}

func (a *Alerts) body(r AlertRule, begun, over []Alert) AlertBody {
	b := AlertBody{Kind: r.Kind, BegunCount: len(begun), OverCount: len(over), Server: a.Site.URL}
	b.Begun, b.Over = begun[:min(len(begun), alertListed)], over[:min(len(over), alertListed)]
	words := ""
	switch {
	case len(over) == 0:
		words = fmt.Sprintf("%d new", len(begun))
	case len(begun) == 0:
		words = fmt.Sprintf("%d over", len(over))
	default:
		words = fmt.Sprintf("%d new, %d over", len(begun), len(over))
	}
	b.Title = fmt.Sprintf("[gitmirror %s] %s (%s): %s", a.Site.Host(), r.Name, r.Kind, words)
	return b
}

// deliver sends what is due.
func (a *Alerts) deliver(ctx context.Context) error {
	due, err := a.Store.DueMessages(ctx, time.Now().UTC(), alertBatch)
	if err != nil {
		return err
	}
	for _, m := range due {
		now := time.Now().UTC()
		mine, err := a.Store.Duty(ctx, alertDuty, a.Owner, now, now.Add(alertLease))
		if err != nil || !mine {
			return err
		}
		err = a.send(ctx, m)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		m.Attempts++
		switch {
		case err == nil:
			m.Sent, m.Due, m.Problem = time.Now().UTC(), time.Time{}, ""
		case m.Attempts >= alertTries || m.Rule == "" || errors.Is(err, ErrNotFound):
			m.Due, m.Problem = time.Time{}, AsProblem(err).Error()
			a.Log.Error("alert not delivered", "channel", m.Channel, "rule", m.Rule, "err", err)
		default:
			m.Due, m.Problem = time.Now().UTC().Add(min(alertMaxTry, alertFirstTry<<(m.Attempts-1))), AsProblem(err).Error()
			a.Log.Warn("alert not delivered yet", "channel", m.Channel, "rule", m.Rule, "attempts", m.Attempts, "err", err)
		}
		if err := a.Store.MessageTried(context.WithoutCancel(ctx), m); err != nil {
			return err
		}
	}
	return nil
}

func (a *Alerts) send(ctx context.Context, m AlertMessage) error {
	c, err := a.channel(ctx, m.Channel)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, alertSendTime)
	defer cancel()
	return a.Sender.Send(ctx, c, m.ID, m.Body)
}

// Trial sends a message to a channel and waits for the end of it.
func (a *Alerts) Trial(ctx context.Context, channel string) error {
	a.init()
	if _, err := a.channel(ctx, channel); err != nil {
		return err
	}
	now := time.Now().UTC()
	m := AlertMessage{Channel: channel, At: now, Body: AlertBody{
		Title: fmt.Sprintf("[gitmirror %s] This is a trial: alerts of this server arrive here", a.Site.Host()), Server: a.Site.URL,
	}}
	var err error
	if m.ID, err = a.Store.QueueMessage(ctx, m); err != nil {
		return err
	}
	err = a.send(ctx, m)
	m.Attempts = 1
	if err != nil {
		m.Problem = AsProblem(err).Error()
	} else {
		m.Sent = time.Now().UTC()
	}
	return errors.Join(err, a.Store.MessageTried(context.WithoutCancel(ctx), m))
}

// sealedParts is what Vault seals of a channel.
type sealedParts struct{ URL, Secret string }

func (a *Alerts) channel(ctx context.Context, name string) (AlertChannel, error) {
	all, err := a.Store.AlertChannels(ctx)
	if err != nil {
		return AlertChannel{}, err
	}
	for _, s := range all {
		if s.Name == name {
			return a.open(s)
		}
	}
	return AlertChannel{}, &Problem{Kind: ErrNotFound, What: "there is no alert channel " + quote(name)}
}

func (a *Alerts) open(s SealedChannel) (AlertChannel, error) {
	text, err := a.Vault.Open("alert channel "+s.Name, s.Sealed)
	if err != nil {
		return AlertChannel{}, err
	}
	var parts sealedParts
	err = json.Unmarshal([]byte(text), &parts)
	c := s.AlertChannel
	c.URL, c.Secret = Secret(parts.URL), Secret(parts.Secret)
	return c, err
}

// SaveChannel adds a channel (Version zero) or edits the one with that Version.
// An empty URL or Secret of an edit stays what it was, unless the host or kind
// changes: a secret is not sent to another host than it was entered for.
func (a *Alerts) SaveChannel(ctx context.Context, c AlertChannel) error {
	a.init()
	if c.Version > 0 {
		was, err := a.channel(ctx, c.Name)
		if err != nil {
			return err
		}
		if c.URL == "" {
			c.URL = was.URL
		}
		fresh := c
		if err := fresh.check(); err != nil {
			return err
		}
		if c.Secret == "" && fresh.Shown == was.Shown && fresh.Kind == was.Kind && fresh.TLS == was.TLS {
			c.Secret = was.Secret
		}
		c.Created = was.Created
	} else {
		c.Created = time.Now().UTC()
	}
	if err := c.check(); err != nil {
		return err
	}
	text, err := json.Marshal(sealedParts{c.URL.Reveal(), c.Secret.Reveal()})
	if err != nil {
		return err
	}
	s := SealedChannel{AlertChannel: c}
	s.URL, s.Secret = "", ""
	if s.Sealed, err = a.Vault.Seal("alert channel "+c.Name, string(text)); err != nil {
		return err
	}
	return a.Store.SaveAlertChannel(ctx, s)
}

// RemoveChannel forgets a channel that no rule uses any more.
func (a *Alerts) RemoveChannel(ctx context.Context, name string) error {
	rules, err := a.Store.AlertRules(ctx)
	if err != nil {
		return err
	}
	for _, r := range rules {
		if slices.Contains(r.Channels, name) {
			return &Problem{Kind: ErrExists, What: "the alert rule " + quote(r.Name) + " sends to " + quote(name), Do: "edit or remove that rule first"}
		}
	}
	return a.Store.RemoveAlertChannel(ctx, name)
}

// SaveRule adds a rule (Version zero) or edits the one with that Version.
func (a *Alerts) SaveRule(ctx context.Context, r AlertRule) error {
	a.init()
	if err := r.check(); err != nil {
		return err
	}
	for _, name := range r.Channels {
		if _, err := a.channel(ctx, name); err != nil {
			return &Problem{Kind: ErrInvalid, What: "there is no alert channel " + quote(name), Do: "add the channel first"}
		}
	}
	if r.Version == 0 {
		r.Created = time.Now().UTC()
	}
	if err := a.Store.SaveAlertRule(ctx, r); err != nil {
		return err
	}
	select {
	case a.wake <- struct{}{}:
	default:
	}
	return nil
}
