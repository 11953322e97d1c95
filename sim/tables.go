package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
	"holdfast/shard"
	"holdfast/table"
)

// What a run of tables has.
const (
	accountsTable, listsTable = "accounts", "lists"

	accounts = 5
	lists    = 4
	opening  = 100 // the first balance of each account

	leastThink   = 20 * time.Millisecond // of the longest pause between two requests of a teller
	tablesLength = 5 * time.Second       // by default, until the faults end

	leadPause  = 100 * time.Millisecond // after tables couldn't begin to lead
	foundation = time.Minute            // until there are the tables, before any fault
)

// Tables are a run's part that is of tables: what all nodes have in common.
type tables struct {
	cluster *cluster
	tellers []*teller
	history []*transaction // of the lists
	stale   []staleRead
	sums    int             // of all accounts that were read
	again   int             // requests that were sent again
	counts  map[outcome]int // of requests
	shards  []holdfast.ShardID
}

// A staleRead is an eventually consistent read of a list.
type staleRead struct {
	key   string
	found []int
}

// A tableNode is the part of a life that is of tables: the store, with the groups of its shards, and
// when it leads. It does as package node's leadership: the tables lead while the node leads the
// group of the catalog, and the node hands over all else while another node leads that group.
type tableNode struct {
	life  *life
	store *table.Store

	mu      sync.Mutex         // guards what follows
	started []holdfast.ShardID // rising
	term    uint64             // in which it leads the catalog's group; 0: it doesn't
	end     context.CancelFunc // of the term; nil: it has none
	served  chan struct{}      // closed when the tables have yielded in the last term
}

// openTables opens a node's tables.
func (l *life) openTables() (err error) {
	n := &tableNode{life: l, served: make(chan struct{})}
	close(n.served)
	l.tables = n
	c := l.machine.cluster
	n.store, err = table.Open(context.Background(), table.Options{
		Disk: l.store, Replicas: n, Nodes: len(c.machines), ShardsPerTable: c.weather.tableShards,
		Now: l.machine.now,
	})
	return err
}

// Start implements table.Replicas.
func (n *tableNode) Start(sh *shard.Shard) error {
	if _, err := n.life.host.Start(sh, n.life.machine.cluster.members()); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	at, _ := slices.BinarySearch(n.started, sh.ID())
	n.started = slices.Insert(n.started, at, sh.ID())
	return nil
}

// Stop implements table.Replicas.
func (n *tableNode) Stop(id holdfast.ShardID) error {
	n.mu.Lock()
	n.started = slices.DeleteFunc(n.started, func(s holdfast.ShardID) bool { return s == id })
	n.mu.Unlock()
	return n.life.host.Stop(id)
}

// Follow implements table.Replicas.
func (n *tableNode) Follow(*catalog.Nodes) bool { return false }

// ids returns the shards that have replicas here, by rising ID.
func (n *tableNode) ids() []holdfast.ShardID {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.started)
}

// Lead implements table.Replicas, as package node does.
func (n *tableNode) Lead(ctx context.Context, ids []holdfast.ShardID) error {
	for {
		missing := false
		for _, id := range ids {
			r := n.life.host.Replica(id)
			if r == nil {
				return holdfast.Errorf(holdfast.NotLeader, "shard %d has no replica here", id)
			}
			if _, err := r.Lead(); err != nil {
				missing = true
				if r.Leader() == 0 {
					r.Campaign()
				}
			}
		}
		if !missing {
			return nil
		}
		if _, err := n.life.host.Replica(catalog.ShardID).Lead(); err != nil {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return holdfast.Errorf(holdfast.NotLeader, "this node doesn't lead all groups: %w", ctx.Err())
		}
	}
}

// look does what follows from who leads now.
func (n *tableNode) look() {
	r := n.life.host.Replica(catalog.ShardID)
	term, err := r.Lead()
	if err != nil {
		term = 0
	}
	n.setTerm(term)
	leader := r.Leader()
	if leader == 0 || leader == n.life.machine.id {
		return
	}
	for _, id := range n.ids() {
		if r := n.life.host.Replica(id); r != nil && r.Leader() == n.life.machine.id {
			r.Transfer(leader)
		}
	}
}

// setTerm ends the term in which the tables lead, if it is another one, and begins that.
func (n *tableNode) setTerm(term uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.term == term {
		return
	}
	if n.term = term; n.end != nil {
		n.end()
		n.end = nil
	}
	if term == 0 {
		return
	}
	var ctx context.Context
	ctx, n.end = context.WithCancel(context.Background())
	before, served := n.served, make(chan struct{})
	n.served = served
	go func() {
		defer close(served)
		<-before
		n.serve(ctx)
	}()
}

// serve has the tables lead until ctx ends.
func (n *tableNode) serve(ctx context.Context) {
	defer n.store.Yield()
	for ctx.Err() == nil {
		if n.store.Lead(ctx) == nil {
			<-ctx.Done()
			return
		}
		n.store.Yield()
		select {
		case <-time.After(leadPause):
		case <-ctx.Done():
		}
	}
}

// stop ends that the tables lead; close closes them, when the node's replicas are closed.
func (n *tableNode) stop() { n.setTerm(0) }

func (n *tableNode) close() error {
	n.mu.Lock()
	served := n.served
	n.mu.Unlock()
	<-served
	return n.store.Close()
}

// found makes the tables, and returns when all nodes have them.
func (t *tables) found() {
	c := t.cluster
	limit := c.events.now() + foundation
	var made sync.Mutex // guards ok
	ok := false
	for _, name := range []string{accountsTable, listsTable} {
		var on *machine
		c.wait(limit, "active node", func() bool {
			at := slices.IndexFunc(c.machines, func(m *machine) bool { return m.life.tables.store.Leads() })
			if at >= 0 {
				on = c.machines[at]
			}
			return at >= 0
		})
		if on == nil {
			return
		}
		ok = false
		c.running.Go(func() {
			key := item.KeyAttr{Name: "k", Type: item.S}
			d := catalog.Definition{Name: name, Key: item.KeySchema{Hash: key}, Billing: catalog.OnDemand}
			_, err := on.life.tables.store.Create(context.Background(), d, []item.KeyAttr{key})
			for n := range accounts {
				if name != accountsTable || err != nil {
					break
				}
				put := table.Put{Table: name, Item: account(n, opening)}
				_, err = on.life.tables.store.Put(context.Background(), put)
			}
			if err != nil {
				c.faults.add(fmt.Errorf("table %s: %w", name, err))
			}
			made.Lock()
			defer made.Unlock()
			ok = true
		})
		c.wait(limit, "table", func() bool {
			made.Lock()
			defer made.Unlock()
			return ok
		})
	}
	shards := 2 + 2*c.weather.tableShards // with the catalog's and the ledger's
	c.wait(limit, "tables at all nodes", func() bool {
		return !slices.ContainsFunc(c.machines, func(m *machine) bool { return len(m.life.tables.ids()) < shards })
	})
	t.shards = c.machines[0].life.tables.ids()
	c.events.note("there are the tables, with the shards %v", t.shards)
}

// check records an error unless the lists' history is strictly serializable, and all that eventually
// consistent reads have found of them was there at some time.
func (t *tables) check() error {
	for _, a := range findAnomalies(t.history) {
		return fmt.Errorf("the history of the lists isn't strictly serializable: %s: %s", a.kind, a.text)
	}
	v := inferVersions(t.history)
	for _, r := range t.stale {
		order := v.order[r.key]
		if len(r.found) > len(order) || !slices.Equal(order[:len(r.found)], r.found) {
			return fmt.Errorf("list %s: an eventually consistent read found %v; in the end it was %v", r.key, r.found,
				order)
		}
	}
	return nil
}

func account(n, balance int) item.Item {
	return item.New(item.Attr{Name: "k", Value: item.Text(fmt.Sprint("account", n))},
		item.Attr{Name: "v", Value: numeral(balance)})
}

func numeral(n int) item.Value { return item.Value{Type: item.N, Text: fmt.Sprint(n)} }

// useTables makes the run one of tables: there are tellers in the place of clients, and the groups are
// those of the tables' shards.
func (c *cluster) useTables() {
	rng := rand.New(rand.NewPCG(c.options.Seed, 4))
	w := &c.weather
	if c.options.Length == 0 {
		w.length = tablesLength
	}
	w.tableShards = 1 + rng.IntN(3)
	w.sync, w.memTable, w.think = 0, 256<<10, max(w.think, leastThink)
	c.tables = &tables{cluster: c, counts: map[outcome]int{}}
	for i := range w.clients {
		c.tables.tellers = append(c.tables.tellers, &teller{
			number: i, tables: c.tables, rng: rand.New(rand.NewPCG(c.options.Seed, uint64(1000+i))),
			known: map[string][]int{},
		})
	}
	w.clients, w.groups, w.acknowledge = 0, 0, nil
}

// shards returns those whose groups the run is about.
func (c *cluster) shards() (ids []holdfast.ShardID) {
	if c.tables != nil {
		return c.tables.shards
	}
	for group := range c.weather.groups {
		ids = append(ids, holdfast.ShardID(group+1))
	}
	return ids
}

// asleep reports whether the node's replica of a shard sleeps.
func (l *life) asleep(id holdfast.ShardID) bool {
	r := l.host.Replica(id)
	return r != nil && r.Status().Asleep
}

// recover has each teller do some transactions of each kind.
func (t *tables) recover(limit time.Duration) {
	t.cluster.wait(limit, "tellers' last requests", func() bool { return t.idle() })
	for _, each := range t.tellers {
		each.tasks = 8
		each.think()
	}
	t.cluster.wait(limit, "progress", func() bool { return t.idle() })
}

// idle reports whether no teller does anything, or has to.
func (t *tables) idle() bool {
	return !slices.ContainsFunc(t.tellers, func(each *teller) bool { return each.current != nil || each.tasks > 0 })
}
