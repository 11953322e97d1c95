package table

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
	"holdfast/shard"
)

// loadKind is the kind of the entries by which a shard is filled.
const loadKind = 10

// failAt has another node be the one that may lead when the n-th entry from now on is proposed by
// which a shard is filled or the catalog changes, and returns what reports in the end whether that
// has happened.
func (c *testCluster) failAt(n, to int) (happened func() bool) {
	seen, done := 0, false
	c.setHook(func(id holdfast.ShardID, raw []byte) {
		if id != catalog.ShardID && raw[1] != loadKind {
			return
		}
		if seen++; seen == n {
			done = true
			c.depose(to)
		}
	})
	return func() bool {
		c.setHook(nil)
		return done
	}
}

// isNew returns what says whether a shard wasn't there when isNew was called.
func (c *testCluster) isNew() func(holdfast.ShardID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := map[holdfast.ShardID]bool{}
	for id := range c.groups {
		old[id] = true
	}
	return func(id holdfast.ShardID) bool { return !old[id] }
}

// A backup and two restores of it, whose jobs end at every step, and are taken up by another node:
// the backup has what was acknowledged before it, and nothing later, the restored table all of
// that, on all nodes. No node serves a part of a table.
func TestBackupsOfAClusterDespiteFailovers(t *testing.T) {
	done := false
	for step := 1; !done; step++ {
		if step > 40 {
			t.Fatal("the failovers don't end")
		}
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			c := newCluster(t, 2)
			active := c.lead(0)
			d, attributes := indexed(tokenTable)
			active.createAt(d, attributes)
			var want []item.Item
			for n := range 6 { // several entries of a load
				big := append(order(n, n), item.Attr{Name: "z", Value: item.Bytes(string(make([]byte, 150<<10)))})
				put(t, active.Store, tokenTable, big)
			}
			want = active.items(tokenTable, "")
			b := active.backup(tokenTable)
			c.time.add(time.Millisecond)
			for n := range 8 {
				put(t, active.Store, tokenTable, order(n, 100))
			}
			happened := c.failAt(step, 1)
			at, failures := 0, 0
			settle := func() {
				for {
					err := c.nodes[at].work()
					if err == nil {
						return
					}
					if failures++; failures > 1 || !unchanged(err) && !errors.Is(err, holdfast.Unavailable) {
						t.Fatal(err)
					}
					at = 1
					c.lead(at)
				}
			}
			settle()
			if b, err := c.nodes[at].DescribeBackup(b.ID); err != nil || !b.Ready || b.Items != 6 {
				t.Fatalf("got %+v, %v; want a backup of 6 items", b, err)
			}
			if _, err := c.nodes[at].RestoreBackup(bg, b.ID, "copy", catalog.Overrides{}); err != nil {
				if failures++; failures > 1 || !unchanged(err) {
					t.Fatal(err)
				}
				at = 1 // nothing was changed: it is repeated
				c.lead(at)
				if _, err := c.nodes[at].RestoreBackup(bg, b.ID, "copy", catalog.Overrides{}); err != nil {
					t.Fatal(err)
				}
			}
			c.follow()
			for i, n := range c.nodes {
				_, err := n.Scan(bg, Scan{Table: "copy"})
				wantKind(t, fmt.Sprintf("a scan of node %d before the table is restored", i), err, holdfast.NotFound)
			}
			settle()
			done = !happened()
			c.same()
			for i, n := range c.nodes {
				if d := n.describe("copy"); d.Status != catalog.Active || d.Items != 6 || d.Restored.InProgress {
					t.Errorf("node %d: got %+v; want an active table of 6 items", i, d)
				}
				sameItems(t, fmt.Sprintf("node %d", i), n.items("copy", ""), want)
			}
			c.nodes[at].checkIndexes("copy")
			put(t, c.nodes[at].Store, "copy", order(9, 9))
			if _, err := c.nodes[at].DeleteBackup(bg, b.ID); err != nil {
				t.Fatal(err)
			}
			settle()
			c.same()
			for i, n := range c.nodes {
				all, err := shard.OnDisk(n.disk)
				if err != nil || len(all) != 2+2*3*2 {
					t.Errorf("node %d: got %d shards, %v; want those of two tables with two indexes each, "+
						"the catalog and the ledger", i, len(all), err)
				}
			}
		})
	}
}

// A table is restored to a point in time, and a node that restarts in the middle follows.
func TestPointInTimeOfACluster(t *testing.T) {
	c := newCluster(t, 2)
	active, other := c.lead(0), c.nodes[1]
	active.createAt(users("users"))
	if _, err := active.SetPointInTime(bg, "users", true); err != nil {
		t.Fatal(err)
	}
	c.time.add(time.Second)
	active.putUsers(0, 20)
	at := c.time.Now()
	want := active.items("users", "")
	c.time.add(time.Second)
	active.putUsers(10, 40)
	for i := range 5 {
		active.delete("users", user(i))
	}
	if _, err := active.RestorePointInTime(bg, "users", "then", at, catalog.Overrides{}); err != nil {
		t.Fatal(err)
	}
	other.restart()
	active.settle()
	c.same()
	for _, n := range c.nodes {
		sameItems(t, fmt.Sprintf("node %d", n.self), n.items("then", ""), want)
	}
	active.checkIndexes("then")
	if p := active.describe("users").PointInTime; !p.On || p.Latest.Before(at) {
		t.Errorf("got %+v; want points in time", p)
	}
	other = c.lead(1) // whose index followers are other ones
	if _, err := other.RestorePointInTime(bg, "users", "later", at, catalog.Overrides{}); err != nil {
		t.Fatal(err)
	}
	other.settle()
	sameItems(t, "after a change of the leader", other.items("later", ""), want)
}

// Backups have a transaction over several shards whole or not at all, also if the node that was
// active has filled one of the shards, and the clock of the next one is behind.
func TestBackupHasATransactionWhole(t *testing.T) {
	for _, after := range []string{"first", "second"} {
		c := newCluster(t, 2)
		active := c.lead(0)
		active.createAt(plain("t"))
		var pair []item.Item
		shards := active.tables.table("t").shards
		for i := 0; len(pair) < 2; i++ { // an item of each shard
			it := attrs("id", fmt.Sprint(i), "v", 1)
			if key, err := active.tables.table("t").schema.Key.Key(it); err != nil {
				t.Fatal(err)
			} else if active.tables.table("t").shard(key) == shards[len(pair)] {
				pair = append(pair, it)
			}
		}
		isNew := c.isNew()
		b := active.backup("t")
		loads := 0
		c.setHook(func(id holdfast.ShardID, _ []byte) { // a shard without items is loaded by two entries
			if !isNew(id) {
				return
			}
			if loads++; loads == map[string]int{"first": 2, "second": 3}[after] {
				c.depose(1)
			}
		})
		wantKind(t, "the work of the node that was active", active.work(), holdfast.NotLeader)
		c.setHook(nil)
		next := c.lead(1)
		c.time.add(-time.Hour)
		if _, err := next.TransactWrite(bg, Transaction{Actions: []Action{
			{Put: &Put{Table: "t", Item: pair[0]}}, {Put: &Put{Table: "t", Item: pair[1]}}}}); err != nil {
			t.Fatal(err)
		}
		next.settle()
		got, err := next.DescribeBackup(b.ID)
		if err != nil || !got.Ready || got.Items != 0 {
			t.Errorf("after the %s shard: got %+v, %v; want a backup without the transaction, which is later", after,
				got, err)
		}
		c.same()
	}
}

// A backup has all that was acknowledged before it, although the clock of the node that makes it is
// behind that of the node that was active then.
func TestBackupOfANodeWhoseClockIsBehind(t *testing.T) {
	c := newCluster(t, 2)
	c.lead(0).createAt(users("users"))
	c.nodes[0].putUsers(0, 10)
	c.follow()
	next := c.lead(1)
	c.time.add(-time.Hour)
	b := next.backup("users")
	next.settle()
	if b, err := next.DescribeBackup(b.ID); err != nil || b.Items != 10 {
		t.Errorf("got %+v, %v; want 10 items", b, err)
	}
}

// A node that has heard of a restored table, but lacks what its shards were filled with, doesn't
// serve the table, which it would have a part of.
func TestNodeThatLacksPartOfARestoredTable(t *testing.T) {
	c := newCluster(t, 3)
	active, late := c.lead(0), c.nodes[2]
	d, attributes := indexed(tokenTable)
	active.createAt(d, attributes)
	for n := range 8 {
		put(t, active.Store, tokenTable, order(n, n))
	}
	b := active.backup(tokenTable)
	active.settle()
	c.same()
	late.leave()
	if _, err := active.RestoreBackup(bg, b.ID, "copy", catalog.Overrides{}); err != nil {
		t.Fatal(err)
	}
	active.settle()
	c.mu.Lock()
	err := late.replicas[catalog.ShardID].apply()
	c.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	late.catchUp()
	if d := late.describe("copy"); d.Status != catalog.Active {
		t.Fatalf("got %+v; want that the node knows it as active", d)
	}
	reads := map[string]func() error{
		"get": func() error {
			_, err := late.Get(bg, Get{Table: "copy", Key: order(1, 1).Only("id", "seq")})
			return err
		},
		"scan": func() error { _, err := late.Scan(bg, Scan{Table: "copy"}); return err },
		"query of a local index": func() error {
			_, err := late.Query(bg, Query{Table: "copy", Index: "local", Key: keyCondition(t, "id = :i", ":i", "id1")})
			return err
		},
		"batch": func() error {
			_, _, _, err := late.BatchGet(bg, []Get{{Table: "copy", Key: order(1, 1).Only("id", "seq")}})
			return err
		},
	}
	for what, read := range reads {
		wantKind(t, what, read(), holdfast.NotFound)
	}
	late.back()
	for what, read := range reads {
		if err := read(); err != nil {
			t.Errorf("%s, when the node has all: got %v", what, err)
		}
	}
	page, err := late.Query(bg, Query{Table: "copy", Index: "local", Key: keyCondition(t, "id = :i", ":i", "id1")})
	if err != nil || page.Count != 1 {
		t.Errorf("got %d entries, %v; want one", page.Count, err)
	}
	c.same()
}

// A restore to a time that the log no longer reaches is abandoned on all nodes.
func TestAbandonedRestoreOfACluster(t *testing.T) {
	c := newCluster(t, 2)
	active := c.lead(0)
	active.createAt(users("users"))
	if _, err := active.SetPointInTime(bg, "users", true); err != nil {
		t.Fatal(err)
	}
	put(t, active.Store, "users", user(1))
	c.time.add(time.Hour)
	b := active.backup("users")
	if _, err := active.RestorePointInTime(bg, "users", "copy", c.time.Now(), catalog.Overrides{}); err != nil {
		t.Fatal(err)
	}
	c.same()
	for n := range 8 {
		c.time.add(25 * time.Hour)
		put(t, active.Store, "users", user(n))
	}
	active.describe("users") // waits until the index needs no more of what is to be trimmed
	if err := active.sweeper.trim(bg); err != nil {
		t.Fatal(err)
	}
	active.settle()
	c.same()
	for _, n := range c.nodes {
		if names, _ := n.List("", 10); !slices.Equal(names, []string{"users"}) {
			t.Errorf("node %d: got the tables %v; want users alone", n.self, names)
		}
	}
	if b, err := active.DescribeBackup(b.ID); err != nil || !b.Ready || b.Items != 8 {
		t.Errorf("got %+v, %v; want a backup of a later time, with 8 items", b, err)
	}
}
