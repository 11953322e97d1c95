package table

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
	"holdfast/shard"
)

var bg = context.Background()

// byN adds an index by the number n to the table users.
func byN() catalog.Alteration {
	a := item.KeyAttr{Name: "n", Type: item.N}
	return catalog.Alteration{Table: "users", Attributes: []item.KeyAttr{a},
		Indexes: []catalog.IndexAlteration{{Create: &catalog.IndexDefinition{
			Index: item.Index{Name: "by-n", Key: item.KeySchema{Hash: a}.Index(), Project: item.ProjectKeys}}}}}
}

// createAt makes a table at a node, and waits until it can be altered.
func (n *testNode) createAt(d catalog.Definition, attributes []item.KeyAttr) {
	n.t.Helper()
	n.rig.create(d, attributes)
}

// putUsers puts n users into the table users.
func (n *testNode) putUsers(from, to int) {
	n.t.Helper()
	for i := from; i < to; i++ {
		put(n.t, n.Store, "users", user(i))
	}
}

// get returns a user as a node has it.
func (n *testNode) get(i int, consistent bool) (item.Item, error) {
	got, err := n.Get(bg, Get{Table: "users", Key: user(i).Only("id"), Consistent: consistent})
	return got.Item, err
}

// ofCity returns how many users of a city a query of the index finds.
func (n *testNode) ofCity(city string) (int, error) {
	page, err := n.Query(bg, Query{Table: "users", Index: "by-city", Key: keyCondition(n.t, "city = :c", ":c", city)})
	return page.Count, err
}

// What the active node does with tables, all nodes have, with the same shards.
func TestNodesFollowTheCatalog(t *testing.T) {
	c := newCluster(t, 3)
	active := c.lead(0)
	c.same()
	d, attributes := users("users")
	d.Stream = catalog.NewAndOldImages
	active.createAt(d, attributes)
	active.createAt(indexed("orders"))
	c.same()
	active.putUsers(0, 20)
	put(t, active.Store, "orders", order(1, 2), order(2, 3))
	active.alter(byN())
	active.setTTL(catalog.TTL{Attr: "until", On: true})
	c.same()
	active.settle()
	c.same()
	off := catalog.View(0)
	active.describe("users")
	active.alter(catalog.Alteration{Table: "users", Stream: &off})
	active.describe("users")
	active.alter(catalog.Alteration{Table: "users", Indexes: []catalog.IndexAlteration{{Delete: "by-n"}}})
	active.settle()
	if err := active.Tag(bg, "users", map[string]string{"a": "b"}); err != nil {
		t.Fatal(err)
	}
	c.same()
	for i, n := range c.nodes {
		if tags, err := n.Tags("users"); err != nil || tags["a"] != "b" {
			t.Errorf("node %d: got the tags %v, %v; want a: b", i, tags, err)
		}
		if it, err := n.get(7, false); err != nil || !it.Equal(user(7)) {
			t.Errorf("node %d: got %v, %v; want %v", i, it, err, user(7))
		}
	}
	for _, table := range []string{"users", "orders"} {
		active.describe(table)
		if _, err := active.Remove(bg, table); err != nil {
			t.Fatal(err)
		}
		c.same()
	}
	active.settle()
	c.same()
	if got := len(c.nodes[1].Streams("users")); got != 1 {
		t.Errorf("got %d streams of the removed table; want one", got)
	}
	c.time.add(catalog.StreamAge)
	active.settle()
	c.same()
	all, err := shard.OnDisk(c.nodes[2].disk)
	if err != nil || len(all) != 2 {
		t.Errorf("got the shards %v, %v in the end; want the catalog's and the ledger's", all, err)
	}
}

// A node that isn't the active one reads items and local indexes as it has them, and refuses what only
// the active one does.
func TestPassiveNode(t *testing.T) {
	c := newCluster(t, 2)
	active, passive := c.lead(0), c.nodes[1]
	active.createAt(users("users"))
	d, attributes := indexed(tokenTable)
	d.Stream = catalog.NewAndOldImages
	active.createAt(d, attributes)
	active.putUsers(0, 10)
	c.follow()
	put(t, active.Store, tokenTable, order(1, 2))
	for what, request := range passive.requests(1) {
		switch err := request(bg); what {
		case "get", "query", "query of a local index", "scan", "batch get", "stream":
			if err != nil {
				t.Errorf("%s: got %v; want it done", what, err)
			}
		default:
			wantKind(t, what, err, holdfast.NotLeader)
		}
	}
	if d, err := passive.Describe("users"); err != nil || d.Items != 10 {
		t.Errorf("got %+v, %v; want 10 items", d, err)
	}
	if all := passive.Stats(); len(all) != 2 || !all[1].Follows {
		t.Errorf("got %+v; want both tables", all)
	}
	for what, change := range map[string]func() error{
		"create": func() error { d, a := plain("other"); _, err := passive.Create(bg, d, a); return err },
		"alter":  func() error { _, err := passive.Alter(bg, byN()); return err },
		"remove": func() error { _, err := passive.Remove(bg, "users"); return err },
		"TTL":    func() error { return passive.SetTTL(bg, "users", catalog.TTL{Attr: "until", On: true}) },
		"tag":    func() error { return passive.Tag(bg, "users", map[string]string{"a": "b"}) },
	} {
		wantKind(t, what, change(), holdfast.NotLeader)
	}
	c.same()
}

// A node that was away, or wasn't running, finds what was made and removed meanwhile: also a table that
// was removed and made again.
func TestNodeThatWasAway(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		c := newCluster(t, 3)
		active, late := c.lead(0), c.nodes[2]
		active.createAt(users("users"))
		active.createAt(indexed("again"))
		active.createAt(plain("gone"))
		c.same()
		late.leave()
		active.putUsers(0, 10)
		for _, name := range []string{"again", "gone"} {
			if _, err := active.Remove(bg, name); err != nil {
				t.Fatal(err)
			}
		}
		active.settle()
		active.createAt(plain("again"))
		active.createAt(indexed("new"))
		active.alter(byN())
		active.settle()
		if restarts {
			late.restart()
			if names, _ := late.List("", 10); len(names) != 3 {
				t.Errorf("got %v at a start; want the three tables that it knows", names)
			}
		}
		late.back()
		c.same()
		if restarts {
			if err := late.installer.cluster.dropOrphans(bg); err != nil {
				t.Fatal(err)
			}
			c.same()
		}
		if it, err := late.get(3, true); err != nil || it == nil {
			t.Errorf("got %v, %v; want the user", it, err)
		}
	}
}

// What a node finds on disk and the catalog doesn't name is dropped when the node knows all that was
// committed before, and not sooner: the catalog may name it by then.
func TestOrphans(t *testing.T) {
	c := newCluster(t, 2)
	active, late := c.lead(0), c.nodes[1]
	c.same()
	late.leave()
	active.createAt(plain("new"))
	fresh := active.tables.table("new").shards
	stray := shard.Descriptor{ID: 900, Space: 899}
	for _, d := range []shard.Descriptor{fresh[0].Descriptor(), stray} {
		if _, err := late.disk.Open(d, shard.Schema{Key: active.tables.table("new").schema.Key}); err != nil {
			t.Fatal(err)
		}
	}
	late.restart()
	has := func() (all []holdfast.ShardID) {
		onDisk, err := shard.OnDisk(late.disk)
		if err != nil {
			t.Fatal(err)
		}
		return idsOf(onDisk)
	}
	want := fmt.Sprint([]holdfast.ShardID{catalog.ShardID, 3, fresh[0].ID(), 900})
	wantKind(t, "away", late.installer.cluster.dropOrphans(bg), holdfast.Overloaded)
	if got := fmt.Sprint(has()); got != want {
		t.Errorf("got the shards %v; want %v, since the node doesn't know what was committed", got, want)
	}
	late.back()
	if err := late.installer.cluster.dropOrphans(bg); err != nil {
		t.Fatal(err)
	}
	c.same()
}

// A node that no longer leads, and doesn't know it, changes nothing; nor does one that leads again,
// before it has seen what was changed meanwhile.
func TestDeposedNode(t *testing.T) {
	c := newCluster(t, 2)
	first := c.lead(0)
	first.createAt(users("users"))
	c.follow()
	if err := c.tryLead(1); err != nil {
		t.Fatal(err)
	}
	second := c.nodes[1]
	d, attributes := plain("a")
	_, err := first.Create(bg, d, attributes)
	wantKind(t, "a create at the node that led", err, holdfast.NotLeader)
	_, err = first.Put(bg, Put{Table: "users", Item: user(1)})
	wantKind(t, "a put at the node that led", err, holdfast.NotLeader)
	second.createAt(plain("b"))
	c.depose(0)
	_, err = first.Create(bg, d, attributes)
	wantKind(t, "a create by stale contents", err, holdfast.Refused)
	second.Yield()
	first.catchUp() // it is still active: this makes it lead the new table's shards, too
	first.createAt(d, attributes)
	put(t, first.Store, "b", attrs("id", "x"))
	c.same()
}

// Whatever is refused after some parts of a batch were written is left for another request.
func TestBatchIsInterrupted(t *testing.T) {
	c := newCluster(t, 2)
	n := c.lead(0)
	n.createAt(plain("t"))
	var ws []BatchWrite
	for i := range 20 {
		big := attrs("id", fmt.Sprint(i), "v", string(make([]byte, 390<<10)))
		ws = append(ws, BatchWrite{Put: &Put{Table: "t", Item: big}})
	}
	proposed := 0
	c.setHook(func(holdfast.ShardID, []byte) {
		if proposed++; proposed == 8 { // behind the first part, a transaction over both shards and the ledger
			c.depose(1)
		}
	})
	unprocessed, _, _, err := n.BatchWrite(bg, ws)
	if err != nil || len(unprocessed) == 0 || len(unprocessed) == len(ws) {
		t.Fatalf("got %v unprocessed, %v; want some of %d", unprocessed, err, len(ws))
	}
	c.setHook(nil)
	next := c.lead(1)
	left := map[int]bool{}
	for _, i := range unprocessed {
		left[i] = true
	}
	for i := range ws {
		got, err := next.Get(bg, Get{Table: "t", Key: attrs("id", fmt.Sprint(i)), Consistent: true})
		if err != nil || (got.Item == nil) != left[i] {
			t.Errorf("item %d: got %v, %v; want it there: %v", i, got.Item != nil, err, !left[i])
		}
	}
	_, _, _, err = n.BatchWrite(bg, ws)
	wantKind(t, "a batch of which nothing was written", err, holdfast.NotLeader)
}

// Consistent reads ask the group of each shard that they read, others don't.
func TestConsistentReads(t *testing.T) {
	c := newCluster(t, 2)
	n := c.lead(0)
	n.createAt(indexed(tokenTable))
	put(t, n.Store, tokenTable, order(1, 2))
	key := order(1, 2).Only("id", "seq")
	byID := keyCondition(t, "id = :id", ":id", "id1")
	shards := n.tables.table(tokenTable).shards
	for _, test := range []struct {
		what string
		asks int // shards of the table
		read func(consistent bool) error
	}{
		{"get", 1,
			func(is bool) error { _, err := n.Get(bg, Get{Table: tokenTable, Key: key, Consistent: is}); return err }},
		{"batch", 1, func(is bool) error {
			other := order(1, 2).Only("id", "seq")
			other = item.New(other[0], item.Attr{Name: "seq", Value: number("5")})
			_, _, _, err := n.BatchGet(bg, []Get{{Table: tokenTable, Key: key, Consistent: is},
				{Table: tokenTable, Key: other, Consistent: is}})
			return err
		}},
		{"query", 1, func(is bool) error {
			_, err := n.Query(bg, Query{Table: tokenTable, Key: byID, Consistent: is})
			return err
		}},
		{"query of a local index", 1, func(is bool) error {
			_, err := n.Query(bg, Query{Table: tokenTable, Index: "local", Key: byID, Consistent: is})
			return err
		}},
		{"scan", 2, func(is bool) error { _, err := n.Scan(bg, Scan{Table: tokenTable, Consistent: is}); return err }},
	} {
		for consistent, want := range map[bool]int{false: 0, true: test.asks} {
			asked := c.asked(shards, func() {
				if err := test.read(consistent); err != nil {
					t.Fatalf("%s: %v", test.what, err)
				}
			})
			if got := asked[0] + asked[1]; got != want {
				t.Errorf("%s, consistent %v: asked %d times; want %d", test.what, consistent, got, want)
			}
		}
	}
	asked := c.asked([]*shard.Shard{n.shardOf(tokenTable, key)}, func() {
		if _, err := n.TransactGet(bg, []Get{{Table: tokenTable, Key: key}}); err != nil {
			t.Fatal(err)
		}
	})
	if asked[0] == 0 {
		t.Errorf("a transaction of gets asked nothing; want the shard asked")
	}
	inIndex := keyCondition(t, "g = :g", ":g", "g1")
	asked = c.asked(shards, func() {
		page, err := n.Query(bg, Query{Table: tokenTable, Index: "global", Key: inIndex})
		if err != nil || page.Count != 1 {
			t.Errorf("a query of a global index: got %d items, %v; want one", page.Count, err)
		}
	})
	if asked[0] != 1 || asked[1] != 1 {
		t.Errorf("a query of a global index has asked both shards %v times; want each once", asked)
	}
}

// shardOf returns the shard of a table that has an item, of which at least the key is given.
func (n *testNode) shardOf(table string, it item.Item) *shard.Shard {
	n.t.Helper()
	l := n.tables.table(table)
	key, err := l.schema.Key.Key(it)
	if err != nil {
		n.t.Fatal(err)
	}
	return l.shard(key)
}

// A read with a token waits for what was seen, but not for long.
func TestTokensOfACluster(t *testing.T) { synctest.Test(t, testTokensOfACluster) }

func testTokensOfACluster(t *testing.T) {
	c := newCluster(t, 2)
	active, late := c.lead(0), c.nodes[1]
	active.createAt(users("users"))
	c.follow()
	late.leave()
	wrote := NewSession(holdfast.Token{})
	if _, err := active.Put(WithSession(bg, wrote), Put{Table: "users", Item: user(1)}); err != nil {
		t.Fatal(err)
	}
	read := func(seen holdfast.Token) (item.Item, error) {
		got, err := late.Get(WithSession(bg, NewSession(seen)), Get{Table: "users", Key: user(1).Only("id")})
		return got.Item, err
	}
	_, err := read(wrote.Token())
	wantKind(t, "a replica that lags", err, holdfast.Behind)
	if it, err := read(holdfast.Token{}); it != nil || err != nil {
		t.Errorf("without a token: got %v, %v; want nothing yet", it, err)
	}
	done := make(chan error, 1)
	go func() {
		it, err := read(wrote.Token())
		if it == nil && err == nil {
			err = errors.New("got nothing; want the user")
		}
		done <- err
	}()
	synctest.Wait() // it waits
	if len(done) > 0 {
		t.Fatalf("got %v before the replica has what was seen; want the read to wait", <-done)
	}
	late.back()
	if err := <-done; err != nil {
		t.Error(err)
	}
	c.lead(1)
	put(t, late.Store, "users", user(1, item.Attr{Name: "v", Value: item.Text("2")}))
	lost := holdfast.Token{}
	sh := late.shardOf("users", user(1))
	lost.See(holdfast.TxID{Shard: sh.ID(), Term: 1, Index: sh.End().Index - 1})
	_, err = read(lost)
	wantKind(t, "what another transaction has replaced", err, holdfast.Lost)
}
