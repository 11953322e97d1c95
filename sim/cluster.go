package sim

import (
	"cmp"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"holdfast"
	"holdfast/group"
)

const (
	dataDir   = "/data"
	tickEvery = 100 * time.Millisecond
)

// Options say which run it is to be.
type Options struct {
	Seed   uint64
	Length time.Duration // until the faults end; default 10 s, of tables 5 s
	Tables bool          // tables take the place of registers

	Log     func(line string) // nil, or gets what happens
	NodeLog slog.Handler      // nil, or gets the nodes' own logs
}

// A cluster is the machines of a run with all that is done to them. All of it is used by the events
// only, unless it says otherwise.
type cluster struct {
	options   Options
	rng       *rand.Rand
	events    *events
	network   *network
	streams   *streams
	weather   weather
	machines  []*machine
	clients   []*client
	nemesis   *nemesis
	history   history
	earlies   earlies
	tables    *tables // nil: it has none
	values    int     // that were written so far
	crashes   int
	snapshots int           // that were installed
	full      int           // writes that were refused by a full disk
	asleep    int           // faults that came while a group slept
	behind    int           // writes that began while another of their latch was on its way at their node
	lull      time.Duration // until then, clients begin nothing
	pauses    []*pause
	final     bool // faults and clients have come to their end

	running sync.WaitGroup // operations
	ending  sync.WaitGroup // nodes
	faults  faultList
}

// A faultList gathers what is wrong, from any goroutine.
type faultList struct {
	mu  sync.Mutex // guards all
	all []error
}

func (f *faultList) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, err)
}

func (f *faultList) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(f.all...)
}

func newCluster(o Options) *cluster {
	c := &cluster{options: o, rng: rand.New(rand.NewPCG(o.Seed, 0)), events: newEvents(o.Log)}
	c.events.settled = c.settle
	deliver := func(m group.Message) { c.machine(m.To).deliver(m) }
	c.network = newNetwork(rand.New(rand.NewPCG(o.Seed, 1)), c.events, deliver)
	c.streams = &streams{cluster: c}
	c.weather = drawWeather(rand.New(rand.NewPCG(o.Seed, 2)), c.network, cmp.Or(o.Length, 10*time.Second))
	c.nemesis = &nemesis{cluster: c, rng: rand.New(rand.NewPCG(o.Seed, 3))}
	for i := range c.weather.machines {
		m := &machine{id: holdfast.NodeID(i + 1), cluster: c, disk: NewDisk()}
		m.disk.Report(plenty)
		c.machines = append(c.machines, m)
	}
	if rand.New(rand.NewPCG(o.Seed, 5)).IntN(3) == 0 { // apart from all else that is drawn
		c.weather.faults = append(c.weather.faults, fullDisk)
	}
	if o.Tables {
		c.useTables()
	}
	for i := range c.weather.clients {
		c.clients = append(c.clients, &client{
			number: i, cluster: c, rng: rand.New(rand.NewPCG(o.Seed, uint64(100+i))), known: map[string]int{},
			guess: make([]holdfast.NodeID, c.weather.groups),
		})
		for group := range c.clients[i].guess {
			c.clients[i].guess[group] = 1
		}
	}
	return c
}

// machine returns that of a node.
func (c *cluster) machine(id holdfast.NodeID) *machine { return c.machines[id-1] }

// members returns all nodes.
func (c *cluster) members() (ids []holdfast.NodeID) {
	for _, m := range c.machines {
		ids = append(ids, m.id)
	}
	return ids
}

// settle is called when an event is over: it takes what the event has caused.
func (c *cluster) settle() {
	c.network.carry()
	c.streams.carry(c.network)
	for _, m := range c.machines {
		if m.life != nil {
			m.life.syncs.plan(c.rng, c.events, max(1, c.weather.sync))
		}
	}
	c.earlies.settle()
	for _, each := range c.clients {
		each.settle()
	}
	if c.tables != nil {
		for _, each := range c.tables.tellers {
			each.settle()
		}
	}
	if err := c.faults.err(); err != nil {
		c.events.fail("%w", err)
	}
}
