package index

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"holdfast"
	"holdfast/item"
	"holdfast/shard"
)

const (
	stepChanges = 1024        // about how many changes are read at once
	retryWait   = time.Second // between a link's failure and its next attempt

	// laggard is how many transactions the position of a shard of an index on disk may be behind what
	// was found to have nothing for it. A restart reads so many again.
	laggard = 1024

	keptEvery = 128 // transactions, between two looks which changes no index needs any more

	// gatherTime is how long durable changes wait for others, unless a query waits for them. With few
	// writers each sync makes few changes durable, and a step for each sync costs much.
	gatherTime = time.Millisecond
)

// A source is a shard of a table, whose changes one goroutine takes to the table's indexes.
type source struct {
	shard  *shard.Shard
	reader *shard.Follower
	key    item.KeySchema
	lags   *lags
	log    *slog.Logger
	now    func() time.Time
	woken  chan struct{} // has an element when links were added
	hurry  chan struct{} // has an element when a query waits

	stepChanges, fillItems int
	submit                 func(*shard.Shard, shard.Follow) error

	mu    sync.Mutex // guards links and what is in them; held during a step
	links []*link
	kept  uint64 // what was applied at the last look which changes are needed no more
}

// newSource returns a source whose goroutine doesn't run yet.
func newSource(sh *shard.Shard, o Options, g *lags) *source {
	return &source{
		shard: sh, reader: shard.NewFollower(sh, 0), key: o.Key, lags: g, log: o.Log, now: o.Now,
		woken: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		stepChanges: o.stepChanges, fillItems: o.fillItems, submit: o.submit,
	}
}

func (s *source) add(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links = append(s.links, l)
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

func (s *source) remove(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links = slices.DeleteFunc(s.links, func(o *link) bool { return o == l })
}

// close writes how far the indexes are, so that the next start reads nothing again.
func (s *source) close() {
	s.mark()
	s.reader.Close()
}

// mark writes how far the indexes are. After an error their positions stay behind, and the changes
// from there on are read again at the next start.
func (s *source) mark() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		_ = l.mark(0)
	}
	s.reader.Release(s.applied())
	s.discard()
}

// run takes changes to the indexes until ctx ends or the source is dropped.
func (s *source) run(ctx context.Context) {
	for ctx.Err() == nil {
		at, unfilled, retry := s.step(ctx)
		if unfilled {
			continue
		}
		var more <-chan struct{}
		if at < math.MaxUint64 {
			if more = s.reader.More(at); more == nil {
				continue
			}
		}
		var timer <-chan time.Time
		if retry > 0 {
			timer = time.After(retry)
		}
		select {
		case <-more:
			s.gather(ctx)
		case <-s.woken:
		case <-timer:
		case <-ctx.Done():
		}
	}
}

// gather returns after gatherTime, or when a query waits.
func (s *source) gather(ctx context.Context) {
	timer := time.NewTimer(gatherTime)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.hurry:
	case <-ctx.Done():
	}
}

// expect has the next step not put off: a query waits for it.
func (s *source) expect() {
	select {
	case s.hurry <- struct{}{}:
	default:
	}
}

// step takes each link one step on. It returns up to where the links have applied the source's
// changes that can go on, math.MaxUint64 if none can, whether a link can go on that lacks items of
// before, and after which time a link that failed can be tried again; 0: none failed.
func (s *source) step(ctx context.Context) (at uint64, unfilled bool, retry time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	since := s.reader.Since()
	at = math.MaxUint64
	var last read
	applied := 0
	for _, l := range s.links {
		if wait := time.Until(l.retry); wait > 0 {
			retry = max(retry, wait)
			continue
		}
		n, err := l.step(ctx, &last)
		applied = max(applied, n)
		if err != nil && ctx.Err() == nil {
			l.fail(err)
			retry = max(retry, retryWait)
			continue
		}
		l.failure = ""
		if l.whole() {
			at = min(at, l.at.load())
		} else {
			unfilled = true
		}
	}
	if applied > 0 && !since.IsZero() {
		s.lags.add(s.now().Sub(since), applied)
	}
	s.release()
	return at, unfilled, retry
}

// release says what is needed no longer of the source's changes: in memory, and every keptEvery
// transactions on disk.
func (s *source) release() {
	applied := s.applied()
	s.reader.Release(applied)
	if applied >= s.kept+keptEvery {
		s.discard()
	}
}

// discard says which changes are needed no longer, even after a crash.
func (s *source) discard() {
	kept := s.applied()
	s.kept = kept
	for _, l := range s.links {
		kept = min(kept, l.kept())
	}
	s.reader.Applied(kept)
}

// applied returns up to which transaction all links have applied the source's changes.
func (s *source) applied() uint64 {
	applied := s.reader.Durable()
	for _, l := range s.links {
		applied = min(applied, l.at.load())
	}
	return applied
}

// A read is changes that were read for one link, which the others mostly need too.
type read struct {
	done     bool
	from, to uint64
	changes  []shard.Change
}

// get returns the source's changes behind from, up to upTo.
func (r *read) get(s *source, from, upTo uint64) (changes []shard.Change, to uint64, err error) {
	// A read that found nothing isn't used again: there may be changes by now, up to upTo.
	if r.done && r.from == from && r.to > from && r.to <= upTo {
		return r.changes, r.to, nil
	}
	changes, to, err = s.reader.Changes(from, upTo, s.stepChanges)
	*r = read{done: err == nil, from: from, to: to, changes: changes}
	return changes, to, err
}

// fail notes a failure, and logs it unless it is that of the last attempt.
func (l *link) fail(err error) {
	l.retry = time.Now().Add(retryWait) // not the store's clock, which may be set
	if err.Error() == l.failure || errors.Is(err, holdfast.Closed) || errors.Is(err, holdfast.NotLeader) {
		return
	}
	l.failure = err.Error()
	level := slog.LevelError
	if errors.Is(err, holdfast.Refused) || errors.Is(err, holdfast.Unavailable) {
		level = slog.LevelWarn // as while a cluster has no leader
	}
	l.source.log.Log(context.Background(), level, "an index doesn't follow its table, and tries again",
		"index", l.index.Index.Index.Name, "shard", uint64(l.source.shard.ID()), "err", err)
}
