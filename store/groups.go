package store

import (
	"context"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gitmirror/gitmirror/auth"
)

type groupRow struct {
	ID      string `gorm:"primaryKey"`
	Name    string
	NameKey string
	Created int64
}

// TableName is where gorm finds the rows.
func (groupRow) TableName() string { return "user_groups" }

type memberRow struct {
	GroupID string `gorm:"primaryKey"`
	UserID  string `gorm:"primaryKey"`
	Origin  string
}

// TableName is where gorm finds the rows.
func (memberRow) TableName() string { return "group_members" }

type grantRow struct {
	Pattern    string
	PatternKey string `gorm:"primaryKey"`
	GroupID    string `gorm:"primaryKey"`
	Created    int64
}

// TableName is where gorm finds the rows.
func (grantRow) TableName() string { return "grants" }

// AddGroup implements auth.GroupStore.
func (db *DB) AddGroup(ctx context.Context, g auth.Group) error {
	defer db.changed()
	row := groupRow{ID: g.ID, Name: g.Name, NameKey: foldName(g.Name), Created: g.Created.UnixMicro()}
	return about("group", g.Name, table[groupRow](db.write).Create(ctx, &row))
}

// Groups implements auth.GroupStore.
func (db *DB) Groups(ctx context.Context) ([]auth.Group, error) {
	rows, err := table[groupRow](db.read).Order("name_key").Find(ctx)
	groups := make([]auth.Group, len(rows))
	for i, row := range rows {
		groups[i] = auth.Group{ID: row.ID, Name: row.Name, Created: moment(&row.Created)}
	}
	return groups, known(err)
}

// RemoveGroup implements auth.GroupStore. Memberships and grants go with the row.
func (db *DB) RemoveGroup(ctx context.Context, id string) error {
	return about("group", id, remove[groupRow](ctx, db, "id = ?", id))
}

// Join implements auth.GroupStore; ErrNotFound when group or user is gone.
func (db *DB) Join(ctx context.Context, m auth.Member) error {
	defer db.changed()
	row := memberRow{GroupID: m.Group, UserID: m.User, Origin: m.Origin}
	return about("member", m.User, table[memberRow](db.write, clause.OnConflict{
		Columns:   []clause.Column{{Name: "group_id"}, {Name: "user_id"}},
		DoUpdates: clause.AssignmentColumns([]string{"origin"}),
	}).Create(ctx, &row))
}

// Leave implements auth.GroupStore.
func (db *DB) Leave(ctx context.Context, group, user string) error {
	return about("member", user, remove[memberRow](ctx, db, "group_id = ? AND user_id = ?", group, user))
}

// SetMemberships implements auth.GroupStore.
func (db *DB) SetMemberships(ctx context.Context, user, origin string, groups []string) error {
	have, err := table[memberRow](db.read).Where("user_id = ? AND origin = ?", user, origin).Find(ctx)
	if err != nil {
		return known(err)
	}
	same := len(have) == len(groups)
	for _, m := range have {
		same = same && slices.Contains(groups, m.GroupID)
	}
	if same { // as nearly always: no write
		return nil
	}
	return about("member", user, db.in(ctx, func(tx *gorm.DB) error {
		if _, err := table[memberRow](tx).Where("user_id = ? AND origin = ?", user, origin).Delete(ctx); err != nil {
			return err
		}
		for _, group := range groups {
			row := memberRow{GroupID: group, UserID: user, Origin: origin}
			// What an administrator has given stays theirs to take.
			err := table[memberRow](tx, clause.OnConflict{DoNothing: true}).Create(ctx, &row)
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

// AddGrant implements auth.GroupStore; ErrNotFound when there is no such group.
func (db *DB) AddGrant(ctx context.Context, g auth.Grant) error {
	defer db.changed()
	row := grantRow{Pattern: g.Pattern, PatternKey: strings.ToLower(g.Pattern), GroupID: g.Group, Created: g.Created.UnixMicro()}
	return about("grant", g.Pattern, table[grantRow](db.write, clause.OnConflict{DoNothing: true}).Create(ctx, &row))
}

// RemoveGrant implements auth.GroupStore.
func (db *DB) RemoveGrant(ctx context.Context, pattern, group string) error {
	return about("grant", pattern, remove[grantRow](ctx, db, "pattern_key = ? AND group_id = ?", strings.ToLower(pattern), group))
}

// Access implements auth.GroupStore.
func (db *DB) Access(ctx context.Context) (auth.AccessTable, error) {
	grants, err := table[grantRow](db.read).Order("pattern_key, group_id").Find(ctx)
	if err != nil {
		return auth.AccessTable{}, known(err)
	}
	members, err := table[memberRow](db.read).Order("group_id, user_id").Find(ctx)
	if err != nil {
		return auth.AccessTable{}, known(err)
	}
	t := auth.AccessTable{Grants: make([]auth.Grant, len(grants)), Members: make([]auth.Member, len(members))}
	for i, row := range grants {
		t.Grants[i] = auth.Grant{Pattern: row.Pattern, Group: row.GroupID, Created: moment(&row.Created)}
	}
	for i, row := range members {
		t.Members[i] = auth.Member{Group: row.GroupID, User: row.UserID, Origin: row.Origin}
	}
	return t, nil
}
