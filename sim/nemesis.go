package sim

import (
	"math/rand/v2"
	"slices"
	"time"

	"holdfast"
)

// A weather is what a run is like. It is drawn from the seed, so that some runs have much of one
// fault and none of another.
type weather struct {
	machines, groups, clients int

	acknowledge []holdfast.Acknowledge // what writes wait for, by group

	length      time.Duration // until the faults end
	think       time.Duration // the longest pause between two operations of a client
	patience    time.Duration // how long a client waits
	readPercent int
	slowPercent int // of writes that take long to decide

	tableShards   int   // of each table, in a run of tables
	electionTicks int   // the replicas', and so are the next three
	logBytes      int64 // 0: logs are long, and no snapshots are sent
	awayTicks     int
	sleepTicks    int           // below 0: groups never sleep
	lull          time.Duration // the longest in which clients begin nothing; 0: they always do

	sync     time.Duration // the longest sync of the log; 0: all are instant
	memTable int64         // small ones, which need flushes, only with instant syncs

	faults []fault // that happen
	calm   time.Duration
}

// drawWeather draws what a run is like.
func drawWeather(rng *rand.Rand, n *network, length time.Duration) weather {
	w := weather{
		machines: 3, groups: 1 + rng.IntN(2), clients: 3 + rng.IntN(6), length: length,
		think:       time.Duration(2+rng.IntN(100)) * time.Millisecond,
		patience:    time.Duration(1+rng.IntN(30)) * 100 * time.Millisecond,
		readPercent: 20 + rng.IntN(60), electionTicks: 3 + rng.IntN(8),
		sync: time.Duration(1+rng.IntN(20)) * time.Millisecond, memTable: 64 << 20,
		calm: time.Duration(100+rng.IntN(3000)) * time.Millisecond,
	}
	switch rng.IntN(10) {
	case 0:
		w.machines = 1
	case 1, 2:
		w.machines = 5
	}
	if rng.IntN(2) == 0 {
		w.slowPercent = rng.IntN(40)
	}
	if rng.IntN(4) == 0 {
		w.sync, w.memTable = 0, 256<<10
	}
	for _, f := range faults {
		if rng.IntN(2) == 0 {
			w.faults = append(w.faults, f)
		}
	}
	if rng.IntN(2) == 0 {
		n.lossPercent = rng.IntN(20)
	}
	if rng.IntN(2) == 0 {
		n.doublePercent = rng.IntN(30)
	}
	if rng.IntN(2) == 0 {
		n.slowPercent = rng.IntN(40)
	}
	if w.sync == 0 || rng.IntN(5) == 0 { // an install needs a new log
		w.sync, w.memTable, w.logBytes, w.awayTicks = 0, 256<<10, 200+rng.Int64N(10_000), 1+rng.IntN(20)
	}
	w.sleepTicks = []int{-1, 1, 1, 2, 3, 10}[rng.IntN(6)]
	if rng.IntN(2) == 0 {
		w.lull = time.Duration(10+rng.IntN(40)) * 100 * time.Millisecond
	}
	for range w.groups {
		w.acknowledge = append(w.acknowledge, drawAcknowledge(rng, w.machines-1))
	}
	if rng.IntN(4) == 0 { // so that most writes find others of their register on their way
		w.think = time.Duration(1+rng.IntN(5)) * time.Millisecond
	}
	return w
}

// drawAcknowledge draws what the writes of a group wait for, which has so many followers: the default
// in half of all cases.
func drawAcknowledge(rng *rand.Rand, followers int) holdfast.Acknowledge {
	switch rng.IntN(8) {
	case 0, 1:
		return holdfast.Acknowledge{Mode: holdfast.Async}
	case 2:
		return holdfast.Acknowledge{Followers: 1 + rng.IntN(max(followers, 1))}
	case 3:
		return holdfast.Acknowledge{Mode: holdfast.Sync}
	}
	return holdfast.Acknowledge{}
}

// A fault happens to a machine that is up.
type fault struct {
	name string
	hits func(n *nemesis, m *machine)
}

// faults are all that a run may have beside those of its network.
var faults = []fault{
	{"crash", (*nemesis).crash},
	{"crash of all", func(n *nemesis, _ *machine) { n.crashAll() }},
	{"crash at an acknowledgement", func(n *nemesis, _ *machine) { n.armed = n.crash }},
	{"crash of all at an acknowledgement", func(n *nemesis, _ *machine) { n.armed = func(*machine) { n.crashAll() } }},
	{"stop", func(n *nemesis, m *machine) {
		m.stop()
		n.restart(m)
	}},
	{"stall", (*nemesis).stall},
	{"pause", func(n *nemesis, m *machine) { m.pause(n.while(4 * time.Second)) }},
	{"cut", func(n *nemesis, m *machine) { n.cut(m, true, n.rng.IntN(2) == 0) }},
	{"one-way cut", func(n *nemesis, m *machine) { n.cut(m, n.rng.IntN(2) == 0, false) }},
	{"transfer", (*nemesis).transfer},
	{"clock", func(n *nemesis, m *machine) { m.skew.Store(int64(n.while(10*time.Second) - 5*time.Second)) }},
}

// fullDisk is one more, which fewer runs have. Nodes look at their disks from time to time.
var fullDisk = fault{"full disk", func(n *nemesis, m *machine) {
	m.fill(n.rng.Int64N(reserveBytes / 2))
	n.cluster.events.after(n.while(5*time.Second), m.makeSpace)
}}

// A nemesis lets faults happen.
type nemesis struct {
	cluster *cluster
	rng     *rand.Rand
	armed   func(m *machine) // nil, or what happens when a machine acknowledges a write
}

// acknowledged is called when a machine has acknowledged a write. A fault happens just then that waits
// for it: what isn't safe at that moment may be so soon.
func (n *nemesis) acknowledged(m *machine) {
	hit := n.armed
	n.armed = nil
	if hit == nil {
		return
	}
	n.cluster.events.after(0, func() {
		if m.life != nil && !n.cluster.final {
			hit(m)
		}
	})
}

// wait plans the next fault.
func (n *nemesis) wait() {
	c := n.cluster
	if len(c.weather.faults) == 0 {
		return
	}
	c.events.after(n.while(c.weather.calm), func() {
		if c.final {
			return
		}
		n.strike()
		n.wait()
	})
}

// strike lets a fault happen.
func (n *nemesis) strike() {
	c := n.cluster
	f := c.weather.faults[n.rng.IntN(len(c.weather.faults))]
	m := c.machines[n.rng.IntN(len(c.machines))]
	if m.life != nil && !m.paused {
		c.events.note("fault: %s at %d", f.name, m.id)
		if c.someSleep() {
			c.asleep++
		}
		f.hits(n, m)
	}
}

// someSleep reports whether all replicas of some group that are up sleep.
func (c *cluster) someSleep() bool {
	for _, id := range c.shards() {
		up := slices.DeleteFunc(slices.Clone(c.machines), func(m *machine) bool { return m.life == nil })
		awake := slices.ContainsFunc(up, func(m *machine) bool { return !m.life.asleep(id) })
		if len(up) > 0 && !awake {
			return true
		}
	}
	return false
}

// lulls has lulls begin from time to time, if the run has any.
func (c *cluster) lulls() {
	if c.weather.lull == 0 {
		return
	}
	c.events.after(c.nemesis.while(2*c.weather.lull), func() {
		if !c.final {
			c.lull = c.events.now() + c.weather.lull/2 + c.nemesis.while(c.weather.lull/2)
			c.events.note("a lull until %v", c.lull)
			c.lulls()
			c.strikeAsleep(c.weather.lull / lullLooks)
		}
	})
}

// lullLooks is how often the nemesis looks in a lull whether a group sleeps.
const lullLooks = 10

// strikeAsleep lets a fault happen once a group sleeps in a lull.
func (c *cluster) strikeAsleep(wait time.Duration) {
	c.events.after(wait, func() {
		switch {
		case c.final || c.events.now() > c.lull || len(c.weather.faults) == 0:
		case c.someSleep():
			c.nemesis.strike()
		default:
			c.strikeAsleep(wait)
		}
	})
}

// while draws how long something lasts.
func (n *nemesis) while(most time.Duration) time.Duration {
	return time.Duration(n.rng.Int64N(int64(most)))
}

func (n *nemesis) crash(m *machine) {
	m.crash()
	n.restart(m)
}

func (n *nemesis) crashAll() {
	for _, m := range n.cluster.machines {
		if m.life != nil {
			n.crash(m)
		}
	}
}

// restart starts a machine soon, or after a while.
func (n *nemesis) restart(m *machine) {
	most := 3 * time.Second
	if n.rng.IntN(2) == 0 {
		most = 50 * time.Millisecond
	}
	n.cluster.events.after(n.while(most), func() { m.restart() })
}

// stall lets the disk hang.
func (n *nemesis) stall(m *machine) {
	l := m.life
	l.syncs.setStalled(true)
	n.cluster.events.after(n.while(4*time.Second), func() {
		n.cluster.events.note("the disk of %d goes on", m.id)
		l.syncs.setStalled(false)
	})
}

// cut cuts links of a machine, all or some of them, in one direction or both.
func (n *nemesis) cut(m *machine, both, all bool) {
	c := n.cluster
	out := n.rng.IntN(2) == 0
	var cuts []link
	for _, other := range c.machines {
		if other == m || !all && n.rng.IntN(2) == 0 {
			continue
		}
		if both || out {
			cuts = append(cuts, link{m.id, other.id})
		}
		if both || !out {
			cuts = append(cuts, link{other.id, m.id})
		}
	}
	for _, l := range cuts {
		c.network.cuts[l] = true
	}
	c.events.note("cut: %v", cuts)
	c.events.after(n.while(5*time.Second), func() {
		for _, l := range cuts {
			delete(c.network.cuts, l)
		}
		c.events.note("healed: %v", cuts)
	})
}

// transfer has the leader of a group hand over to a machine.
func (n *nemesis) transfer(m *machine) {
	c := n.cluster
	id := c.shards()[n.rng.IntN(len(c.shards()))]
	for _, from := range c.machines {
		if from.life != nil && from != m {
			if r := from.life.host.Replica(id); r != nil {
				r.Transfer(m.id)
			}
		}
	}
}
