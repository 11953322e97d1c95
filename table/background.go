package table

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"holdfast"
	"holdfast/item"
	"holdfast/shard"
)

// The pace of the background work.
const (
	sweepInterval = time.Second     // between looks for what has expired
	trimInterval  = time.Minute     // between trims of the log
	retryWait     = 5 * time.Second // after a job has failed
	fillBatch     = 256             // items that are latched at once to be filled into an index
	fillSlice     = 64              // batches before other jobs have their turn

	reclaimInterval = 20 * time.Second // between looks whether something was dropped, whose room the disk is given back
)

// A background is the two goroutines beside the requests. The worker does what the catalog says is under way, a job after
// another; the sweeper deletes what has expired and trims the log. A copy takes the worker long, but doesn't keep the sweeper.
type background struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	woken  chan struct{} // holds one: the catalog has changed

	dropped atomic.Bool // shards, since the last reclaim

	// filled is how far indexes and queues have been filled; the worker's alone. A restart begins again, which does no harm.
	filled map[string]progress
}

// A progress is how far something has been done in the shards of a table.
type progress struct {
	shard int // those before it are done
	from  item.Key
}

// A job is what takes a table or backup one step on.
type job struct {
	name string // stable: for the log
	run  func(context.Context) error
}

func (s *Store) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	s.background.cancel = cancel
	s.background.done.Go(func() { s.work(ctx) })
	s.background.done.Go(func() { s.keepSweeping(ctx) })
}

func (s *Store) end() {
	s.background.cancel()
	s.background.done.Wait()
}

// wake has the worker look at the catalog.
func (s *Store) wake() {
	select {
	case s.background.woken <- struct{}{}:
	default: // it will look anyway
	}
}

// work does jobs until there are none, and again when it is woken, or a while after one has failed.
func (s *Store) work(ctx context.Context) {
	failures := complaints{}
	for {
		failed := false
		for _, j := range s.jobs() {
			err := j.run(ctx)
			failures.note(s, ctx, j.name, err)
			failed = failed || err != nil
			if err == nil {
				s.wake() // it may have a next step
			}
		}
		var retry <-chan time.Time
		if failed {
			retry = time.After(retryWait)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.background.woken:
		case <-retry:
		}
	}
}

// keepSweeping deletes what has expired, trims the log, gives room back, and wakes the worker for what has become due.
func (s *Store) keepSweeping(ctx context.Context) {
	failures := complaints{}
	sweep, trim, reclaim := time.NewTicker(sweepInterval), time.NewTicker(trimInterval), time.NewTicker(reclaimInterval)
	defer sweep.Stop()
	defer trim.Stop()
	defer reclaim.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			failures.note(s, ctx, "expire items", s.sweep(ctx))
		case <-trim.C:
			failures.note(s, ctx, "trim the log", s.disk.Trim(ctx))
			s.wake()
		case <-reclaim.C:
			failures.note(s, ctx, "give back what was dropped", s.reclaim(ctx))
		}
	}
}

// reclaim gives the disk the room of what was dropped. Not with each drop: programs that test make and remove tables by the hundred, and
// a reclaim has what is in memory flushed.
func (s *Store) reclaim(ctx context.Context) error {
	if !s.background.dropped.Swap(false) {
		return nil
	}
	more, err := s.disk.Reclaim(ctx)
	if more || err != nil {
		s.background.dropped.Store(true)
	}
	return err
}

// Complaints are what was last said of each job, so that a fault that stays is logged once.
type complaints map[string]string

func (c complaints) note(s *Store, ctx context.Context, name string, err error) {
	switch {
	case err == nil:
		delete(c, name)
	case ctx.Err() != nil || errors.Is(err, holdfast.Closed):
		// the store is closing, or the table has been removed meanwhile
	case c[name] != err.Error():
		c[name] = err.Error()
		s.log.Error("background work failed, and will be tried again", "job", name, "err", err)
	}
}

// jobs returns the next step of everything that is under way.
func (s *Store) jobs() []job {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []job
	add := func(name string, run func(context.Context) error) { all = append(all, job{name, run}) }
	for id, gone := range s.removed {
		if !s.now().Before(gone.Until) {
			add("drop shards of "+id, func(ctx context.Context) error { return s.drop(ctx, gone) })
		} else if len(gone.Indexes) > 0 {
			add("clear indexes of "+id, func(ctx context.Context) error { return s.clearRemoved(ctx, gone) })
		}
	}
	for id, b := range s.backups {
		if b.Copy != nil {
			add("fill backup "+id, func(ctx context.Context) error { return s.fillBackup(ctx, b) })
		}
	}
	for _, r := range s.catalog {
		all = append(all, s.jobsOf(r)...)
	}
	return all
}

// jobsOf returns the next steps of a table.
func (s *Store) jobsOf(r *record) []job {
	name, id := r.Table.Name, r.Table.ID
	if r.Copy != nil {
		return []job{{"restore table " + name, func(ctx context.Context) error { return s.fillTable(ctx, r) }}}
	}
	var all []job
	add := func(what string, run func(context.Context) error) { all = append(all, job{what + name, run}) }
	shards := s.tables.Load().byName[name].shards
	switch {
	case r.ClearTTL:
		add("empty the expiry queue of ", func(ctx context.Context) error { return s.clearTTL(ctx, name, id, shards) })
	case r.FillTTL:
		add("fill the expiry queue of ", func(ctx context.Context) error { return s.fillTTL(ctx, r, shards) })
	}
	for _, x := range r.Table.Indexes {
		switch x.Status {
		case Creating:
			add("fill index "+x.Index.Name+" of ", func(ctx context.Context) error { return s.fillIndex(ctx, r, x.Index, shards) })
		case Deleting:
			add("remove index "+x.Index.Name+" of ", func(ctx context.Context) error { return s.clearIndex(ctx, r, x.Index, shards) })
		}
	}
	return all
}

// fillIndex writes entries of an index for a slice of the items, and if those were the last says that it is filled.
func (s *Store) fillIndex(ctx context.Context, r *record, x item.Index, shards []*shard.Shard) error {
	key := fmt.Sprintf("%s/index/%d", r.Table.ID, x.ID)
	done, err := s.fill(ctx, key, shards, func(sh *shard.Shard, from item.Key) (item.Key, error) {
		return sh.Backfill(ctx, x.ID, from, fillBatch, x.Check)
	})
	if errors.Is(err, holdfast.Invalid) {
		return nil // the schema has no such index: it is being removed
	}
	if err != nil || !done {
		return err
	}
	return s.finish(ctx, s.save, r.Table.Name, r.Table.ID, func(r *record) bool {
		i := slices.IndexFunc(r.Table.Indexes, func(have IndexDescription) bool { return have.Index.ID == x.ID })
		if i < 0 || r.Table.Indexes[i].Status != Creating {
			return false
		}
		r.Table.Indexes[i].Status, r.Table.Indexes[i].Backfilling = Active, false
		return true
	})
}

// clearIndex removes the entries of an index, and then the index.
func (s *Store) clearIndex(ctx context.Context, r *record, x item.Index, shards []*shard.Shard) error {
	for _, sh := range shards {
		if err := sh.Clear(x.ID); err != nil {
			return err
		}
	}
	delete(s.background.filled, fmt.Sprintf("%s/index/%d", r.Table.ID, x.ID))
	return s.finish(ctx, s.saveRemoval, r.Table.Name, r.Table.ID, func(r *record) bool {
		r.Table.Indexes = slices.DeleteFunc(r.Table.Indexes, func(have IndexDescription) bool { return have.Index.ID == x.ID })
		return r.undefine(nil) == nil
	})
}

// fillTTL adds a slice of the items that have the attribute to the queue of expiring items.
func (s *Store) fillTTL(ctx context.Context, r *record, shards []*shard.Shard) error {
	attr := r.Table.TTL.Attr
	done, err := s.fill(ctx, r.Table.ID+"/ttl/"+attr, shards, func(sh *shard.Shard, from item.Key) (item.Key, error) {
		return sh.BackfillTTL(ctx, from, fillBatch)
	})
	if err != nil || !done {
		return err
	}
	return s.finish(ctx, s.save, r.Table.Name, r.Table.ID, func(r *record) bool {
		filled := r.FillTTL && !r.ClearTTL && r.Table.TTL.Attr == attr
		if filled {
			r.FillTTL = false
		}
		return filled
	})
}

// clearTTL empties the queue of expiring items. If there is a new attribute, the shards hear of it only afterwards.
func (s *Store) clearTTL(ctx context.Context, name, id string, shards []*shard.Shard) error {
	maps.DeleteFunc(s.background.filled, func(key string, _ progress) bool { return strings.HasPrefix(key, id+"/ttl/") })
	for _, sh := range shards {
		if err := sh.ClearTTL(); err != nil {
			return err
		}
	}
	return s.finish(ctx, s.saveRemoval, name, id, func(r *record) bool {
		r.ClearTTL = false
		return true
	})
}

// fill goes through the items of shards, a slice at each call, and says when it is done.
func (s *Store) fill(ctx context.Context, key string, shards []*shard.Shard, batch func(*shard.Shard, item.Key) (item.Key, error)) (done bool, err error) {
	p := s.background.filled[key]
	for range fillSlice {
		if p.shard == len(shards) {
			delete(s.background.filled, key)
			return true, nil
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		next, err := batch(shards[p.shard], p.from)
		if err != nil {
			return false, err
		}
		if p.from = next; next == nil {
			p.shard++
		}
		s.background.filled[key] = p
	}
	return false, nil
}

// A saver is save or saveRemoval.
type saver func(context.Context, ...shard.Record) error

// finish writes into a table's record that a step is done, if the table is still that one and change finds that it still matters.
func (s *Store) finish(ctx context.Context, save saver, name, id string, change func(*record) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.catalog[name]
	if old == nil || old.Table.ID != id {
		return nil
	}
	r := old.clone()
	if !change(r) {
		return nil
	}
	r.settle()
	if err := save(ctx, r.encoded()); err != nil {
		return err
	}
	return s.install(r)
}
