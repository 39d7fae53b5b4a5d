package mirror

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"
)

// MaxBulk is how many repositories one list may name: more first clones at once
// are more than anybody means.
const MaxBulk = 10_000

// PlanState is what adding would do.
type PlanState string

// The states of a Planned.
const (
	PlanNew        PlanState = "new"        // it would be added
	PlanPresent    PlanState = "present"    // it is mirrored already
	PlanImpossible PlanState = "impossible" // it cannot be; see the error
)

// Planned is one repository of a list, with everything in the list that leads
// to it.
type Planned struct {
	Asked []string // texts of the list, in its order
	State PlanState
	Repo  Repo // as it is, or would be
	// Prefixes are the import prefixes that lead to it and are not its path.
	Prefixes []string
	// Err says why it is impossible; nil otherwise.
	Err error
}

// Plan is what adding a list would do.
type Plan struct {
	Items                    []Planned // in the order of the list
	Asked                    int       // texts in the list
	New, Present, Impossible int       // items
}

// bulkWorkers look at once; most of what they wait for is discovery.
const bulkWorkers = 32

// PlanAll tells what Add would do with each of a list, and changes nothing.
// Several modules of one repository are one item. What is wrong with one is kept
// with it; the error is ctx's. step, if not nil, hears how many were looked at;
// it is called by one goroutine at a time.
func (c *Catalog) PlanAll(ctx context.Context, list []NewMirror, step func(done int)) (Plan, error) {
	a, err := c.atlas(ctx)
	if err != nil {
		return Plan{}, err
	}
	type looked struct {
		i    int
		plan Preview
		err  error
	}
	results := make(chan looked)
	var work errgroup.Group
	work.SetLimit(bulkWorkers)
	go func() {
		for i, m := range list {
			work.Go(func() error {
				plan, err := a.preview(ctx, m)
				results <- looked{i, plan, err}
				return nil
			})
		}
		_ = work.Wait() // they never fail
		close(results)
	}()
	all := make([]looked, len(list))
	done := 0
	for r := range results {
		all[r.i] = r
		if done++; step != nil {
			step(done)
		}
	}
	if ctx.Err() != nil {
		return Plan{}, context.Cause(ctx)
	}
	plan := Plan{Asked: len(list)}
	at := make(map[string]int, len(list))
	for _, r := range all {
		text := hidePassword(list[r.i].Text)
		if r.err != nil {
			plan.Impossible++
			plan.Items = append(plan.Items, Planned{Asked: []string{text}, State: PlanImpossible, Err: r.err})
			continue
		}
		key := r.plan.Repo.Path.Key()
		i, known := at[key]
		if !known {
			i = len(plan.Items)
			at[key] = i
			item := Planned{State: PlanNew, Repo: r.plan.Repo}
			if r.plan.Existed {
				item.State = PlanPresent
				plan.Present++
			} else {
				plan.New++
			}
			plan.Items = append(plan.Items, item)
		}
		item := &plan.Items[i]
		item.Asked = append(item.Asked, text)
		if prefix := r.plan.Alias.Prefix; prefix != "" && !slices.Contains(item.Prefixes, prefix) {
			item.Prefixes = append(item.Prefixes, prefix)
		}
	}
	return plan, nil
}
