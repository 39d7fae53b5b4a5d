package store

import (
	"context"
	"slices"
	"strings"

	"gorm.io/gorm"

	"github.com/gitmirror/gitmirror/mirror"
)

type hostRow struct {
	Name        string `gorm:"primaryKey"`
	Active      string
	Pinned      bool
	PinnedUntil *int64
	Bandwidth   int64
	Budget      float64
	Since       int64
	Version     int64
}

// TableName is where gorm finds the rows.
func (hostRow) TableName() string { return "hosts" }

func newHostRow(h mirror.Host) hostRow {
	return hostRow{
		Name: h.Name, Active: h.Active, Pinned: h.Pinned, PinnedUntil: micros(h.PinnedUntil),
		Bandwidth: h.Bandwidth, Budget: h.Budget, Since: h.Since.UnixMicro(), Version: h.Version,
	}
}

func (row hostRow) host(endpoints []mirror.Endpoint) mirror.Host {
	return mirror.Host{
		Name: row.Name, Endpoints: endpoints, Active: row.Active, Pinned: row.Pinned, PinnedUntil: moment(row.PinnedUntil),
		Bandwidth: row.Bandwidth, Budget: row.Budget, Since: moment(&row.Since), Version: row.Version,
	}
}

type endpointRow struct {
	Host          string `gorm:"primaryKey"`
	Name          string `gorm:"primaryKey"`
	Position      int64
	URL           string
	Credential    string
	Authoritative bool
	Disabled      bool
}

// TableName is where gorm finds the rows.
func (endpointRow) TableName() string { return "endpoints" }

func (row endpointRow) endpoint() mirror.Endpoint {
	return mirror.Endpoint{
		Name: row.Name, URL: row.URL, Credential: row.Credential, Authoritative: row.Authoritative, Disabled: row.Disabled,
	}
}

type hostEventRow struct {
	ID       int64 `gorm:"primaryKey"`
	Host     string
	At       int64
	FromName string
	ToName   string
	ByUser   string
	Reason   string
}

// TableName is where gorm finds the rows.
func (hostEventRow) TableName() string { return "host_events" }

func newHostEventRow(e mirror.HostEvent) hostEventRow {
	return hostEventRow{
		Host: e.Host, At: e.At.UnixMicro(), FromName: e.From, ToName: e.To, ByUser: e.By, Reason: clean(e.Reason),
	}
}

func (row hostEventRow) event() mirror.HostEvent {
	return mirror.HostEvent{
		ID: row.ID, Host: row.Host, At: moment(&row.At), From: row.FromName, To: row.ToName, By: row.ByUser, Reason: row.Reason,
	}
}

// Hosts implements mirror.HostStore.
func (db *DB) Hosts(ctx context.Context) ([]mirror.Host, error) {
	return db.hosts(ctx, db.read, "")
}

// Host implements mirror.HostStore.
func (db *DB) Host(ctx context.Context, name string) (mirror.Host, error) {
	if !storable(name) || name == "" {
		return mirror.Host{}, about("upstream host", clean(name), mirror.ErrNotFound)
	}
	hosts, err := db.hosts(ctx, db.read, name)
	if err == nil && len(hosts) == 0 {
		err = mirror.ErrNotFound
	}
	if err != nil {
		return mirror.Host{}, about("upstream host", name, err)
	}
	return hosts[0], nil
}

// hosts are all of them, or the one with the name.
func (db *DB) hosts(ctx context.Context, from *gorm.DB, name string) ([]mirror.Host, error) {
	var hosts []hostRow
	var endpoints []endpointRow
	// The endpoints are read first: those of a host that is added meanwhile are
	// then missing for a moment, with the host.
	one, two := table[endpointRow](from).Order("host, position, name"), table[hostRow](from).Order("name")
	if name != "" {
		one, two = one.Where("host = ?", name), two.Where("name = ?", name)
	}
	endpoints, err := one.Find(ctx)
	if err != nil {
		return nil, known(err)
	}
	if hosts, err = two.Find(ctx); err != nil {
		return nil, known(err)
	}
	of := map[string][]mirror.Endpoint{}
	for _, e := range endpoints {
		of[e.Host] = append(of[e.Host], e.endpoint())
	}
	list := make([]mirror.Host, len(hosts))
	for i, h := range hosts {
		list[i] = h.host(of[h.Name])
	}
	return list, nil
}

// SaveHost implements mirror.HostStore.
func (db *DB) SaveHost(ctx context.Context, h mirror.Host) error {
	return about("upstream host", h.Name, db.in(ctx, func(tx *gorm.DB) error {
		row := newHostRow(h)
		row.Version++
		if h.Version == 0 {
			if err := table[hostRow](tx).Create(ctx, &row); err != nil {
				return err
			}
		} else {
			n, err := table[hostRow](tx).Where("name = ? AND version = ?", h.Name, h.Version).
				Select("bandwidth", "budget", "version").Updates(ctx, row)
			if err != nil {
				return err
			}
			if n == 0 {
				return editedOrGone(ctx, tx, h.Name)
			}
			if _, err := table[endpointRow](tx).Where("host = ?", h.Name).Delete(ctx); err != nil {
				return err
			}
		}
		rows := make([]endpointRow, len(h.Endpoints))
		for i, e := range h.Endpoints {
			rows[i] = endpointRow{
				Host: h.Name, Name: e.Name, Position: int64(i), URL: e.URL,
				Credential: e.Credential, Authoritative: e.Authoritative, Disabled: e.Disabled,
			}
		}
		if len(rows) == 0 {
			return nil
		}
		return table[endpointRow](tx).CreateInBatches(ctx, &rows, 100)
	}))
}

// editedOrGone says why no row had the expected version.
func editedOrGone(ctx context.Context, tx *gorm.DB, host string) error {
	if _, err := table[hostRow](tx).Where("name = ?", host).Take(ctx); err != nil {
		return err
	}
	return mirror.ErrExists
}

// SwitchHost implements mirror.HostStore.
func (db *DB) SwitchHost(ctx context.Context, s mirror.Switch) error {
	return about("upstream host", s.Host, db.in(ctx, func(tx *gorm.DB) error {
		row := hostRow{Active: s.To, Pinned: s.Pinned, PinnedUntil: micros(s.PinnedUntil), Since: s.At.UnixMicro()}
		columns := []any{"pinned", "pinned_until"}
		if s.From != s.To {
			columns = append(columns, "since")
		}
		n, err := table[hostRow](tx).Where("name = ? AND active = ?", s.Host, s.From).Select("active", columns...).Updates(ctx, row)
		if err != nil {
			return err
		}
		if n == 0 {
			return editedOrGone(ctx, tx, s.Host)
		}
		event := newHostEventRow(s.HostEvent)
		return table[hostEventRow](tx).Create(ctx, &event)
	}))
}

// RemoveHost implements mirror.HostStore.
func (db *DB) RemoveHost(ctx context.Context, name string) error {
	if !storable(name) {
		return about("upstream host", clean(name), mirror.ErrNotFound)
	}
	return about("upstream host", name, db.in(ctx, func(tx *gorm.DB) error {
		n, err := table[hostRow](tx).Where("name = ?", name).Delete(ctx)
		if err == nil && n == 0 {
			err = mirror.ErrNotFound
		}
		if err != nil {
			return err
		}
		if _, err := table[hostEventRow](tx).Where("host = ?", name).Delete(ctx); err != nil {
			return err
		}
		_, err = table[sampleRow](tx).Where("host = ?", name).Delete(ctx)
		return err
	}))
}

// ReposOf implements mirror.HostStore.
func (db *DB) ReposOf(ctx context.Context, host string, limit int) ([]mirror.Repo, error) {
	if !storable(host) || host == "" {
		return nil, nil
	}
	name := host
	if strings.Contains(host, ":") { // an IPv6 address
		name = "[" + host + "]"
	}
	// The name may hold "_", which stands for any character; what it found too
	// much is left out below.
	rows, err := table[repoRow](db.read).
		Where("upstream LIKE ? OR upstream LIKE ? OR upstream LIKE ? OR upstream LIKE ?",
			"%://"+name+"/%", "%://"+name+":%", "%@"+name+"/%", "%@"+name+":%").
		Order("failures, private, path_key").Limit(bounded(limit)).Find(ctx)
	if err != nil {
		return nil, known(err)
	}
	var repos []mirror.Repo
	for _, row := range rows {
		repo, err := row.repo()
		if err != nil {
			return nil, err
		}
		if repo.Upstream.Host == host {
			repos = append(repos, repo)
		}
	}
	return repos, nil
}

// CountMirrors implements mirror.HostStore.
func (db *DB) CountMirrors(ctx context.Context) (map[string]int, error) {
	var upstreams []string
	if err := db.read.WithContext(ctx).Raw("SELECT upstream FROM repos").Scan(&upstreams).Error; err != nil {
		return nil, known(err)
	}
	// What is stored begins with scheme, user and host: parsing it once for each of
	// these is enough, with 10,000 mirrors of github.com.
	type front struct {
		text string // one of them
		n    int
	}
	fronts := map[string]front{}
	for _, text := range upstreams {
		key := text
		if begin := strings.Index(text, "://"); begin >= 0 {
			if end := strings.IndexByte(text[begin+3:], '/'); end >= 0 {
				key = text[:begin+3+end]
			}
		}
		fronts[key] = front{text, fronts[key].n + 1}
	}
	counts := map[string]int{}
	for _, f := range fronts {
		if up, _, err := mirror.ParseUpstream(f.text); err == nil {
			counts[up.Host] += f.n
		}
	}
	return counts, nil
}

// HostEvents implements mirror.HostStore.
func (db *DB) HostEvents(ctx context.Context, host string, before int64, limit int) ([]mirror.HostEvent, error) {
	if !storable(host) {
		return nil, nil
	}
	rows, err := table[hostEventRow](db.read).Scopes(func(stmt *gorm.Statement) {
		if host != "" {
			where(stmt, "host = ?", host)
		}
		if before > 0 {
			where(stmt, "id < ?", before)
		}
	}).Order("id DESC").Limit(bounded(limit)).Find(ctx)
	if err != nil {
		return nil, known(err)
	}
	events := make([]mirror.HostEvent, len(rows))
	for i, row := range rows {
		events[i] = row.event()
	}
	return slices.Clip(events), nil
}
