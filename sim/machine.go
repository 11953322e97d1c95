package sim

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"holdfast"
	"holdfast/group"
	"holdfast/shard"
)

// A machine runs a node: a store on a disk of its own, and a host with a replica of each group.
type machine struct {
	id      holdfast.NodeID
	cluster *cluster
	disk    *Disk
	life    *life        // nil while it is down
	lives   int          // so far
	skew    atomic.Int64 // of its clock, in nanoseconds
	ending  atomic.Bool  // a node is being stopped
	full    bool         // its disk is, but for a part of what shards keep free
	paused  bool         // nothing is delivered, and its own clock stands still
	held    []func()     // what happens when it isn't paused any more
}

// A life of a machine begins with a start of its node and ends with a stop or a crash. A node that
// has crashed doesn't know it, and ends in peace: on a disk that nobody reads, and without a network.
type life struct {
	machine  *machine
	store    *shard.Store
	host     *group.Host
	shards   []*shard.Shard
	replicas []*group.Replica
	tables   *tableNode     // nil: the run has none
	writing  map[latch]int  // the writes in progress
	deciding map[latch]bool // a slow one isn't decided yet

	passed int // intervals of the clock since the host's last tick

	incoming  []*stream // so far
	receiving sync.WaitGroup

	syncs syncs

	mu   sync.Mutex // guards over
	over bool       // what the node does doesn't count
}

// restart starts the machine's node, unless it is up.
func (m *machine) restart() {
	c := m.cluster
	switch {
	case m.life != nil:
		return
	case m.full: // whoever starts it makes space first
		c.events.after(tickEvery, m.restart)
		return
	case m.ending.Load():
		c.events.after(tickEvery, m.restart)
		return
	}
	m.lives++
	l := &life{machine: m, writing: map[latch]int{}, deciding: map[latch]bool{}}
	l.syncs.setFree(true)
	c.events.note("start %d", m.id)
	m.disk.OnSync(l.syncs.begin)
	fatal := func(err error) {
		if !l.isOver() {
			c.faults.add(fmt.Errorf("node %d: the disk failed: %w", m.id, err))
		}
	}
	log := slog.New(slog.DiscardHandler)
	if c.options.NodeLog != nil {
		log = slog.New(c.options.NodeLog).With("node", uint64(m.id), "life", m.lives)
	}
	var err error
	l.store, err = shard.Open(shard.Options{
		Dir: dataDir, FS: m.disk, CacheBytes: 1 << 20, MemTableBytes: c.weather.memTable,
		ReserveBytes: reserveBytes,
		Boot:         fmt.Sprint(m.id, m.lives), Log: log, Fatal: fatal,
		Now: m.now,
	})
	if err != nil {
		c.events.fail("node %d doesn't start: %w", m.id, err)
		return
	}
	l.host = group.NewHost(group.Options{
		Node: m.id, Store: l.store, Log: log, Fatal: fatal, ElectionTicks: c.weather.electionTicks,
		SleepTicks:  c.weather.sleepTicks,
		MaxLogBytes: c.weather.logBytes, AwayTicks: c.weather.awayTicks, SnapshotBytesPerSecond: -1,
		Stream: func(ctx context.Context, msg group.Message, next func() ([]byte, error)) error {
			return c.streams.send(ctx, l, msg, next)
		},
		Send: func(msg group.Message) {
			if !l.isOver() {
				c.network.send(msg)
			}
		},
	})
	m.life = l
	if c.tables != nil {
		if err := l.openTables(); err != nil {
			c.events.fail("node %d doesn't open its tables: %w", m.id, err)
			return
		}
	}
	for id := range c.weather.groups {
		if err := l.open(holdfast.ShardID(id + 1)); err != nil {
			c.events.fail("node %d doesn't open shard %d: %w", m.id, id+1, err)
			return
		}
	}
	l.syncs.setFree(c.weather.sync == 0)
	c.events.after(syncsWait, func() { l.syncs.setFree(true) })
	m.tick(l)
}

// now is the machine's clock.
func (m *machine) now() time.Time { return time.Now().Add(time.Duration(m.skew.Load())) }

// open opens a shard and its replica.
func (l *life) open(id holdfast.ShardID) error {
	sh, err := l.store.Open(shard.Descriptor{ID: id, Space: holdfast.SpaceID(id)}, registerSchema())
	if err != nil {
		return err
	}
	r, err := l.host.Start(sh, l.machine.cluster.members())
	if err != nil {
		return err
	}
	l.shards, l.replicas = append(l.shards, sh), append(l.replicas, r)
	return nil
}

// tick has the node's clock tick from now on, about every tickEvery, as long as it lives.
func (m *machine) tick(l *life) {
	c := m.cluster
	jitter := time.Duration(c.rng.Int64N(int64(tickEvery / 10)))
	c.events.after(tickEvery*19/20+jitter, func() {
		if m.life != l {
			return
		}
		m.tick(l)
		if m.paused {
			l.passed = 0
			return
		}
		if l.passed++; l.passed >= group.Rest(l.host) {
			group.Pass(l.host, l.passed)
			l.passed = 0
		}
		l.look()
	})
}

// deliver gives the node a message, later if the machine is paused.
func (m *machine) deliver(msg group.Message) {
	switch {
	case m.life == nil:
	case m.paused:
		m.held = append(m.held, func() { m.deliver(msg) })
	default:
		m.cluster.events.note("deliver %d→%d shard %d %x", msg.From, msg.To, msg.Shard, msg.Body)
		err := m.life.host.Receive(msg)
		if err != nil {
			m.cluster.events.note("node %d refuses it: %v", m.id, err)
		}
		m.life.look()
	}
}

// reserveBytes is how much of a disk shards keep free.
const reserveBytes = 4 << 20

// fill has others fill the disk but for half of what shards keep free, and so many bytes. That isn't
// enough for their commits and logs, and is for all that they must write to go on.
func (m *machine) fill(more int64) {
	m.full = true
	m.disk.Report(reserveBytes/2 + more)
}

// makeSpace ends that the disk is full.
func (m *machine) makeSpace() {
	if m.full {
		m.cluster.events.note("the disk of %d has space", m.id)
	}
	m.full = false
	m.disk.Report(plenty)
}

// backlog is within what time a machine that was paused gets what was sent to it meanwhile.
const backlog = 200 * time.Millisecond

// pause has the machine do nothing for some time. What is sent to it meanwhile arrives afterwards,
// and clients may come first.
func (m *machine) pause(wait time.Duration) {
	m.paused = true
	m.cluster.events.note("pause %d for %v", m.id, wait)
	m.cluster.events.after(wait, m.resume)
}

// resume ends a pause.
func (m *machine) resume() {
	m.paused = false
	held := m.held
	m.held = nil
	for _, deliver := range held {
		m.cluster.events.after(time.Duration(m.cluster.rng.Int64N(int64(backlog))), deliver)
	}
}

// crash ends the node at once. What was on its way to the disk may be lost.
func (m *machine) crash() {
	c, l := m.cluster, m.life
	seed := c.rng.Uint64()
	c.events.note("crash %d", m.id)
	l.setOver()
	l.count()
	m.life = nil
	m.disk = m.disk.Crash(seed)
	m.disk.Report(plenty)
	if m.full {
		m.fill(0)
	}
	c.ending.Go(func() { _ = l.close() }) // it may find its disk in whatever state
	c.crashes++
}

// stop ends the node in order.
func (m *machine) stop() {
	c, l := m.cluster, m.life
	c.events.note("stop %d", m.id)
	l.count()
	m.life = nil
	m.ending.Store(true)
	c.ending.Go(func() {
		defer m.ending.Store(false)
		if err := l.close(); err != nil {
			c.faults.add(fmt.Errorf("node %d doesn't stop: %w", m.id, err))
		}
	})
}

// close closes the node's parts.
func (l *life) close() error {
	l.syncs.setFree(true)
	if l.tables != nil {
		l.tables.stop()
	}
	if err := l.host.Close(); err != nil {
		return err
	}
	l.breakStreams()
	if l.tables != nil {
		if err := l.tables.close(); err != nil {
			return err
		}
	}
	return l.store.Close()
}

// look has the node's tables lead, or not, as its group does.
func (l *life) look() {
	if l.tables != nil {
		l.tables.look()
	}
}

// count counts the snapshots that the node has installed.
func (l *life) count() { l.machine.cluster.snapshots += int(l.host.Snapshots().Received) }

func (l *life) isOver() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

func (l *life) setOver() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}
