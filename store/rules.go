package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gitmirror/gitmirror/mirror"
)

type ruleRow struct {
	Pattern    string
	PatternKey string `gorm:"primaryKey"`
	Credential string
	Private    bool
	Discovery  string // JSON of mirror.RuleDiscovery; "" = none
	Listing    string // JSON of mirror.RuleListing; "" = none
	ListingDue *int64
}

// TableName is where gorm finds the rows.
func (ruleRow) TableName() string { return "rules" }

func newRuleRow(r mirror.Rule, now time.Time) (ruleRow, error) {
	row := ruleRow{Pattern: r.Pattern, PatternKey: strings.ToLower(r.Pattern), Credential: r.Credential, Private: r.Private}
	if r.Discovery == nil {
		return row, nil
	}
	text, err := json.Marshal(r.Discovery)
	row.Discovery, row.ListingDue = clean(string(text)), micros(now)
	return row, err
}

func (row ruleRow) rule() (mirror.Rule, error) {
	r := mirror.Rule{Pattern: row.Pattern, Credential: row.Credential, Private: row.Private}
	if row.Discovery != "" {
		r.Discovery = &mirror.RuleDiscovery{}
		if err := json.Unmarshal([]byte(row.Discovery), r.Discovery); err != nil {
			return r, fmt.Errorf("stored rule %s: %w", row.Pattern, err)
		}
	}
	if row.Listing != "" {
		if err := json.Unmarshal([]byte(row.Listing), &r.Listing); err != nil {
			return r, fmt.Errorf("stored listing of rule %s: %w", row.Pattern, err)
		}
	}
	return r, nil
}

// AddRule implements mirror.ImportStore.
func (db *DB) AddRule(ctx context.Context, r mirror.Rule) error {
	defer db.changed()
	row, err := newRuleRow(r, time.Now())
	if err != nil {
		return err
	}
	return about("rule", r.Pattern, table[ruleRow](db.write).Create(ctx, &row))
}

// EditRule implements mirror.ImportStore.
func (db *DB) EditRule(ctx context.Context, r mirror.Rule) error {
	defer db.changed()
	row, err := newRuleRow(r, time.Now())
	if err != nil {
		return err
	}
	n, err := table[ruleRow](db.write).Where("pattern_key = ?", row.PatternKey).
		Select("discovery", "listing", "listing_due").Updates(ctx, row)
	if err == nil && n == 0 {
		err = mirror.ErrNotFound
	}
	return about("rule", r.Pattern, err)
}

// RemoveRule implements mirror.ImportStore.
func (db *DB) RemoveRule(ctx context.Context, pattern string) error {
	return about("rule", pattern, remove[ruleRow](ctx, db, "pattern_key = ?", strings.ToLower(pattern)))
}

// Rules implements mirror.ImportStore.
func (db *DB) Rules(ctx context.Context) ([]mirror.Rule, error) {
	rows, err := table[ruleRow](db.read).Order("pattern_key").Find(ctx)
	if err != nil {
		return nil, known(err)
	}
	rules := make([]mirror.Rule, len(rows))
	for i, row := range rows {
		if rules[i], err = row.rule(); err != nil {
			return nil, err
		}
	}
	return rules, nil
}

// ClaimRule implements mirror.ImportStore. Two servers may see the same row
// due; only one of them moves its time.
func (db *DB) ClaimRule(ctx context.Context, now, next time.Time) (mirror.Rule, bool, error) {
	for range 10 { // lost races
		row, err := table[ruleRow](db.read).Where("listing_due <= ?", *micros(now)).Order("listing_due, pattern_key").Take(ctx)
		if errors.Is(err, gorm.ErrRecordNotFound) {
			return mirror.Rule{}, false, nil
		}
		if err != nil {
			return mirror.Rule{}, false, known(err)
		}
		n, err := table[ruleRow](db.write).Where("pattern_key = ? AND listing_due = ?", row.PatternKey, *row.ListingDue).
			Select("listing_due").Updates(ctx, ruleRow{ListingDue: micros(next)})
		if err != nil {
			return mirror.Rule{}, false, known(err)
		}
		if n == 1 {
			r, err := row.rule()
			return r, err == nil, err
		}
	}
	return mirror.Rule{}, false, nil
}

// RuleListed implements mirror.ImportStore.
func (db *DB) RuleListed(ctx context.Context, r mirror.Rule, l mirror.RuleListing, due time.Time) error {
	row, err := newRuleRow(r, due)
	if err != nil {
		return err
	}
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, err = table[ruleRow](db.write).Where("pattern_key = ? AND discovery = ?", row.PatternKey, row.Discovery).
		Select("listing", "listing_due").Updates(ctx, ruleRow{Listing: clean(string(text)), ListingDue: micros(due)})
	return known(err)
}
