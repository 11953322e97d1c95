package table

import (
	"context"
	"log/slog"
	"time"

	"holdfast/catalog"
	"holdfast/item"
	"holdfast/shard"
)

// The pace of the worker.
const (
	retryWait = 5 * time.Second // after a job has failed
	fillBatch = 256             // items that are latched at once to be filled into an index
	fillSlice = 64              // batches that a job does before other jobs get their turn
)

// A worker does the work in progress that the catalog lists, one job after another, in one
// goroutine.
type worker struct {
	disk      *shard.Store
	catalog   *catalog.Catalog
	installer *installer
	tables    *directory
	reclaimer *reclaimer
	log       *slog.Logger
	now       func() time.Time

	// filled is how far indexes and queues have been filled. After a restart they are filled from the
	// beginning again, which is harmless.
	filled map[string]progress
}

// A progress is how far a fill has come in the shards of a table.
type progress struct {
	shard int // those before it are done
	from  item.Key
}

// A job takes a table or backup one step on.
type job struct {
	name string // stable: for the log
	run  func(context.Context) error
}

// run does jobs until there are none, and again when the worker is woken, or retryWait after a job
// has failed.
func (w *worker) run(ctx context.Context) {
	failures := failureLog{log: w.log, last: map[string]string{}}
	for {
		failed := false
		for _, j := range w.jobs() {
			err := j.run(ctx)
			failures.note(ctx, j.name, err)
			failed = failed || err != nil
			if err == nil {
				w.installer.wake() // it may have a next step
			}
		}
		var retry <-chan time.Time
		if failed {
			retry = time.After(retryWait)
		}
		select {
		case <-ctx.Done():
			return
		case <-w.installer.woken:
		case <-retry:
		}
	}
}

// jobs returns the next step of all work in progress.
func (w *worker) jobs() (all []job) {
	now := w.now()
	w.catalog.Read(func(c catalog.Contents) {
		for _, gone := range c.Removed {
			all = append(all, w.jobsOfRemoved(gone, now)...)
		}
		for id, b := range c.Backups {
			if b.Copy != nil {
				all = append(all, job{"fill backup " + id, func(ctx context.Context) error { return w.fillBackup(ctx, b) }})
			}
		}
		for _, r := range c.Tables {
			all = append(all, w.jobsOfTable(r)...)
		}
	})
	return all
}

// jobsOfRemoved returns the next step of removing shards.
func (w *worker) jobsOfRemoved(gone *catalog.Removed, now time.Time) []job {
	switch {
	case !now.Before(gone.Until):
		return []job{{"drop shards of " + gone.ID, func(ctx context.Context) error { return w.drop(ctx, gone) }}}
	case len(gone.Indexes) > 0 || len(gone.Global) > 0:
		return []job{{"clear indexes of " + gone.ID, func(ctx context.Context) error { return w.clearRemoved(ctx, gone) }}}
	}
	return nil
}

// jobsOfTable returns the next steps of a table.
func (w *worker) jobsOfTable(r *catalog.Table) []job {
	name, id := r.Table.Name, r.Table.ID
	if r.Copy != nil {
		return []job{{"restore table " + name, func(ctx context.Context) error { return w.fillTable(ctx, r) }}}
	}
	var all []job
	add := func(what string, run func(context.Context) error) { all = append(all, job{what + name, run}) }
	t := w.tables.table(name)
	shards := t.shards
	switch {
	case r.ClearTTL:
		add("empty the expiry queue of ", func(ctx context.Context) error { return w.clearTTL(ctx, name, id, shards) })
	case r.FillTTL:
		add("fill the expiry queue of ", func(ctx context.Context) error { return w.fillTTL(ctx, r, shards) })
	}
	for _, x := range r.Table.Indexes {
		switch x.Status {
		case catalog.Creating:
			add("fill index "+x.Index.Name+" of ", func(ctx context.Context) error {
				if x.Index.Local {
					return w.fillIndex(ctx, r, x.Index, shards)
				}
				return w.awaitIndex(ctx, r, x.Index.ID, t.followers)
			})
		case catalog.Deleting:
			add("remove index "+x.Index.Name+" of ", func(ctx context.Context) error {
				return w.dropIndex(ctx, r, x.Index.ID, t)
			})
		}
	}
	return all
}
