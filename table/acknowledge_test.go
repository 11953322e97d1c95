package table

import (
	"context"
	"errors"
	"testing"

	"holdfast"
	"holdfast/catalog"
	"holdfast/shard"
)

// What writes wait for follows from the table's tag, when it is created and whenever that changes; of
// several tables the most counts, and a node that takes the lead knows it.
func TestAcknowledgeFollowsTheTag(t *testing.T) {
	c := newCluster(t, 2)
	c.o.Nodes = 2
	for _, n := range c.nodes {
		n.restart()
	}
	n := c.lead(0)
	d, attributes := users("users")
	others, _ := users("others")
	attributes, d.Indexes, others.Indexes = attributes[:1], nil, nil // which would propose, too
	d.Tags = map[string]string{catalog.AcknowledgeSetting: "sync"}
	n.create(d, attributes)
	n.create(others, attributes)
	ctx := context.Background()
	asked := func(n *testNode, do func(*testNode) error) (got holdfast.Acknowledge) {
		t.Helper()
		got = holdfast.Acknowledge{Mode: holdfast.Async}
		hear := func(proposed func(shard.Proposal)) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.proposed = proposed
		}
		hear(func(p shard.Proposal) { got = got.AtLeast(p.Acknowledge) })
		err := do(n)
		hear(nil)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	i := 0
	put := func(n *testNode) error {
		i++
		_, err := n.Store.Put(ctx, Put{Table: "users", Item: user(i)})
		return err
	}
	both := func(n *testNode) error {
		i++
		_, err := n.TransactWrite(ctx, Transaction{Actions: []Action{
			{Put: &Put{Table: "users", Item: user(i)}}, {Put: &Put{Table: "others", Item: user(i)}}}})
		return err
	}
	want := func(n *testNode, what string, do func(*testNode) error, want holdfast.Acknowledge) {
		t.Helper()
		if got := asked(n, do); got != want {
			t.Errorf("%s: got %v; want %v", what, got, want)
		}
	}
	want(n, "created sync", put, holdfast.Acknowledge{Mode: holdfast.Sync})
	want(n, "a transaction of this and another table", both, holdfast.Acknowledge{Mode: holdfast.Sync})
	if err := n.Tag(ctx, "users", map[string]string{catalog.AcknowledgeSetting: "async"}); err != nil {
		t.Fatal(err)
	}
	want(n, "tagged async", put, holdfast.Acknowledge{Mode: holdfast.Async})
	want(n, "a transaction", both, holdfast.Acknowledge{})
	n = c.lead(1)
	want(n, "another node leads", put, holdfast.Acknowledge{Mode: holdfast.Async})
	if err := n.Untag(ctx, "users", []string{catalog.AcknowledgeSetting}); err != nil {
		t.Fatal(err)
	}
	want(n, "untagged", put, holdfast.Acknowledge{})

	err := n.Tag(ctx, "users", map[string]string{catalog.AcknowledgeSetting: "semisync:2"})
	wantError(t, err, holdfast.Invalid, "One or more parameter values were invalid: tag "+
		"holdfast:acknowledge=semisync:2: the replicas of a table have 1 followers here")
	d.Name = "wrong"
	d.Tags = map[string]string{catalog.ReplicasSetting: "3"}
	_, err = n.Store.Create(ctx, d, attributes)
	wantError(t, err, holdfast.Invalid, "One or more parameter values were invalid: tag holdfast:replicas=3: there "+
		"can't be more than nodes that vote, of which there are 2")
}

// A write that is acknowledged and lost with its leader is named to who asks with its token.
func TestLostWriteIsNamed(t *testing.T) {
	tx := holdfast.TxID{Shard: 12, Term: holdfast.GroupTerm(3, 99), Index: 4711}
	var seen holdfast.Token
	seen.See(tx)
	s := NewSession(seen)
	err := s.checkShard("orders", 12, func(holdfast.TxID) error { return &lostWrite{tx, "orders"} })
	wantError(t, err, holdfast.Lost,
		"write 12/3/4711 of table orders was lost when its leader failed: the table acknowledges async")
	if !errors.Is(err, holdfast.Lost) {
		t.Errorf("got %v; want it lost", err)
	}
}
