package table

import (
	"context"
	"errors"
	"testing"

	"holdfast"
	"holdfast/item"
)

// A session of which it isn't known what it has seen of a shard reads that consistently, once; a
// replica that can't in time, or lags, leaves it to the one that leads.
func TestResumedSessions(t *testing.T) {
	c := newCluster(t, 2)
	active, late := c.lead(0), c.nodes[1]
	active.createAt(users("users"))
	active.putUsers(0, 10)
	c.follow()
	one := user(1).Only("id")
	sh := active.shardOf("users", user(1))
	get := func(n *testNode, s *Session) error {
		_, err := n.Get(WithSession(bg, s), Get{Table: "users", Key: one})
		return err
	}

	s := ResumeSession(holdfast.Token{}, holdfast.Token{})
	for i, want := range []int{1, 0} {
		asked := c.asked(active.tables.table("users").shards, func() {
			if err := get(late, s); err != nil {
				t.Fatal(err)
			}
		})
		if got := asked[0] + asked[1]; got != want {
			t.Errorf("read %d: got %d consistent reads; want %d", i, got, want)
		}
	}
	kept := s.Token()
	if _, ok := kept.Of(sh.ID()); !ok || kept.Len() != 1 {
		t.Fatalf("got the token %v; want the shard in it", kept)
	}

	late.leave()
	if err := get(late, ResumeSession(holdfast.Token{}, kept)); err != nil {
		t.Errorf("what is kept, on a replica that lags: got %v; want it read", err)
	}
	wrote, newer := ResumeSession(holdfast.Token{}, kept), user(1, item.Attr{Name: "v", Value: item.Text("2")})
	if _, err := active.Put(WithSession(bg, wrote), Put{Table: "users", Item: newer}); err != nil {
		t.Fatal(err)
	}
	wantKind(t, "what was written", get(late, ResumeSession(holdfast.Token{}, wrote.Token())), holdfast.Behind)
	wantKind(t, "what may have been seen", get(late, ResumeSession(kept, holdfast.Token{})), holdfast.Overloaded)
	if err := get(late, NewSession(kept)); err != nil {
		t.Errorf("a client's own token: got %v; want it read", err)
	}
}

// All kinds of reads of a resumed session confirm each shard that they show, and none twice; the
// session is sure of it afterwards, also if what it has shown was old.
func TestResumedSessionsOfEachKind(t *testing.T) {
	r := newTokenRig(t)
	for n := range 20 {
		r.put(tokenTable, order(n, n))
	}
	for name, do := range r.requests(1) {
		s := ResumeSession(holdfast.Token{}, holdfast.Token{})
		if err := do(WithSession(context.Background(), s)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		tok := s.Token()
		if tok.Len() == 0 {
			t.Errorf("%s: got an empty token; want what it has shown", name)
		}
		for _, sh := range r.tables.table(tokenTable).shards {
			tx, ok := tok.Of(sh.ID())
			if ok && tx != sh.At(sh.End().Index-1) || ok == s.unsure(sh.ID()) {
				t.Errorf("%s: got %v of shard %d, and unsure: %v; want the newest, %v", name, tx, sh.ID(),
					s.unsure(sh.ID()), sh.At(sh.End().Index-1))
			}
		}
	}
}

// An index that lags isn't shown to a session that may have seen more of the table.
func TestResumedSessionAheadOfAnIndex(t *testing.T) {
	r := newTokenRig(t)
	r.put(tokenTable, order(1, 1))
	query := r.requests(1)["query of a global index"]
	resume := func() context.Context {
		return WithSession(context.Background(), ResumeSession(holdfast.Token{}, holdfast.Token{}))
	}
	if err := query(resume()); err != nil {
		t.Fatal(err)
	}
	r.tables.table(tokenTable).followers.Stop()
	if err := query(resume()); err != nil {
		t.Errorf("an index that has all: %v", err)
	}
	r.put(tokenTable, order(1, 2))
	wantKind(t, "an index that lags", query(resume()), holdfast.Behind)
}

// What is lost is answered once: afterwards the session doesn't know the shard.
func TestResumedSessionLoses(t *testing.T) {
	r := newTokenRig(t)
	r.put(tokenTable, order(1, 1))
	s := NewSession(holdfast.Token{})
	get := r.requests(1)["get"]
	if err := get(WithSession(context.Background(), s)); err != nil {
		t.Fatal(err)
	}
	lost := holdfast.Token{}
	for tx := range s.seen.All() {
		tx.Index += 10
		lost.See(tx)
	}
	s = ResumeSession(holdfast.Token{}, lost)
	ctx := WithSession(context.Background(), s)
	if err := get(ctx); !errors.Is(err, holdfast.Lost) {
		t.Errorf("got %v; want that it is lost", err)
	}
	if got := s.Token(); got.Len() != 0 {
		t.Errorf("got %v; want that the session doesn't know the shard", got)
	}
	if err := get(ctx); err != nil {
		t.Errorf("got %v afterwards; want the item", err)
	}
}
