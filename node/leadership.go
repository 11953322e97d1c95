package node

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/cluster"
	"holdfast/group"
	"holdfast/pulse"
)

// The clock of the groups, and of leadership.
const (
	groupTick = 100 * time.Millisecond
	leadPause = 100 * time.Millisecond // after the tables couldn't begin to lead
)

// leadable is the part of a *table.Store that begins and ends to lead.
type leadable interface {
	Lead(ctx context.Context) error
	Yield()
}

// A leadership has the tables of this node lead while the node leads the group of the catalog, and has
// it hand over what it leads beside, while another node leads that group. One goroutine, watch, looks
// at the groups and never waits for them; another, serve, has the tables lead and yield, which may
// wait for outcomes.
//
// A leader that is cut off from the others may believe for a while that it leads. That is harmless:
// what it proposes isn't committed, and reads ask a majority first.
type leadership struct {
	self     holdfast.NodeID
	first    func() bool // this node campaigns for the catalog when the cluster starts
	catalog  func() replica
	led      func() []holdfast.ShardID
	transfer func(id holdfast.ShardID, to holdfast.NodeID)
	tables   leadable
	observe  func(leader holdfast.NodeID) // gets who leads the catalog's group at each look; 0: nobody is known
	moved    func()                       // is called when a group's leader or members have changed
	log      *slog.Logger

	mu      sync.Mutex    // guards what follows
	term    uint64        // in which this node leads the catalog's group; 0: it doesn't
	changed chan struct{} // closed, and replaced, when term changes

	known   bool // somebody was known to lead since the start; watch uses it
	end     context.CancelFunc
	running sync.WaitGroup
}

// follow begins to follow who leads. It owns the host's clock and its channel Changed.
func follow(
	host *group.Host, rs *replicas, tables leadable, observe func(holdfast.NodeID), is *cluster.Identity,
	log *slog.Logger,
) *leadership {
	l := &leadership{
		self: is.Node, led: rs.led, tables: tables, observe: observe, moved: rs.move, log: log,
		first:   func() bool { return is.Node == is.Members[0] && !rs.roster.known().Drained(is.Node) },
		catalog: func() replica { return rs.replica(catalog.ShardID) },
		transfer: func(id holdfast.ShardID, to holdfast.NodeID) {
			if r := rs.of(id); r != nil {
				r.Transfer(to)
			}
		},
		changed: make(chan struct{}),
	}
	ctx, end := context.WithCancel(context.Background())
	l.end = end
	clock := clock{pass: func(ticks int) { group.Pass(host, ticks) }, rest: func() int { return group.Rest(host) }}
	l.running.Go(func() { l.watch(ctx, clock, host.Changed()) })
	l.running.Go(func() { l.serve(ctx) })
	return l
}

// stop has the tables yield and both goroutines end; wait waits for that. In between the host may be
// closed, so that nothing is waited for that can't happen any more.
func (l *leadership) stop() { l.end() }

func (l *leadership) wait() { l.running.Wait() }

// A clock is that of a host: it takes ticks, and says when the next one is due; see group.Rest.
type clock struct {
	pass func(ticks int)
	rest func() (ticks int)
}

// watch gives the groups their clock, and looks at them at each tick and whenever they change.
func (l *leadership) watch(ctx context.Context, clock clock, changed <-chan struct{}) {
	last, most := time.Now(), 1 // the last tick, and after how many intervals the next one was due then
	timer := time.NewTimer(pulse.Until(last, groupTick))
	defer timer.Stop()
	for {
		l.look()
		select {
		case <-ctx.Done():
			l.setTerm(0)
			return
		case now := <-timer.C:
			clock.pass(ticksIn(now.Sub(last), most))
			last, most = now, clock.rest()
			timer.Reset(pulse.Until(time.Now(), time.Duration(most)*groupTick))
		case <-changed:
			l.moved()
			if most > 1 && clock.rest() == 1 {
				timer.Reset(pulse.Until(time.Now(), groupTick))
			}
		}
	}
}

// ticksIn returns how many ticks are due after a time, at most so many: those that a node has missed
// that was stopped don't come afterwards.
func ticksIn(passed time.Duration, most int) int {
	return min(max(1, int((passed+groupTick/2)/groupTick)), most)
}

// look does what follows from who leads now.
func (l *leadership) look() {
	c := l.catalog()
	if c == nil {
		l.setTerm(0)
		return
	}
	term, err := c.Lead()
	if err != nil {
		term = 0
	}
	l.setTerm(term)
	leader := c.Leader()
	l.observe(leader)
	// A cluster that starts needn't wait until an election is due. If others lead already, they don't
	// vote for this node.
	if l.known = l.known || leader != 0; !l.known && l.first() {
		c.Campaign()
	}
	for _, id := range cluster.Transfers(leader, l.self, l.led) {
		l.transfer(id, leader)
	}
}

func (l *leadership) setTerm(term uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.term != term {
		l.term = term
		close(l.changed)
		l.changed = make(chan struct{})
	}
}

// now returns the term, and a channel that is closed when it changes.
func (l *leadership) now() (term uint64, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.term, l.changed
}

// serve has the tables lead in each term in which this node leads.
func (l *leadership) serve(ctx context.Context) {
	for ctx.Err() == nil {
		term, changed := l.now()
		if term != 0 {
			l.serveTerm(ctx, term, changed)
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// serveTerm has the tables lead until over is closed: the term is over. They have yielded when it
// returns.
func (l *leadership) serveTerm(ctx context.Context, term uint64, over <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() {
		select {
		case <-over:
			cancel()
		case <-ctx.Done():
		}
	})
	defer l.tables.Yield()
	began := time.Now()
	for failure := ""; ctx.Err() == nil; {
		err := l.tables.Lead(ctx)
		if err == nil {
			l.log.Info("this node leads the tables", "term", term, "shards", len(l.led()),
				"after", time.Since(began).Round(time.Millisecond))
			<-ctx.Done()
			l.log.Info("this node doesn't lead the tables any more", "term", term)
			return
		}
		l.tables.Yield()
		if text := err.Error(); ctx.Err() == nil && text != failure {
			failure = text
			l.log.Warn("this node can't lead the tables yet", "term", term, "err", err)
		}
		select {
		case <-time.After(leadPause):
		case <-ctx.Done():
		}
	}
}
