package mirror

import (
	"context"
	"fmt"
	"net/mail"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// AlertKind is what an alert rule watches for.
type AlertKind string

// The kinds.
const (
	AlertLate       AlertKind = "late"               // a mirror was not in step with upstream for longer than After
	AlertFailing    AlertKind = "failing"            // so many attempts in a row failed
	AlertTag        AlertKind = "tag-moved"          // upstream moved a tag, and somebody must decide
	AlertHeld       AlertKind = "change-held"        // another change of upstream waits for a decision
	AlertExpiring   AlertKind = "token-expiring"     // an API token ends within After
	AlertCredential AlertKind = "credential-refused" // an upstream does not accept what we sign in with
	AlertDisk       AlertKind = "disk"               // the disk is too full for something
	AlertFailover   AlertKind = "failover"           // a host is reached by a road that is not its first
	AlertChecksum   AlertKind = "checksum-refused"   // a module is not what the checksum database says
)

// AlertKinds are all of them.
func AlertKinds() []AlertKind {
	return []AlertKind{AlertLate, AlertFailing, AlertTag, AlertHeld, AlertExpiring, AlertCredential, AlertDisk, AlertFailover, AlertChecksum}
}

// AlertRule says what is told to whom.
type AlertRule struct {
	Name string // lower-case letters, digits, "-"
	Kind AlertKind
	// After is how late (AlertLate; zero = 24 h) or how soon (AlertExpiring; zero = 14 days).
	After time.Duration
	// Times is how many failures in a row (AlertFailing); zero = 3.
	Times int
	// Pattern narrows it to mirrors: a path, or the beginning of one and "*"; empty = all.
	Pattern  string
	Channels []string // names; a rule without any only shows on the page
	Disabled bool
	Told     time.Time // when it last made a message
	Created  time.Time
	Version  int64 // grows with every edit
}

// ChannelKind is the way a message goes.
type ChannelKind string

// The kinds.
const (
	ByWebhook  ChannelKind = "webhook" // JSON, signed
	ByMail     ChannelKind = "email"
	BySlack    ChannelKind = "slack"
	ByFeishu   ChannelKind = "feishu"
	ByDingTalk ChannelKind = "dingtalk"
)

// ChannelKinds are all of them.
func ChannelKinds() []ChannelKind {
	return []ChannelKind{ByWebhook, ByMail, BySlack, ByFeishu, ByDingTalk}
}

// AlertChannel is where messages go.
type AlertChannel struct {
	Name string
	Kind ChannelKind
	// URL of a webhook. It is stored sealed: those of chats are secrets.
	URL Secret
	// Secret signs what goes to a webhook, or is the password of the mail server; it
	// may be empty, and is stored sealed.
	Secret Secret
	// Shown is what may be shown of the URL: scheme and host.
	Shown string
	// Server is host:port of the mail server, TLS "starttls", "tls" or "none".
	Server, TLS, User, From string
	To                      []string
	Created                 time.Time
	Version                 int64
}

// SealedChannel is a channel as it may be stored.
type SealedChannel struct {
	AlertChannel        // URL and Secret are empty
	Sealed       []byte // both, as JSON
}

// Alert is something that is so now, or was until a moment ago.
type Alert struct {
	Rule    string    `json:"rule"`
	Subject string    `json:"subject"` // what it is about: "mirror github.com/spf13/cobra"
	Text    string    `json:"text"`
	Link    string    `json:"link,omitempty"` // path on this server
	Since   time.Time `json:"since"`
	Over    time.Time `json:"over,omitzero"` // it is not so any more
	Told    time.Time `json:"told,omitzero"` // a message said that it began
}

// AlertMessage is a message on its way to a channel.
type AlertMessage struct {
	ID      int64
	Channel string
	Rule    string // empty = a trial
	At      time.Time
	Body    AlertBody

	Attempts int
	Due      time.Time // of the next attempt; zero = it was sent or given up
	Sent     time.Time // zero = not yet
	Problem  string    // why the last attempt failed
}

// AlertBody is what a message says.
type AlertBody struct {
	Title string    `json:"title"`
	Kind  AlertKind `json:"kind,omitempty"`
	// Begun and Over are at most 20 each; the counts say how many there are.
	Begun      []Alert `json:"begun,omitempty"`
	BegunCount int     `json:"begun_count"`
	Over       []Alert `json:"over,omitempty"`
	OverCount  int     `json:"over_count"`
	Server     string  `json:"server"` // URL of this one
}

// Text is the message in words.
func (b AlertBody) Text() string {
	var t strings.Builder
	t.WriteString(b.Title)
	list := func(head string, alerts []Alert, n int) {
		if n == 0 {
			return
		}
		fmt.Fprintf(&t, "\n\n%s", head)
		for _, a := range alerts {
			fmt.Fprintf(&t, "\n- %s: %s (since %s)", a.Subject, a.Text, a.Since.UTC().Format("2006-01-02 15:04 UTC"))
			if a.Link != "" {
				fmt.Fprintf(&t, "\n  %s%s", strings.TrimSuffix(b.Server, "/"), a.Link)
			}
		}
		if n > len(alerts) {
			fmt.Fprintf(&t, "\n- and %d more", n-len(alerts))
		}
	}
	list("Now:", b.Begun, b.BegunCount)
	list("Over:", b.Over, b.OverCount)
	return t.String()
}

// AlertStore keeps channels, rules, what is on, and the messages. A missing row
// is ErrNotFound; a Version that is no longer the stored one is ErrExists.
type AlertStore interface {
	// Duty takes a piece of work for owner until the given time, or prolongs it,
	// unless another has it.
	Duty(ctx context.Context, name, owner string, now, until time.Time) (mine bool, err error)

	AlertChannels(ctx context.Context) ([]SealedChannel, error) // by name
	// SaveAlertChannel adds c (Version zero) or replaces the one with its Version.
	SaveAlertChannel(ctx context.Context, c SealedChannel) error
	RemoveAlertChannel(ctx context.Context, name string) error

	AlertRules(ctx context.Context) ([]AlertRule, error) // by name
	SaveAlertRule(ctx context.Context, r AlertRule) error
	RemoveAlertRule(ctx context.Context, name string) error

	Alerts(ctx context.Context, rule string) ([]Alert, error) // by rule and time; empty = of all rules
	// FindAlerts lists what is on and holds a text in its rule or subject, in the
	// order of Alerts; found is how many there are, all without the text.
	FindAlerts(ctx context.Context, text string, offset, limit int) (list []Alert, found, all int, err error)
	// SetAlerts replaces what is on of a rule and queues messages, in one
	// transaction. told is when the rule made a message; zero = it made none.
	SetAlerts(ctx context.Context, rule string, alerts []Alert, told time.Time, messages []AlertMessage) error
	QueueMessage(ctx context.Context, m AlertMessage) (id int64, err error)
	// DueMessages lists the oldest first.
	DueMessages(ctx context.Context, now time.Time, limit int) ([]AlertMessage, error)
	// MessageTried stores Attempts, Due, Sent and Problem.
	MessageTried(ctx context.Context, m AlertMessage) error
	// Messages lists the newest first, behind the given id unless it is zero.
	Messages(ctx context.Context, before int64, limit int) ([]AlertMessage, error)
	// ForgetMessages drops those that are done and older.
	ForgetMessages(ctx context.Context, before time.Time) error
}

var alertName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,59}$`)

func checkAlertName(name string) error {
	if !alertName.MatchString(name) {
		return &Problem{Kind: ErrInvalid, What: quote(name) + " cannot be a name here", Do: "use lower-case letters, digits and -, at most 60"}
	}
	return nil
}

// check says what is wrong with a rule, and fills in what was left out.
func (r *AlertRule) check() error {
	if err := checkAlertName(r.Name); err != nil {
		return err
	}
	known := false
	for _, k := range AlertKinds() {
		known = known || k == r.Kind
	}
	switch {
	case !known:
		return &Problem{Kind: ErrInvalid, What: quote(string(r.Kind)) + " is nothing an alert can be about", Do: fmt.Sprintf("choose one of %v", AlertKinds())}
	case r.After < 0 || r.Times < 0 || r.After > 10*365*24*time.Hour || r.Times > 1_000_000:
		return &Problem{Kind: ErrInvalid, What: "the threshold of the alert is out of range"}
	case len(r.Pattern) > 500 || strings.Contains(strings.TrimSuffix(r.Pattern, "*"), "*"):
		return &Problem{Kind: ErrInvalid, What: "the pattern cannot be used", Do: `give a path, or the beginning of one with "*" at its end`}
	}
	if r.Kind == AlertLate && r.After == 0 {
		r.After = 24 * time.Hour
	}
	if r.Kind == AlertExpiring && r.After == 0 {
		r.After = 14 * 24 * time.Hour
	}
	if r.Kind == AlertFailing && r.Times == 0 {
		r.Times = 3
	}
	return nil
}

// matches tells whether a rule is about a mirror.
func (r AlertRule) matches(p Path) bool {
	if begin, ok := strings.CutSuffix(r.Pattern, "*"); ok {
		return strings.HasPrefix(strings.ToLower(string(p)), strings.ToLower(begin))
	}
	return r.Pattern == "" || strings.EqualFold(r.Pattern, string(p))
}

// check says what is wrong with a channel.
func (c *AlertChannel) check() error {
	if err := checkAlertName(c.Name); err != nil {
		return err
	}
	if c.Kind == ByMail {
		return c.checkMail()
	}
	known := false
	for _, k := range ChannelKinds() {
		known = known || k == c.Kind
	}
	if !known {
		return &Problem{Kind: ErrInvalid, What: quote(string(c.Kind)) + " is no kind of channel", Do: fmt.Sprintf("choose one of %v", ChannelKinds())}
	}
	u, err := url.Parse(c.URL.Reveal())
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || len(c.URL) > 2000 {
		return &Problem{Code: CodeBadURL, Kind: ErrInvalid, What: "the URL of the channel cannot be used", Why: "it is not https://HOST/… or http://HOST/… without user and password"}
	}
	c.Shown = u.Scheme + "://" + u.Host
	c.Server, c.TLS, c.User, c.From, c.To = "", "", "", "", nil
	return nil
}

func (c *AlertChannel) checkMail() error {
	bad := func(what, do string) error { return &Problem{Kind: ErrInvalid, What: what, Do: do} }
	host, port, ok := strings.Cut(c.Server, ":")
	if !ok || host == "" || port == "" || strings.ContainsAny(c.Server, "/ @\r\n") {
		return bad("the mail server is not HOST:PORT", "for example mail.example.com:587")
	}
	if c.TLS == "" {
		c.TLS = "starttls"
	}
	if c.TLS != "starttls" && c.TLS != "tls" && c.TLS != "none" {
		return bad("the mail server's TLS is none of starttls, tls and none", "use starttls, tls or none")
	}
	if c.TLS == "none" && c.Secret != "" {
		return bad("a password is not sent without TLS", "use starttls or tls")
	}
	if len(c.To) == 0 || len(c.To) > 50 {
		return bad("an e-mail needs between 1 and 50 receivers", "")
	}
	for _, a := range append([]string{c.From}, c.To...) {
		if _, err := mail.ParseAddress(a); err != nil || strings.ContainsAny(a, "\r\n") {
			return bad(quote(a)+" is no e-mail address", "")
		}
	}
	c.URL, c.Shown = "", "smtp://"+c.Server
	return nil
}
