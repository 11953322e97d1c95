package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast"
	"holdfast/item"
	"holdfast/shard"
)

// A client reads and writes registers, one operation after the other, and adds elements to a set that
// only grows: registers that are written once.
type client struct {
	number  int
	cluster *cluster
	rng     *rand.Rand
	guess   []holdfast.NodeID // who leads, by group
	known   map[string]int    // the last value that it has found, by register
	added   int               // elements
	tasks   []task            // when the faults have ended
	current *call             // nil: it thinks
}

// A call is an operation in progress at a node.
type call struct {
	*operation
	client *client
	life   *life
	group  int
	latch  latch
	cancel context.CancelFunc
	looks  bool   // it is a read in its second part
	decide *pause // of a slow write, before it is decided; nil: none

	mu    sync.Mutex // guards what follows
	ended bool
	found int
	tx    holdfast.TxID // of a write
	err   error
}

// A pause is a wait for an event.
type pause struct {
	over  chan struct{} // closed at the end
	ended bool
}

func (p *pause) end() {
	if !p.ended {
		p.ended = true
		close(p.over)
	}
}

// A latch is what a write holds at a node until it is decided and proposed. That takes no time but for
// a slow write. Another write of the latch at the node would wait for a lock meanwhile, and virtual time
// stands still then. So clients leave a write alone that would have to wait, and none is slow while
// another one of the latch is on its way, which may have to be decided anew.
type latch struct {
	group int
	of    uint64
}

// latches is the number of latches of a shard.
const latches = 512

// registers are how many a group has for the clients to share. Each is of one group.
const registers = 2

// never is a value that no register has: a swap for it fails, and is a read through the leader.
const never = -1

// slowest is how long a write takes at most to be decided.
const slowest = 4 * time.Second

// register returns a register, and the group it is of.
func (c *client) register() (key string, group int) {
	group = c.rng.IntN(c.cluster.weather.groups)
	return registerName(group, c.rng.IntN(registers)), group
}

// registerName returns the name of a group's register. Those of elements begin in the same way.
func registerName(group, number int) string { return fmt.Sprintf("%d-%c", group, 'a'+rune(number)) }

func groupOf(name string) int { return int(name[0] - '0') }

func isElement(name string) bool { return strings.Contains(name, "element") }

// think plans the client's next operation.
func (c *client) think() {
	e := c.cluster.events
	wait := time.Duration(c.rng.Int64N(int64(c.cluster.weather.think)))
	if !c.cluster.final {
		wait += max(0, c.cluster.lull-e.now())
	}
	e.after(wait, func() {
		switch {
		case c.current != nil:
		case !c.cluster.final:
			c.act()
		case len(c.tasks) > 0:
			c.try(c.tasks[0])
		}
	})
}

// act begins an operation of a random kind.
func (c *client) act() {
	key, group := c.register()
	o := &operation{client: c.number, key: key, action: get}
	to := holdfast.NodeID(1 + c.rng.IntN(len(c.cluster.machines)))
	if n := c.rng.IntN(100); n >= c.cluster.weather.readPercent {
		o.action = put
		if c.rng.IntN(4) > 0 {
			to = c.guess[group]
		}
		switch {
		case n%5 == 0:
			c.added++
			o.key = fmt.Sprintf("%d-element-%d-%d", group, c.number, c.added)
		case n%5 == 1:
			o.action, o.expected = swap, never
		case n%5 == 2:
			o.action, o.expected = swap, c.known[key]
		}
	}
	if !c.begin(o, group, to) {
		c.think()
	}
}

// begin begins an operation at a node. It returns false if the node can't be asked, or if a write
// would have to wait for a latch.
func (c *client) begin(o *operation, group int, to holdfast.NodeID) bool {
	l := c.cluster.machine(to).life
	if l == nil || c.cluster.machine(to).paused {
		if c.rng.IntN(4) == 0 {
			c.guess[group] = holdfast.NodeID(1 + c.rng.IntN(len(c.cluster.machines)))
		}
		return false
	}
	a := &call{operation: o, client: c, life: l, group: group, latch: latch{group, registerKey(o.key).Hash() % latches}}
	slow := false
	if o.action != get {
		if l.deciding[a.latch] {
			return false
		}
		if l.writing[a.latch] > 0 {
			c.cluster.behind++
		} else {
			slow = c.rng.IntN(100) < c.cluster.weather.slowPercent && !c.cluster.final
		}
		l.writing[a.latch]++
		c.cluster.values++
		o.value = c.cluster.values
	}
	var ctx context.Context
	ctx, a.cancel = context.WithCancel(context.Background())
	c.current = a
	c.cluster.history.begin(o)
	c.cluster.events.note("client %d at %d: %v", c.number, to, o)
	patience := c.cluster.weather.patience
	if slow {
		l.deciding[a.latch] = true
		a.decide = &pause{over: make(chan struct{})}
		c.cluster.pauses = append(c.cluster.pauses, a.decide)
		wait := time.Duration(c.rng.Int64N(int64(slowest)))
		patience += wait
		c.cluster.events.after(wait, a.decided)
	}
	c.cluster.running.Go(func() { a.run(ctx) })
	c.cluster.events.after(patience, a.cancel)
	return true
}

// try begins the operation of a task.
func (c *client) try(t task) {
	to := t.at
	if to == 0 {
		to = c.guess[t.group]
	}
	if !c.begin(&operation{client: c.number, key: t.key, action: t.action}, t.group, to) {
		c.think()
	}
}

var errFound = holdfast.Errorf(holdfast.Failed, "the register has another value")

// run does the operation at its node.
func (a *call) run(ctx context.Context) {
	if a.action == get {
		a.end(0, holdfast.TxID{}, a.life.replicas[a.group].Read(ctx))
		return
	}
	sh, found := a.life.shards[a.group], 0
	write := shard.Write{Shard: sh, Key: registerKey(a.key),
		Change: func(before item.Item) (item.Item, error) {
			found = registerValue(before)
			if a.decide != nil {
				<-a.decide.over
			}
			if a.action == swap && found != a.expected {
				return nil, errFound
			}
			return registerItem(a.key, a.value), nil
		},
	}
	results, err := a.life.store.Commit(ctx, shard.Commit{Acknowledge: a.policy(), Writes: []shard.Write{write}})
	if err != nil {
		a.end(found, holdfast.TxID{}, err)
		return
	}
	a.end(found, results[0].Tx, nil)
}

// end notes the end of the operation, or of the first part of a read.
func (a *call) end(found int, tx holdfast.TxID, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended, a.found, a.tx, a.err = true, found, tx, err
}

// look is the second part of a read. It is an event of its own, since it would depend on goroutines
// which of the entries it sees that are applied in the event in which the first part ends.
func (a *call) look() {
	it, err := a.life.shards[a.group].Get(context.Background(), registerKey(a.key))
	a.end(registerValue(it), holdfast.TxID{}, err)
}

// settle ends the client's operation if it has ended, or if its node is dead.
func (c *client) settle() {
	a := c.current
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.life.isOver():
		a.settle(unknown)
	case a.ended && a.err == nil && a.action == get && !a.looks:
		a.ended, a.looks = false, true
		wait := time.Duration(c.rng.Int64N(int64(time.Millisecond)))
		c.cluster.events.after(wait, func() { c.cluster.running.Go(a.look) })
		return
	case a.ended:
		a.settle(a.become())
		a.checkDisks()
	default:
		return
	}
	c.current = nil
	if c.cluster.final && len(c.tasks) > 0 && c.tasks[0].isDone(a.operation) {
		c.tasks = c.tasks[1:]
	}
	if a.outcome == acknowledged {
		c.cluster.earlies.add(a)
	}
	if a.action != get {
		a.decided()
		a.life.writing[a.latch]--
	}
	c.think()
}

// decided ends the time that a slow write takes to be decided.
func (a *call) decided() {
	if a.decide != nil && !a.decide.ended {
		a.decide.end()
		delete(a.life.deciding, a.latch)
	}
}

// outcomeOf returns what an error says of an operation.
func outcomeOf(err error) outcome {
	switch {
	case err == nil:
		return done
	case errors.Is(err, errFound):
		return failed
	case slices.ContainsFunc([]holdfast.Kind{holdfast.NotLeader, holdfast.Refused, holdfast.Overloaded, holdfast.Full},
		func(k holdfast.Kind) bool { return errors.Is(err, k) }):
		return refused
	}
	return unknown
}

// settle records the operation's end. mu is held.
func (a *call) settle(as outcome) {
	c := a.client
	a.cancel()
	c.cluster.history.end(a.operation, as, a.found)
	switch as {
	case done, failed, acknowledged:
		c.known[a.key] = a.found
		if a.action != get && as != failed {
			c.known[a.key], c.guess[a.group] = a.value, a.life.machine.id
			c.cluster.nemesis.acknowledged(a.life.machine)
		}
	default:
		c.guess[a.group] = holdfast.NodeID(1 + c.rng.IntN(len(c.cluster.machines)))
		if errors.Is(a.err, holdfast.NotLeader) {
			if leader := a.life.replicas[a.group].Status().Leader; leader != 0 {
				c.guess[a.group] = leader
			}
		}
	}
	if errors.Is(a.err, holdfast.Full) {
		c.cluster.full++
	}
	c.cluster.events.note("client %d: %v %v", c.number, a.operation, kindOf(a.err))
}

// kindOf returns the kind of an error, since texts may name what differs between two runs.
func kindOf(err error) string {
	var known *holdfast.Error
	if errors.As(err, &known) {
		return known.Kind.Error()
	}
	if err != nil {
		return "another error: " + err.Error()
	}
	return ""
}
