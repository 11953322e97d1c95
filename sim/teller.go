package sim

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
	"holdfast/table"
)

// A teller is a client of tables. It moves money between accounts, reads all of them, and appends to
// lists and reads them, one transaction after the other.
type teller struct {
	number  int
	tables  *tables
	rng     *rand.Rand
	known   map[string][]int // what it has found last of each list
	lost    bool             // that isn't there any more
	used    int              // tokens
	tasks   int              // when the faults have ended: transactions that must succeed
	current *request         // nil: it thinks
}

// A requestKind is what a request does.
type requestKind uint8

const (
	moves   requestKind = iota // money between two accounts
	sums                       // reads all accounts
	writes                     // appends to lists, on conditions
	reads                      // reads lists
	appends                    // appends to one list, without a transaction
	gets                       // reads one list consistently
	glances                    // reads one list
)

func (k requestKind) String() string {
	return [...]string{"transfer", "sum", "write", "read", "append", "get", "glance"}[k]
}

// tries is how often a transaction is sent at most, with the same token.
const tries = 3

// A request is sent to a node, which forwards it to the one that leads, unless it is that itself.
type request struct {
	teller  *teller
	kind    requestKind
	keys    []string // of lists
	tx      *transaction
	actions []table.Action
	token   string
	tried   int
	waits   bool // to be sent again; events use it

	asked, at *life // the node that was asked, and the one that executes it; nil: it is on its way
	cancel    context.CancelFunc

	mu      sync.Mutex // guards what follows
	ended   bool
	over    bool // the response has come, or never will
	err     error
	got     []table.Got
	written []table.Written
}

func listKey(key string) item.Item { return item.New(item.Attr{Name: "k", Value: item.Text(key)}) }

func accountKey(n int) item.Item { return listKey(fmt.Sprint("account", n)) }

// expression returns the scope of an expression with a value for :v.
func expression(v item.Value) *item.Scope {
	sc, err := item.NewScope(nil, item.New(item.Attr{Name: ":v", Value: v}))
	if err != nil {
		panic(err) // our own
	}
	return sc
}

// add returns an action that adds to an account's balance, which doesn't go below 0.
func add(n, amount int) table.Action {
	u := &table.Update{Table: accountsTable, Key: accountKey(n)}
	var err, err2 error
	u.Change, err = expression(numeral(amount)).Update("ADD v :v")
	if amount < 0 {
		u.If, err2 = expression(numeral(-amount)).Condition("ConditionExpression", "v >= :v")
	}
	if err := errors.Join(err, err2); err != nil {
		panic(err) // our own
	}
	return table.Action{Update: u}
}

// values returns a list's value of some numbers.
func values(all []int) item.Value {
	v := item.List()
	for _, n := range all {
		v.List = append(v.List, numeral(n))
	}
	return v
}

// extend returns an update that appends to a list.
func extend(key string, value int, first bool) *table.Update {
	text := "SET l = list_append(l, :v)"
	if first {
		text = "SET l = :v"
	}
	change, err := expression(values([]int{value})).Update(text)
	if err != nil {
		panic(err) // our own
	}
	return &table.Update{Table: listsTable, Key: listKey(key), Change: change}
}

// unchanged returns a condition that a list is as it was found; nil: whatever it is.
func unchanged(found []int) *item.Condition {
	text, v := "l = :v", values(found)
	if len(found) == 0 {
		text, v = "attribute_not_exists(l) OR k = :v", item.Text("")
	}
	is, err := expression(v).Condition("ConditionExpression", text)
	if err != nil {
		panic(err) // our own
	}
	return is
}

func (t *teller) cluster() *cluster { return t.tables.cluster }

// think plans the teller's next request.
func (t *teller) think() {
	c := t.cluster()
	wait := time.Duration(t.rng.Int64N(int64(c.weather.think)))
	if !c.final {
		wait += max(0, c.lull-c.events.now())
	}
	c.events.after(wait, func() {
		if t.current == nil && (!c.final || t.tasks > 0) {
			t.act()
		}
	})
}

// act begins a request of a random kind.
func (t *teller) act() {
	r := &request{teller: t, kind: requestKind(t.rng.IntN(int(glances) + 1))}
	if t.cluster().final {
		r.kind = []requestKind{moves, sums, writes, reads}[t.tasks%4]
	}
	if t.lost && t.rng.IntN(4) > 0 {
		r.kind, t.lost = reads, false
	}
	names := t.rng.Perm(lists)
	switch r.kind {
	case moves:
		from, to := t.rng.IntN(accounts), t.rng.IntN(accounts-1)
		if to >= from {
			to++
		}
		amount := 1 + t.rng.IntN(opening/2)
		r.actions = []table.Action{add(from, -amount), add(to, amount)}
	case writes:
		names = names[:1+t.rng.IntN(3)]
	case reads:
		names = names[:1+t.rng.IntN(lists)]
		if t.cluster().final {
			names = []int{0, 1, 2, 3}
		}
	case appends, gets, glances:
		names = names[:1]
	}
	if r.kind >= writes {
		for _, n := range names {
			r.keys = append(r.keys, string(rune('a'+n)))
		}
		r.tx = &transaction{client: t.number}
		t.fill(r)
	}
	if r.kind == moves || r.kind == writes && t.rng.IntN(2) == 0 {
		t.used++
		r.token = fmt.Sprintf("token-%d-%d", t.number, t.used)
	}
	if r.tx != nil && r.kind != glances {
		h := &t.cluster().history
		h.clock++
		r.tx.began, r.tx.ended = h.clock, math.MaxInt64
		t.tables.history = append(t.tables.history, r.tx)
	}
	t.current = r
	t.send(r)
}

// fill gives a request of lists its steps and actions. A transaction that writes may have conditions for
// lists that it doesn't change: that they are what the teller has found last.
func (t *teller) fill(r *request) {
	for i, key := range r.keys {
		check := r.kind == writes && i > 0 && t.rng.IntN(3) == 0
		switch {
		case r.kind == reads || r.kind == gets || r.kind == glances:
			r.tx.steps = append(r.tx.steps, step{key: key})
		case check:
			found := t.known[key]
			r.tx.steps = append(r.tx.steps, step{key: key, found: found})
			r.actions = append(r.actions, table.Action{
				Check: &table.Check{Table: listsTable, Key: listKey(key), If: unchanged(found)}})
		default:
			c := t.cluster()
			c.values++
			u := extend(key, c.values, len(t.known[key]) == 0)
			if len(t.known[key]) == 0 || t.rng.IntN(8) == 0 {
				u = extend(key, c.values, len(t.known[key]) == 0)
				u.If = unchanged(t.known[key])
			}
			r.tx.steps = append(r.tx.steps, step{key: key, append: c.values}, step{key: key})
			r.actions = append(r.actions, table.Action{Update: u})
		}
	}
}

// send sends a request to a node that is up, or has the teller think again.
func (t *teller) send(r *request) {
	c := t.cluster()
	m := c.machines[t.rng.IntN(len(c.machines))]
	r.tried++
	r.asked, r.at, r.ended, r.over, r.err, r.got, r.written = m.life, nil, false, false, nil, nil, nil
	attempt := r.tried
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	c.events.note("teller %d at %d: %v %v %s", t.number, m.id, r.kind, r.tx, r.token)
	if m.life == nil || m.paused {
		r.fail(holdfast.NotLeader, "the node is down")
		return
	}
	c.events.after(c.weather.patience, r.cancel)
	leader := m.id
	if r.kind != glances {
		if is := m.life.host.Replica(catalog.ShardID).Leader(); is != 0 {
			leader = is
		}
	}
	if leader == m.id {
		r.execute(ctx, m.life)
		return
	}
	r.travel(link{m.id, leader}, func(arrives bool) {
		switch to := c.machine(leader).life; {
		case r.tried != attempt || t.current != r || r.over:
		case !arrives || to == nil:
			r.fail(holdfast.Unavailable, "the request was lost")
		default:
			r.execute(ctx, to)
		}
	})
}

// travel has a request or a response travel between two nodes.
func (r *request) travel(l link, do func(arrives bool)) {
	c := r.teller.cluster()
	wait := 50*time.Microsecond + time.Duration(c.rng.Int64N(int64(c.network.quick)))
	c.events.after(wait, func() {
		if c.machine(l.from).paused || c.machine(l.to).paused {
			c.events.after(backlog/4, func() { r.travel(l, do) })
			return
		}
		do(!c.network.cuts[l])
	})
}

// execute does the request at a node.
func (r *request) execute(ctx context.Context, l *life) {
	r.at = l
	attempt := r.tried
	l.machine.cluster.running.Go(func() {
		got, written, err := r.run(ctx, l.tables.store)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.tried == attempt {
			r.ended, r.got, r.written, r.err = true, got, written, err
		}
	})
}

// run does the request.
func (r *request) run(ctx context.Context, s *table.Store) (got []table.Got, written []table.Written, err error) {
	switch r.kind {
	case moves, writes:
		written, err = s.TransactWrite(ctx, table.Transaction{
			Actions: r.actions, Token: r.token, Digest: sha256.Sum256([]byte(r.token))})
	case sums:
		var gets []table.Get
		for n := range accounts {
			gets = append(gets, table.Get{Table: accountsTable, Key: accountKey(n)})
		}
		got, err = s.TransactGet(ctx, gets)
	case reads:
		var gets []table.Get
		for _, key := range r.keys {
			gets = append(gets, table.Get{Table: listsTable, Key: listKey(key)})
		}
		got, err = s.TransactGet(ctx, gets)
	case appends:
		var w table.Written
		w, err = s.Update(ctx, *r.actions[0].Update)
		written = []table.Written{w}
	default:
		var g table.Got
		g, err = s.Get(ctx, table.Get{Table: listsTable, Key: listKey(r.keys[0]), Consistent: r.kind == gets})
		got = []table.Got{g}
	}
	return got, written, err
}

// fail ends an attempt that no node executes.
func (r *request) fail(kind holdfast.Kind, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended, r.over, r.err = true, true, holdfast.Errorf(kind, "%s", why)
}

// settle ends the teller's request if the response has come, or if its node is dead.
func (t *teller) settle() {
	r := t.current
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waits {
		return
	}
	lost := !r.over && (r.asked.isOver() || r.at != nil && r.at.isOver())
	switch {
	case lost:
		r.err = holdfast.Errorf(holdfast.Unavailable, "the node is gone")
		r.over, r.got, r.written = true, nil, nil
	case !r.ended:
		return
	case !r.over && r.at != r.asked:
		r.ended = false // until the response arrives
		attempt := r.tried
		r.travel(link{r.at.machine.id, r.asked.machine.id}, func(arrives bool) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if t.current != r || r.tried != attempt {
				return
			}
			r.ended, r.over = true, true
			if !arrives {
				r.err, r.got, r.written = holdfast.Errorf(holdfast.Unavailable, "the response was lost"), nil, nil
			}
		})
		return
	}
	t.finish(r)
}

// finish records what is known of a request. mu is held.
func (t *teller) finish(r *request) {
	r.cancel()
	c := t.cluster()
	as := r.becomes()
	c.events.note("teller %d: %v %v %s", t.number, r.kind, as, kindOf(r.err))
	if errors.Is(r.err, holdfast.Full) {
		c.full++
	}
	if as == unknown && r.token != "" && r.tried < tries {
		r.waits = true
		t.tables.again++
		c.events.after(c.weather.think, func() {
			r.waits = false
			t.send(r)
		})
		return
	}
	if r.tx != nil {
		t.record(r, as)
	}
	if r.kind == sums && as == done {
		t.tables.sums++
		t.checkSum(r.got)
	}
	t.tables.counts[as]++
	t.current = nil
	if c.final && t.tasks > 0 && (as == done || as == failed && r.kind == moves) {
		t.tasks--
	}
	if as == done && (r.kind == moves || r.kind == writes) {
		if r.at != nil && r.at.machine.life == r.at {
			c.nemesis.acknowledged(r.at.machine)
		}
	}
	t.think()
}

// becomes returns what is known of a request. Once an attempt had no outcome, only a success says
// what has become of it.
func (r *request) becomes() outcome {
	var failedCondition *table.ConditionError
	var canceled *table.CanceledError
	as := outcomeOf(r.err)
	if errors.As(r.err, &failedCondition) || errors.As(r.err, &canceled) {
		as = failed
	}
	if r.tried > 1 && as != done {
		return unknown
	}
	return as
}

// record records a transaction of lists.
func (t *teller) record(r *request, as outcome) {
	h := &t.cluster().history
	h.clock++
	r.tx.outcome = as
	if as != unknown {
		r.tx.ended = h.clock
	}
	if as == failed {
		t.lost = true // what the teller's conditions are for isn't there any more
	}
	if as != done {
		return
	}
	steps := r.tx.steps[:0:0]
	at := 0
	for _, s := range r.tx.steps {
		isRead := s.append == 0
		switch {
		case r.got != nil:
			s.found = numbers(r.got[at].Item)
			at++
		case isRead && len(steps) > 0 && steps[len(steps)-1].append != 0 && steps[len(steps)-1].key == s.key:
			i := slices.Index(r.keys, s.key)
			if r.written[i].After == nil {
				continue // the response to a repetition doesn't say it
			}
			s.found = numbers(r.written[i].After)
		}
		if isRead {
			t.known[s.key] = s.found
		}
		steps = append(steps, s)
	}
	r.tx.steps = steps
	if r.kind == glances {
		t.tables.stale = append(t.tables.stale, staleRead{r.keys[0], steps[0].found})
	}
	t.cluster().events.note("teller %d: %v", t.number, r.tx)
}

// numbers returns the values of a list's item.
func numbers(it item.Item) (all []int) {
	v, _ := it.Get("l")
	for _, v := range v.List {
		n, err := strconv.Atoi(v.Text)
		if err != nil {
			n = -1
		}
		all = append(all, n)
	}
	return all
}

// checkSum records an error unless there is as much money as ever.
func (t *teller) checkSum(got []table.Got) {
	total := 0
	var each []string
	for _, g := range got {
		v, _ := g.Item.Get("v")
		n, err := strconv.Atoi(v.Text)
		if err != nil || n < 0 {
			total = math.MinInt / 2
		}
		total += n
		each = append(each, v.Text)
	}
	if total != accounts*opening {
		t.cluster().events.fail("teller %d: the accounts have %v; want %d in all", t.number, each, accounts*opening)
	}
}
