package web

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// functions are what templates may call: wording of numbers and times, nothing
// that looks anything up.
func (c *console) functions(w *words) template.FuncMap {
	return template.FuncMap{
		"t":       w.t,
		"tn":      w.n,
		"tx":      w.x,
		"tnx":     w.nx,
		"say":     w.say,
		"problem": w.problem,
		"ago":     w.ago,
		"code":    code,
		"date":    w.date,
		"role":    w.role,
		"scope":   w.scope,
		"origin":  w.origin,
		"change":  w.changeWord,

		"language":    func() *words { return w },
		"languages":   func() []*words { return c.tongues },
		"scriptWords": w.script,
		"asset":       c.assets.url,
		"bytes":       bytesText,
		"count":       countText,
		"every":       w.every,
		"latency":     latencyText,
		"milli":       milliText,
		"list":        func(words ...string) []string { return words },
		"sentence":    sentence,
		"short":       shortHash,
		"when":        func(t time.Time) whenView { return w.when(t, time.Now()) },
	}
}

// bytesText is a size in the decimal units file managers and git hosts use.
func bytesText(n int64) string {
	if n < 1000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	value, units := float64(n), []string{"kB", "MB", "GB", "TB", "PB"}
	i := -1
	for value >= 999.5 && i < len(units)-1 {
		value, i = value/1000, i+1
	}
	if value < 9.95 {
		return fmt.Sprintf("%.1f %s", value, units[i])
	}
	return fmt.Sprintf("%.0f %s", value, units[i])
}

// countText groups the digits of an integer by three, with a narrow space.
func countText(n any) string {
	digits := fmt.Sprintf("%d", n)
	var b strings.Builder
	for i, d := range digits {
		if left := len(digits) - i; i > 0 && left%3 == 0 && digits[i-1] != '-' {
			b.WriteRune('\u202f')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// milliText is a number of milliseconds: whole ones, tenths below ten.
func milliText(ms float64) string {
	if ms < 10 {
		return strconv.FormatFloat(ms, 'f', 1, 64)
	}
	return strconv.FormatFloat(ms, 'f', 0, 64)
}

// span is a length of time in its largest unit, rounded, as people say it.
// app.js has the same table, to keep pages that stay open true.
func (w *words) span(d time.Duration) string {
	seconds := d.Abs().Round(time.Second).Seconds()
	switch {
	case seconds < 60:
		return w.t("{1} s", int(seconds))
	case math.Round(seconds/60) < 60:
		return w.t("{1} min", int(math.Round(seconds/60)))
	case math.Round(seconds/3600) < 48:
		return w.t("{1} h", int(math.Round(seconds/3600)))
	}
	return w.t("{1} days", int(math.Round(seconds/86400)))
}

// sentence begins a problem's text with a capital. A name that stands first
// (github.com, a path, a command in quotes) stays as it is.
func sentence(text string) string {
	word, _, _ := strings.Cut(text, " ")
	if strings.ContainsFunc(strings.TrimRight(word, ":;,"), func(r rune) bool { return r < 'a' || r > 'z' }) || word == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// every is the interval of a mirror: "every 10m", "automatic, …".
func (w *words) every(d time.Duration) string {
	if d == 0 {
		return w.t("automatic, by how often it changes")
	}
	return w.t("every {1}", intervalText(d))
}

// intervalText is a duration without needless zeros: "10m", "1h", "1h30m"; empty for zero.
func intervalText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// shortHash is the first ten digits of an object id.
func shortHash(hash string) string {
	if len(hash) > 10 {
		return hash[:10]
	}
	return hash
}

// whenView is a moment as pages show it: in words, with the exact time behind.
type whenView struct {
	Never bool
	ISO   string // RFC 3339, for <time datetime>
	Exact string // for people, UTC
	Words string // "4 min ago", "in 2 h"
	Clock string // "23:49 UTC", or the date when that is a day away
}

func (w *words) when(t, now time.Time) whenView {
	if t.IsZero() {
		return whenView{Never: true}
	}
	t = t.UTC()
	v := whenView{ISO: t.Format(time.RFC3339), Exact: w.date(t, "2 Jan 2006, 15:04:05 UTC")}
	v.Clock = w.date(t, "15:04 UTC")
	if now.Sub(t).Abs() > 20*time.Hour {
		v.Clock = w.date(t, "2 Jan 2006")
	}
	switch d := now.Sub(t); {
	case d.Abs() < 5*time.Second:
		v.Words = w.t("just now")
	case d > 0:
		v.Words = w.t("{1} ago", w.span(d))
	default:
		v.Words = w.t("in {1}", w.span(d))
	}
	return v
}

// date writes a time in UTC. The layout, as of time.Format, is a text of the
// catalogue: other languages put the parts in another order.
func (w *words) date(t time.Time, layout string) string { return t.UTC().Format(w.t(layout)) }

// stateView is a mirror's state in words, and the look that goes with it.
type stateView struct {
	Word   string
	Look   string // class: "good", "busy", "wait", "warn", "bad", "off"
	Detail string // what the word leaves open: how often it failed, when it is tried again
}

func (w *words) viewState(r mirror.Repo, now time.Time) stateView {
	s := r.State
	next := ""
	if !s.NextSync.IsZero() {
		next = w.t("next try {1}", w.when(s.NextSync, now).Words)
		if s.NextSync.Before(now) {
			next = w.t("next try is due")
		}
	}
	switch s.Status {
	case mirror.Queued:
		return stateView{w.status(s.Status), "wait", w.t("first clone has not begun")}
	case mirror.Cloning:
		return stateView{w.status(s.Status), "busy", w.t("first clone is running")}
	case mirror.Ready:
		return stateView{w.status(s.Status), "good", ""}
	case mirror.Syncing:
		return stateView{w.status(s.Status), "busy", ""}
	case mirror.Retrying:
		return stateView{w.status(s.Status), "warn", w.join(w.failures(s.Failures), next)}
	case mirror.Failed:
		return stateView{w.status(s.Status), "bad", w.join(w.failures(s.Failures), next)}
	case mirror.Paused:
		if !r.Archived.IsZero() {
			return stateView{w.t("Archived"), "off", w.t("upstream gone since {1}", w.date(r.Archived, "2 Jan 2006"))}
		}
		return stateView{w.status(s.Status), "off", w.t("served, not synced")}
	}
	return stateView{string(s.Status), "wait", ""}
}

// status is the state of a mirror in a word.
func (w *words) status(s mirror.Status) string {
	switch s {
	case mirror.Queued:
		return w.t("Waiting")
	case mirror.Cloning:
		return w.t("Cloning")
	case mirror.Ready:
		return w.t("Ready")
	case mirror.Syncing:
		return w.t("Syncing")
	case mirror.Retrying:
		return w.t("Retrying")
	case mirror.Failed:
		return w.t("Needs attention")
	case mirror.Paused:
		return w.t("Paused")
	}
	return string(s)
}

func (w *words) failures(n int) string {
	if n == 0 {
		return ""
	}
	return w.n("{1} failures", n)
}

// join puts the parts that are there behind each other.
func (w *words) join(parts ...string) string {
	kept := parts[:0]
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, w.t(", "))
}

// stale tells whether the data is older than anybody would expect: three
// intervals, or two days where the interval adapts.
func stale(r mirror.Repo, now time.Time) bool {
	if r.State.LastSuccess.IsZero() {
		return false
	}
	return now.Sub(r.State.LastSuccess) > mirror.LateAfter(r.Interval)
}
