package group

import (
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/cryptotest"

	"go.etcd.io/raft/v3/raftpb"

	"holdfast"
)

// A memoryLog is a diskLog in memory.
type memoryLog struct {
	state   []byte
	members []byte
	first   uint64
	entries []string
}

func (l *memoryLog) State() ([]byte, error)   { return l.state, nil }
func (l *memoryLog) Members() ([]byte, error) { return l.members, nil }
func (l *memoryLog) Bounds() (first, last uint64) {
	return l.first, l.first + uint64(len(l.entries)) - 1
}
func (l *memoryLog) Bytes() (n uint64, _ error) {
	for _, raw := range l.entries {
		n += uint64(len(raw)) + 24
	}
	return n, nil
}
func (l *memoryLog) Entries(from, to uint64, maxBytes int) (found []string, _ error) {
	for i, bytes := from, 0; i < to; i++ {
		raw := l.entries[i-l.first]
		if bytes += len(raw); len(found) > 0 && bytes > maxBytes {
			break
		}
		found = append(found, raw)
	}
	return found, nil
}

func (l *memoryLog) write(w write) {
	if len(l.entries) == 0 && len(w.entries) > 0 {
		l.first = w.from
	}
	if len(w.entries) > 0 {
		l.entries = slices.Clone(l.entries[:w.from-l.first])
		for _, e := range w.entries {
			l.entries = append(l.entries, string(appendStored(nil, e)))
		}
	}
	if w.state != nil {
		l.state = w.state
	}
}

func (l *memoryLog) trim(index uint64) {
	l.entries = slices.Clone(l.entries[index-l.first:])
	l.first = index
}

// An appliedEntry is an entry that a shard has applied.
type appliedEntry struct {
	index, term uint64
	raw         string
}

// A memberRecord is what is on disk of the members, written when n entries had been applied.
type memberRecord struct {
	n   int
	raw []byte
}

// A member is a core with what a host has for it, one step of which is done at a time.
type member struct {
	*core
	id      uint64
	disk    *memoryLog
	applies []appliedEntry // by the shard; all is on the disk's log, but not synced
	records []memberRecord // likewise, of members; the first is there from the beginning
	synced  [2]int         // how many of applies, and of records, a crash leaves at least
	storing []func()       // writes in their order, with their responses
	nodes   *neighbours    // the host's
	pending []*raftpb.Message
}

// A cluster is a group whose members, network and disks do nothing by themselves.
type cluster struct {
	t         *testing.T
	rng       *rand.Rand
	ids       []uint64
	members   map[uint64]*member // nil: it is down
	down      map[uint64]*member
	network   []Message
	streams   []*stream
	installed int                // snapshots
	cut       map[[2]uint64]bool // from, to
	faulty    bool               // messages are lost, doubled and reordered
	logBytes  uint64             // see retention
	awayTicks int
	trimTicks int             // 0: as usual
	still     map[uint64]bool // members whose clocks stand still
	hung      map[uint64]bool // members whose disks hang
	sleeps    int             // sleepTicks of members that start from now on

	corrupt func(*member) // changes a member when it starts
}

// A stream is a snapshot on its way.
type stream struct {
	snapshotTo
	from  *member
	core  *core // of from
	taken bool
	has   snapshotOf
	is    *received // at the other end; nil: it hasn't arrived
	at    *core     // that was given it; a crash of the member breaks the stream
}

// A snapshotOf is what a member has applied.
type snapshotOf struct {
	message Message
	applies []appliedEntry
	record  []byte
}

const testShard = holdfast.ShardID(7)

// newCluster returns a group of n members. Raft draws its members' patience by crypto/rand.
func newCluster(t *testing.T, seed uint64, n int) *cluster {
	return newClusterWith(t, seed, n, func(*cluster) {})
}

// newSleepers returns a group of n members that sleeps after some ticks without anything to do.
func newSleepers(t *testing.T, seed uint64, n, sleeps int) *cluster {
	return newClusterWith(t, seed, n, func(c *cluster) { c.sleeps = sleeps })
}

// newClusterWith is newCluster with a change before its members start.
func newClusterWith(t *testing.T, seed uint64, n int, change func(*cluster)) *cluster {
	cryptotest.SetGlobalRandom(t, seed)
	c := &cluster{t: t, rng: rand.New(rand.NewPCG(seed, 1)), members: map[uint64]*member{}, down: map[uint64]*member{},
		cut: map[[2]uint64]bool{}, still: map[uint64]bool{}, hung: map[uint64]bool{}, logBytes: 1 << 30,
		awayTicks: 1 << 30}
	change(c)
	for id := uint64(1); id <= uint64(n); id++ {
		c.ids = append(c.ids, id)
	}
	for _, id := range c.ids {
		is := state{members: c.ids}
		c.down[id] = &member{id: id, disk: &memoryLog{state: is.encode(), first: 1}, records: make([]memberRecord, 1)}
		c.start(id)
	}
	return c
}

// join starts a member that was added.
func (c *cluster) join(id uint64, members *Members) {
	c.ids = append(c.ids, id)
	is := state{members: numbers(members.Voters)}
	c.down[id] = &member{
		id: id, disk: &memoryLog{state: is.encode(), first: 1}, records: []memberRecord{{0, members.Encode()}},
	}
	c.start(id)
}

// start starts a member that is down, with what it has on disk.
func (c *cluster) start(id uint64) {
	c.t.Helper()
	m := c.down[id]
	applied := uint64(0)
	if n := len(m.applies); n > 0 {
		applied = m.applies[n-1].index
	}
	m.disk.members = m.records[len(m.records)-1].raw
	if len(m.disk.entries) == 0 {
		m.disk.first = 1 // as shard.GroupLog says
	}
	log, err := openStorage(testShard, m.disk, m.disk.state, applied)
	if err != nil {
		c.t.Fatalf("start of member %d: %v", id, err)
	}
	m.nodes = newNeighbours(patience)
	m.core, err = newCore(testShard, id, log, applied, limits{
		electionTicks: patience, heartbeatTicks: 1, inflightBytes: 1 << 20, logBytes: c.logBytes,
		awayTicks:  c.awayTicks,
		sleepTicks: c.sleeps, nodes: m.nodes,
	}, silent)
	if err != nil {
		c.t.Fatalf("start of member %d: %v", id, err)
	}
	if c.trimTicks > 0 {
		m.retention.every = c.trimTicks
	}
	m.storing, m.pending = nil, nil
	if c.corrupt != nil {
		c.corrupt(m)
	}
	delete(c.down, id)
	c.members[id] = m
	m.collect()
	c.carryOut(m)
}

// crash kills a member: writes that haven't been done are lost, and applied entries whose writes
// aren't synced may be.
func (c *cluster) crash(id uint64) {
	m := c.members[id]
	m.core.close()
	n := m.synced[0] + c.rng.IntN(len(m.applies)-m.synced[0]+1)
	m.applies = m.applies[:n]
	for i := len(m.records) - 1; i >= max(1, m.synced[1]); i-- { // the log of the store has one order
		if at := m.records[i].n; at > n || at == n && c.rng.IntN(2) == 0 {
			m.records = m.records[:i]
		}
	}
	delete(c.members, id)
	c.down[id] = m
}

// carryOut takes a member's effects: messages go into the network, the rest waits.
func (c *cluster) carryOut(m *member) {
	out := m.take()
	for _, message := range out.store {
		if message.GetSnapshot() != nil {
			m.storing = append(m.storing, func() { c.install(m, message, out.received) })
			continue
		}
		m.storing = append(m.storing, func() { c.write(m, message) })
	}
	for _, x := range out.snapshots {
		c.streams = append(c.streams, &stream{snapshotTo: x, from: m, core: m.core})
	}
	if out.trim != 0 {
		m.storing = append(m.storing, func() {
			if m.log.trim(out.trim) {
				m.disk.trim(out.trim)
				m.sync()
			}
		})
	}
	m.pending = append(m.pending, out.apply...)
	for _, message := range out.send {
		c.send(message)
	}
	c.network = append(c.network, out.notes...)
}

func (c *cluster) write(m *member, message *raftpb.Message) {
	m.disk.write(m.log.stage(message))
	m.sync()
	c.respond(m, message)
}

// respond delivers the responses to what was written.
func (c *cluster) respond(m *member, message *raftpb.Message) {
	for _, response := range message.GetResponses() {
		if response.GetTo() == m.id {
			m.stored([]*raftpb.Message{response})
		} else {
			c.send(response)
		}
	}
	c.carryOut(m)
}

// install puts a snapshot in place of what a member has, in one step.
func (c *cluster) install(m *member, message *raftpb.Message, x *received) {
	s := c.streams[slices.IndexFunc(c.streams, func(s *stream) bool { return s.is == x })]
	m.disk.state = m.log.restore(message, x.members)
	m.disk.entries, m.disk.first = nil, x.index()+1
	m.applies = slices.Clone(s.has.applies)
	m.records = []memberRecord{{len(m.applies), s.has.record}}
	m.sync()
	x.end(nil)
	c.installed++
	c.respond(m, message)
}

// stream has a snapshot on its way take its next step: it is made, or it arrives, or its sender hears
// what has become of it. It reports whether there was one.
func (c *cluster) stream(i int) bool {
	s := c.streams[i]
	to := c.members[uint64(s.to)]
	lost := c.members[s.from.id] == nil || s.from.core != s.core
	if !lost && !s.taken {
		c.take(s)
		return true
	}
	if !lost && s.is == nil && to != nil && !c.cut[[2]uint64{s.from.id, to.id}] && (!c.faulty || c.rng.IntN(3) > 0) {
		c.receive(s, to)
		return true
	}
	if s.is == nil { // it breaks
		s.is = &received{done: make(chan error, 1)}
		s.is.done <- holdfast.Errorf(holdfast.Unavailable, "the stream broke")
	}
	if (to == nil || s.at != nil && s.at != to.core) && len(s.is.done) == 0 {
		s.is.done <- holdfast.Errorf(holdfast.Unavailable, "the receiver broke")
	}
	if len(s.is.done) == 0 {
		return false
	}
	c.streams = slices.Delete(c.streams, i, i+1)
	if !lost {
		s.core.sendings.end(s.core, &report{s.snapshotTo, <-s.is.done})
		c.carryOut(s.from)
	}
	return true
}

// take makes a snapshot of what its sender has applied.
func (c *cluster) take(s *stream) {
	m := s.from
	last, record := m.applies[len(m.applies)-1], m.records[len(m.records)-1].raw
	members, err := m.log.membersIn(record)
	if err != nil {
		c.t.Fatal(err)
	}
	tx := holdfast.TxID{Shard: testShard, Term: last.term, Index: last.index}
	s.taken, s.has.applies, s.has.record = true, slices.Clone(m.applies), record
	message := snapshotMessage(holdfast.NodeID(m.id), s.snapshotTo, tx, members)
	if s.has.message, err = encode(testShard, message); err != nil {
		c.t.Fatal(err)
	}
}

// receive has a member take a snapshot that has arrived.
func (c *cluster) receive(s *stream, m *member) {
	message, err := s.has.message.decodeSnapshot()
	if err != nil {
		c.t.Fatalf("a snapshot was refused: %v", err)
	}
	s.is = &received{message: message, whole: true, done: make(chan error, 1)}
	if s.is.members, err = m.log.membersIn(s.has.record); err != nil {
		c.t.Fatal(err)
	}
	if !m.members.hears(s.has.message.From, raftpb.MsgSnap) || !s.is.members.Has(s.to) {
		s.is.end(errNoMember(&s.has.message))
		return
	}
	s.at = m.core
	s.is.restore(m.core)
	c.carryOut(m)
}

// sync notes that a write was synced: the log of the store has one order.
func (m *member) sync() { m.synced = [2]int{len(m.applies), len(m.records)} }

func (c *cluster) send(m *raftpb.Message) {
	c.t.Helper()
	message, err := encode(testShard, m)
	if err != nil {
		c.t.Fatal(err)
	}
	c.network = append(c.network, message)
}

// deliver delivers a message of the network.
func (c *cluster) deliver(i int) {
	message := c.network[i]
	twice := c.faulty && c.rng.IntN(20) == 0
	if !twice {
		c.network = slices.Delete(c.network, i, i+1)
	}
	m := c.members[uint64(message.To)]
	if m == nil || c.cut[[2]uint64{uint64(message.From), m.id}] || c.faulty && c.rng.IntN(20) == 0 {
		return
	}
	if message.isBeat() {
		m.nodes.hear(message.From)
		return
	}
	if m.members.hasRemoved(message.From) {
		if !message.isNotice() {
			c.network = append(c.network, notice(message.Shard, message.To, message.From, m.members))
		}
		return
	}
	if message.isNotice() {
		members, err := DecodeMembers(message.Body[1:])
		if err != nil {
			c.t.Fatal(err)
		}
		members.tell(m.core)
		return
	}
	if message.isNote() {
		n, err := message.note()
		if err != nil {
			c.t.Fatal(err)
		}
		n.tell(m.core)
		c.carryOut(m)
		return
	}
	decoded, err := message.decode()
	if err != nil {
		c.t.Fatalf("a member's message was refused: %v", err)
	}
	if !m.members.hears(message.From, decoded.GetType()) {
		return
	}
	if err := m.step([]*raftpb.Message{decoded}); err != nil {
		c.t.Fatalf("a member's message was refused: %v", err)
	}
	c.carryOut(m)
}

// store does the next write of a member.
func (c *cluster) store(m *member) bool {
	if len(m.storing) == 0 || c.hung[m.id] {
		return false
	}
	next := m.storing[0]
	m.storing = m.storing[1:]
	next()
	return true
}

// apply applies what a member has to apply next.
func (c *cluster) apply(m *member) bool {
	if len(m.pending) == 0 {
		return false
	}
	next := m.pending[0]
	m.pending = m.pending[1:]
	for _, e := range next.GetEntries() {
		if e.GetIndex() <= m.base {
			continue
		}
		if changesMembers(e) {
			var raw []byte
			if err := m.log.change(e, &raw); err != nil {
				c.t.Fatalf("member %d: %v", m.id, err)
			}
			if raw != nil {
				m.records = append(m.records, memberRecord{len(m.applies), raw})
			}
		} else if _, raw, _ := parseEntry(e.GetData()); raw != nil {
			m.applies = append(m.applies, appliedEntry{e.GetIndex(), termOf(e), string(raw)})
		}
	}
	m.stepApplied(next.GetResponses())
	c.carryOut(m)
	return true
}

// settle goes on until nothing is left to be done without a tick.
func (c *cluster) settle() { c.goOn(c.apply) }

// replicate has the network and the disks go on until nothing is left for them. Nobody applies.
func (c *cluster) replicate() { c.goOn(func(*member) bool { return false }) }

// goOn has the network, the disks, snapshots and apply go on until nothing is left for them.
func (c *cluster) goOn(apply func(*member) bool) {
	for more := true; more; {
		more = false
		for i := len(c.streams) - 1; i >= 0; i-- {
			more = c.stream(i) || more
		}
		c.goOnWithout(apply)
		more = more || len(c.network) > 0
	}
}

// goOnWithout is goOn without snapshots.
func (c *cluster) goOnWithout(apply func(*member) bool) {
	for more := true; more; {
		more = len(c.network) > 0
		if more {
			c.deliver(0)
		}
		for _, id := range c.ids {
			if m := c.members[id]; m != nil {
				more = c.store(m) || more
				more = apply(m) || more
			}
		}
	}
}

func (c *cluster) tick() {
	for _, id := range c.ids {
		if m := c.members[id]; m != nil && !c.still[id] {
			c.tickOf(m, false)
		}
	}
}

// elect ticks until a member leads, other than some.
func (c *cluster) elect(others ...uint64) *member {
	c.t.Helper()
	for range 200 {
		c.tick()
		c.settle()
		for _, id := range c.ids {
			if m := c.members[id]; m != nil && m.lead() != 0 && !slices.Contains(others, id) {
				return m
			}
		}
	}
	for _, id := range c.ids {
		if m := c.members[id]; m != nil {
			c.t.Logf("member %d: %+v, members %+v", id, m.status(), *m.members)
		}
	}
	c.t.Fatal("no member leads after 200 ticks")
	return nil
}

var silent = logger{slog.New(slog.DiscardHandler)}
