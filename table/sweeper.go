package table

import (
	"context"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"holdfast"
	"holdfast/item"
	"holdfast/pulse"
	"holdfast/shard"
)

// The pace of the sweeper.
const (
	sweepInterval   = time.Second      // between searches for expired items
	trimInterval    = time.Minute      // between trims of the log
	reclaimInterval = 20 * time.Second // between attempts to return the disk space of what was dropped
)

// The limits of what the sweeper deletes: items per commit, and items per run; and of how often it
// seeks in the queues of expiring items for what has expired, per run and at least per shard.
// Where the queues have more parts than that, their items are deleted some runs later.
const (
	expiryBatch   = 100
	expirySweep   = 5000
	expirySeeks   = 2048
	seeksPerShard = 16
)

// A sweeper does the periodic work, in one goroutine: it deletes expired items and trims the logs.
// Beside it, the reclaimer returns disk space.
type sweeper struct {
	disk      *shard.Store
	tables    *directory
	ledger    *shard.Ledger
	reclaimer *reclaimer
	wake      func() // wakes the worker, for removals that have become due
	log       *slog.Logger
	now       func() time.Time
}

// run sweeps until ctx ends.
func (p *sweeper) run(ctx context.Context) {
	failures := failureLog{log: p.log, last: map[string]string{}}
	expire, trim := pulse.New(sweepInterval), pulse.New(trimInterval)
	defer expire.Stop()
	defer trim.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-expire.C:
			expire.Again()
			failures.note(ctx, "expire items", p.expireAll(ctx))
		case <-trim.C:
			trim.Again()
			failures.note(ctx, "trim the log", p.trim(ctx))
			p.wake()
		}
	}
}

// trim trims the logs, once the indexes have said what they need no longer.
func (p *sweeper) trim(ctx context.Context) error {
	for _, t := range p.tables.all() {
		if t.followers != nil {
			t.followers.Mark()
		}
	}
	return p.disk.Trim(ctx)
}

// expireAll deletes what has expired, in the ledger of transactions and in all tables, up to
// expirySweep items.
func (p *sweeper) expireAll(ctx context.Context) error {
	left := expirySweep
	for n := 1; left > 0 && n > 0; left -= n {
		var err error
		if n, err = p.ledger.Expire(ctx, p.now(), min(left, expiryBatch), expirySeeks); err != nil {
			return err
		}
	}
	var expiring []*live
	shards := 0
	for _, t := range p.tables.all() {
		if t.schema.TTL != "" {
			expiring = append(expiring, t)
			shards += len(t.shards)
		}
	}
	for _, t := range expiring {
		for _, sh := range t.shards {
			for left > 0 {
				batch := min(left, expiryBatch)
				n, err := p.expire(ctx, sh, t.schema.TTL, batch, max(expirySeeks/shards, seeksPerShard))
				if err != nil {
					return err
				}
				left -= n
				if n < batch {
					break
				}
			}
		}
	}
	return nil
}

// expire deletes up to n items of a shard that have expired, and returns how many it has deleted.
func (p *sweeper) expire(ctx context.Context, sh *shard.Shard, attr string, n, seeks int) (deleted int, err error) {
	now := p.now()
	keys, err := sh.Expired(now, n, seeks)
	if err != nil || len(keys) == 0 {
		return 0, err
	}
	return p.deleteExpired(ctx, sh, keys, attr, now)
}

// deleteExpired deletes those of the items that have expired. Their place in the queue is only a
// hint: an item may have got a later time since.
func (p *sweeper) deleteExpired(
	ctx context.Context, sh *shard.Shard, keys []item.Key, attr string, now time.Time,
) (deleted int, err error) {
	writes := make([]shard.Write, len(keys))
	for i, key := range keys {
		writes[i] = shard.Write{Shard: sh, Key: key, Origin: holdfast.ByExpiry,
			Change: func(before item.Item) (item.Item, error) {
				if expired(before, attr, now) {
					return nil, nil
				}
				return before, nil
			}}
	}
	results, err := p.disk.Commit(ctx, shard.Commit{Writes: writes})
	for _, r := range results {
		if r.After == nil && r.Before != nil {
			deleted++
		}
	}
	return deleted, err
}

// expired reports whether an item has expired: its last second is over. An item whose attribute is
// missing or isn't a number never expires.
func expired(it item.Item, attr string, now time.Time) bool {
	v, ok := it.Get(attr)
	return ok && v.Type == item.N && item.CompareNumbers(v.Text, strconv.FormatInt(now.Unix(), 10)) < 0
}

// A reclaimer gives the disk space of dropped shards back. Not with each drop: test suites make and
// remove tables by the hundred, and a reclaim flushes what is in memory.
type reclaimer struct {
	disk *shard.Store
	log  *slog.Logger
	due  atomic.Bool // something was dropped since the last reclaim
}

// run reclaims until ctx ends.
func (r *reclaimer) run(ctx context.Context) {
	failures := failureLog{log: r.log, last: map[string]string{}}
	tick := pulse.New(reclaimInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			tick.Again()
			failures.note(ctx, "reclaim disk space", r.reclaim(ctx))
		}
	}
}

// reclaim gives back what it can, and stays due if there is more.
func (r *reclaimer) reclaim(ctx context.Context) error {
	if !r.due.Swap(false) {
		return nil
	}
	more, err := r.disk.Reclaim(ctx)
	if more || err != nil {
		r.due.Store(true)
	}
	return err
}
