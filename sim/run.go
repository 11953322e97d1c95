package sim

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"holdfast"
)

const (
	// recovery is how long a cluster may take, when all faults have ended, until all that is asked of
	// it then is done.
	recovery = 60 * time.Second
	// patience is how long a history is checked at most; in real time.
	patience = 20 * time.Second

	heapBytes = 512 << 20 // of the heap, before garbage is collected
)

// A Report says what has happened in a run.
type Report struct {
	Trace   [32]byte // a checksum of what happened; that of each run of the seed is the same
	Virtual time.Duration

	Events, Messages, Lost, Crashes int
	Snapshots                       int // that were installed
	Done, Failed, Refused, Unknown  int // operations
	Asleep                          int // faults that came while a group slept
	Early, Gone                     int // writes acknowledged before they were committed; those of them that were lost
	Behind                          int // writes that began while another of their register was on its way
	Unchecked                       int // histories that were too hard to check
	Full                            int // writes that were refused by a full disk
	Sums, Again                     int // of tables: all accounts, read at once; requests that were sent again
}

// add adds what another run reports.
func (r *Report) add(o Report) {
	r.Virtual += o.Virtual
	r.Events, r.Messages, r.Lost = r.Events+o.Events, r.Messages+o.Messages, r.Lost+o.Lost
	r.Crashes, r.Asleep, r.Unchecked = r.Crashes+o.Crashes, r.Asleep+o.Asleep, r.Unchecked+o.Unchecked
	r.Snapshots, r.Sums, r.Again = r.Snapshots+o.Snapshots, r.Sums+o.Sums, r.Again+o.Again
	r.Full += o.Full
	r.Early, r.Gone, r.Behind = r.Early+o.Early, r.Gone+o.Gone, r.Behind+o.Behind
	r.Done, r.Failed, r.Refused, r.Unknown = r.Done+o.Done, r.Failed+o.Failed, r.Refused+o.Refused, r.Unknown+o.Unknown
}

// Run runs a cluster, and checks what must hold. The test gives the bubble of testing/synctest and
// the seed of crypto/rand that make what happens depend on the options only. The error says what
// doesn't hold.
func Run(t *testing.T, o Options) (r Report, err error) {
	t.Helper()
	cryptotest.SetGlobalRandom(t, o.Seed)
	defer oneAtATime()()
	c := newCluster(o)
	synctest.Test(t, func(*testing.T) { r, err = c.simulate() })
	if err == nil { // in real time
		r.Unchecked, err = c.history.check(patience)
		if c.tables != nil {
			err = c.tables.check()
		}
	}
	return r, err
}

// oneAtATime has one goroutine run at a time, and the garbage collector not interrupt them unless
// there is much of it, until the returned function is called. Within an event, goroutines of a node
// write to Pebble's log at once: which of two batches comes first matters only if a crash loses the
// second, but then it does.
func oneAtATime() (restore func()) {
	processors, percent, limit := runtime.GOMAXPROCS(1), debug.SetGCPercent(-1), debug.SetMemoryLimit(heapBytes)
	return func() {
		runtime.GOMAXPROCS(processors)
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}
}

// simulate runs the cluster in virtual time.
func (c *cluster) simulate() (Report, error) {
	c.run()
	c.stopAll()
	if c.events.err == nil {
		if err := c.compare(); err != nil {
			c.events.fail("%w", err)
		}
	}
	return c.report(), c.events.err
}

func (c *cluster) run() {
	c.events.began = time.Now()
	for _, m := range c.machines {
		m.restart()
	}
	if c.tables != nil {
		c.tables.found()
		for _, each := range c.tables.tellers {
			each.think()
		}
	}
	for _, each := range c.clients {
		each.think()
	}
	c.nemesis.wait()
	c.lulls()
	c.events.runUntil(c.events.now()+c.weather.length, func() bool { return false })
	c.final = true
	limit := c.events.now() + recovery
	c.heal()
	c.wait(limit, "the clients' last operations", func() bool {
		for _, each := range c.clients {
			if each.current != nil {
				return false
			}
		}
		return true
	})
	if c.tables != nil {
		c.tables.recover(limit)
	}
	c.recover(limit)
	c.wait(limit, "equal replicas", func() bool { return len(c.earlies.waiting) == 0 && c.level() })
	if c.events.err == nil {
		c.earlies.check(c)
		c.checkSet()
	}
}

// wait lets events happen until done returns true, which it must before the limit.
func (c *cluster) wait(limit time.Duration, what string, done func() bool) {
	if !c.events.runUntil(limit, done) {
		var nodes []string
		for _, m := range c.machines {
			if m.life != nil {
				nodes = append(nodes, m.life.describe())
			}
		}
		c.events.fail("%v after the end of all faults there were no %s: %s", recovery, what, strings.Join(nodes, "; "))
	}
}

// describe says where the node's replicas are.
func (l *life) describe() string {
	var all []string
	for _, id := range l.machine.cluster.shards() {
		if r := l.host.Replica(id); r != nil {
			s := r.Status()
			all = append(all, fmt.Sprintf("node %d shard %d: leader %d, term %d, committed %d, applied %d",
				l.machine.id, id, s.Leader, s.Term, s.Committed, s.Applied))
		}
	}
	return strings.Join(all, "; ")
}

// heal ends all faults.
func (c *cluster) heal() {
	c.events.note("the faults end")
	c.network.heal()
	for _, m := range c.machines {
		m.makeSpace()
		if m.life == nil {
			m.restart()
			continue
		}
		m.life.syncs.setStalled(false)
		m.resume()
	}
	c.earlies.verify(c.events)
}

// recover writes each register, and then reads each of them at each node.
func (c *cluster) recover(limit time.Duration) {
	for _, do := range []func(key string, group int){
		func(key string, group int) { c.plan(task{put, key, group, 0}) },
		func(key string, group int) {
			for _, m := range c.machines {
				c.plan(task{get, key, group, m.id})
			}
		},
	} {
		for group := range c.weather.groups {
			for i := range registers {
				do(registerName(group, i), group)
			}
		}
		for _, each := range c.clients {
			each.think()
		}
		c.wait(limit, "progress", func() bool {
			for _, each := range c.clients {
				if len(each.tasks) > 0 {
					return false
				}
			}
			return true
		})
	}
}

// plan gives a task to a client.
func (c *cluster) plan(t task) {
	least := c.clients[0]
	for _, each := range c.clients {
		if len(each.tasks) < len(least.tasks) {
			least = each
		}
	}
	least.tasks = append(least.tasks, t)
}

// level reports whether all replicas have applied the same.
func (c *cluster) level() bool {
	for _, id := range c.shards() {
		for _, m := range c.machines {
			a, b := c.machines[0].life.host.Replica(id), m.life.host.Replica(id)
			if a == nil || b == nil {
				return false
			}
			if first, is := a.Status(), b.Status(); is.Applied != first.Applied || is.Committed != is.Applied {
				return false
			}
		}
	}
	return true
}

// stopAll stops all nodes, and waits for all that runs in them.
func (c *cluster) stopAll() {
	c.final = true
	for _, p := range c.pauses {
		p.end()
	}
	for _, m := range c.machines {
		if m.life != nil {
			m.stop()
		}
	}
	c.running.Wait()
	c.ending.Wait()
	if err := c.faults.err(); err != nil {
		c.events.fail("%w", err)
	}
}

func (c *cluster) report() Report {
	r := Report{
		Trace: [32]byte(c.events.trace.Sum(nil)), Virtual: c.events.now(),
		Events: c.events.planned - len(c.events.queue), Messages: c.network.sent,
		Lost: c.network.lost, Crashes: c.crashes, Snapshots: c.snapshots, Asleep: c.asleep, Early: len(c.earlies.all),
		Full: c.full, Behind: c.behind,
	}
	if t := c.tables; t != nil {
		r.Sums, r.Again = t.sums, t.again
		r.Done, r.Failed, r.Refused, r.Unknown = t.counts[done], t.counts[failed], t.counts[refused], t.counts[unknown]
	}
	for _, o := range c.history.all {
		switch o.outcome {
		case done:
			r.Done++
		case failed:
			r.Failed++
		case refused:
			r.Refused++
		case lost:
			r.Gone++
		default:
			r.Unknown++
		}
	}
	return r
}

// A task is an operation that a client repeats until it is done.
type task struct {
	action action
	key    string
	group  int
	at     holdfast.NodeID // 0: any
}

// isDone reports whether an operation has done the task.
func (t *task) isDone(o *operation) bool {
	return (o.outcome == done || o.outcome == acknowledged) && o.key == t.key && o.action == t.action
}
