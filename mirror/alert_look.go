package mirror

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// alertLook is one look at everything rules are about.
type alertLook struct {
	*Alerts
	now   time.Time
	repos []Repo // read once
	read  bool
}

// found is what is so now that a rule is about.
func (l *alertLook) found(ctx context.Context, r AlertRule) ([]Alert, error) {
	switch r.Kind {
	case AlertLate, AlertFailing, AlertCredential:
		return l.mirrors(ctx, r)
	case AlertTag, AlertHeld:
		return l.holds(ctx, r)
	case AlertDisk:
		crowded := l.disk()
		if l.Crowded != nil {
			crowded = append(crowded, l.Crowded()...)
		}
		return crowded, nil
	case AlertFailover:
		return l.roads(ctx)
	case AlertExpiring:
		if l.Expiring != nil {
			return l.Expiring(ctx, l.now.Add(r.After))
		}
	case AlertChecksum:
		if l.Forged != nil {
			return l.Forged(ctx, l.now.Add(-24*time.Hour))
		}
	}
	return nil, nil
}

func (l *alertLook) all(ctx context.Context) ([]Repo, error) {
	for after := Path(""); !l.read; {
		page, err := l.Repos.Repos(ctx, RepoQuery{After: after, Limit: 1000})
		if err != nil {
			return nil, err
		}
		l.repos = append(l.repos, page...)
		if len(page) < 1000 {
			l.read = true
			break
		}
		after = page[len(page)-1].Path
	}
	return l.repos, nil
}

func (l *alertLook) mirrors(ctx context.Context, r AlertRule) ([]Alert, error) {
	repos, err := l.all(ctx)
	if err != nil {
		return nil, err
	}
	var out []Alert
	credentials := map[string]int{} // place in out
	for _, m := range repos {
		if m.Paused || !r.matches(m.Path) {
			continue
		}
		s := m.State
		f := Alert{Subject: "mirror " + string(m.Path), Link: "/mirrors/" + string(m.ID)}
		switch {
		case r.Kind == AlertLate && l.now.Sub(later(s.LastSuccess, m.Created)) > r.After:
			f.Text = "not in step with upstream for longer than " + r.After.String()
			if s.Problem != nil {
				f.Text += ": " + s.Problem.What
			}
		case r.Kind == AlertFailing && s.Failures >= r.Times:
			f.Text = fmt.Sprintf("failed %d times in a row or more", r.Times)
			if s.Problem != nil {
				f.Text += ": " + s.Problem.Error()
			}
		case r.Kind == AlertCredential && s.Problem != nil && s.Problem.Code == CodeAuth:
			// One credential may be that of a thousand mirrors.
			name := m.Credential
			if name == "" {
				name = "(none)"
			}
			f.Subject, f.Link = "credential "+name+" at "+m.Upstream.Host, "/rules#credentials"
			if _, known := credentials[f.Subject]; known {
				continue
			}
			credentials[f.Subject] = len(out)
			f.Text = "refused: " + s.Problem.What
		default:
			continue
		}
		out = append(out, f)
	}
	return out, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (l *alertLook) holds(ctx context.Context, r AlertRule) ([]Alert, error) {
	var out []Alert
	for before := int64(0); ; {
		page, err := l.Repos.Holds(ctx, HoldQuery{State: "open", Before: before, Limit: 1000})
		if err != nil {
			return nil, err
		}
		for _, h := range page {
			before = h.ID
			if (h.Kind == HoldTag) != (r.Kind == AlertTag) {
				continue
			}
			repo, err := l.Repos.RepoByID(ctx, h.Repo)
			if err != nil || !r.matches(repo.Path) { // removed meanwhile
				continue
			}
			ref := ""
			if h.Ref != "" {
				ref = ", " + strings.TrimPrefix(h.Ref, "refs/tags/")
			}
			out = append(out, Alert{
				Subject: "mirror " + string(repo.Path) + ref + fmt.Sprintf(" (approval %d)", h.ID), Text: h.Text, Link: "/approvals", Since: h.Opened,
			})
		}
		if len(page) < 1000 {
			return out, nil
		}
	}
}

func (l *alertLook) disk() []Alert {
	if l.Disk == nil {
		return nil
	}
	space, level := l.Disk()
	if level == Roomy {
		return nil
	}
	return []Alert{{Subject: "disk of " + l.Owner, Text: "the room on the disk is " + level.String() + ", of " + gigabytes(space.Total), Link: "/system"}}
}

func (l *alertLook) roads(ctx context.Context) ([]Alert, error) {
	hosts, err := l.Repos.Hosts(ctx)
	var out []Alert
	for _, h := range hosts {
		first := ""
		for _, e := range h.Endpoints {
			if !e.Disabled && first == "" {
				first = e.Name
			}
		}
		if used := h.InUse().Name; first != "" && used != first && !h.Pinned {
			out = append(out, Alert{Subject: "upstream " + h.Name, Text: "reached by " + used + " instead of " + first, Link: "/upstreams/" + h.Name, Since: h.Since})
		}
	}
	return out, err
}
