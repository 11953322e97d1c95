package table

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
	"holdfast/shard"
)

// tokenTable is the table of the tests of sessions: see indexed.
const tokenTable = "orders"

func order(n int, h int) item.Item {
	return attrs("id", fmt.Sprint("id", n), "seq", 1, "l", "l", "g", fmt.Sprint("g", n%3), "h", h)
}

// requests are one of each kind, of the item n; those that write say so.
func (r *rig) requests(n int) map[string]func(context.Context) error {
	key := order(n, 0).Only("id", "seq")
	query := func(index, condition string, values ...any) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := r.Query(ctx, Query{Table: tokenTable, Index: index, Key: keyCondition(r.t, condition, values...)})
			return err
		}
	}
	put := Put{Table: tokenTable, Item: order(n, rand.IntN(100))}
	return map[string]func(context.Context) error{
		"get": func(ctx context.Context) error {
			_, err := r.Get(ctx, Get{Table: tokenTable, Key: key})
			return err
		},
		"write: put": func(ctx context.Context) error {
			_, err := r.Put(ctx, put)
			return err
		},
		"write: delete": func(ctx context.Context) error {
			_, err := r.Delete(ctx, Delete{Table: tokenTable, Key: key})
			return err
		},
		"write: update": func(ctx context.Context) error {
			_, err := r.Update(ctx, Update{Table: tokenTable, Key: key, Change: update(r.t, "SET h = :h", ":h", 5)})
			return err
		},
		"query":                   query("", "id = :id", ":id", fmt.Sprint("id", n)),
		"query of a local index":  query("local", "id = :id", ":id", fmt.Sprint("id", n)),
		"query of a global index": query("global", "g = :g", ":g", fmt.Sprint("g", n%3)),
		"scan": func(ctx context.Context) error {
			_, err := r.Scan(ctx, Scan{Table: tokenTable})
			return err
		},
		"scan of a global index": func(ctx context.Context) error {
			_, err := r.Scan(ctx, Scan{Table: tokenTable, Index: "keys"})
			return err
		},
		"batch get": func(ctx context.Context) error {
			_, _, _, err := r.BatchGet(ctx, []Get{{Table: tokenTable, Key: key}})
			return err
		},
		"write: batch": func(ctx context.Context) error {
			_, _, _, err := r.BatchWrite(ctx, []BatchWrite{{Put: &put}})
			return err
		},
		"transaction of gets": func(ctx context.Context) error {
			_, err := r.TransactGet(ctx, []Get{{Table: tokenTable, Key: key}})
			return err
		},
		"stream": func(ctx context.Context) error {
			t := r.tables.table(tokenTable)
			of, err := t.schema.Key.Key(order(n, 0))
			if err != nil {
				return err
			}
			_, _, _, err = r.StreamRecords(ctx, tokenTable, r.Streams(tokenTable)[0].Label, t.shard(of).ID(),
				holdfast.Position{}, shard.Limit{Changes: 1000})
			return err
		},
		"write: transaction": func(ctx context.Context) error {
			_, err := r.TransactWrite(ctx, Transaction{Actions: []Action{{Put: &put}}})
			return err
		},
	}
}

func newTokenRig(t *testing.T) *rig {
	r := newRig(t, Options{ShardsPerTable: 3})
	d, attributes := indexed(tokenTable)
	d.Stream = catalog.NewAndOldImages
	r.create(d, attributes)
	return r
}

// Whatever kind of request shows or writes something: its token is refused, by all kinds, in a
// directory that was put back from a copy of before, and nothing is changed; also when that has as
// many transactions again, and after starts. Where nothing was put back, it is accepted.
func TestTokensOfADirectoryThatWasPutBack(t *testing.T) {
	names := newTokenRig(t).requests(1)
	for name := range names {
		r := newTokenRig(t)
		r.put(tokenTable, order(1, 1))
		before := r.fs.CrashClone(vfs.CrashCloneCfg{})

		for n := range 10 { // the copy doesn't have these
			r.put(tokenTable, order(1, 10+n))
		}
		s := NewSession(holdfast.Token{})
		ctx := WithSession(context.Background(), s)
		if err := r.requests(1)[name](ctx); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for range 2 {
			for other, do := range r.requests(1) {
				if err := do(WithSession(context.Background(), NewSession(s.Token()))); err != nil {
					t.Errorf("%s, then %s: %v", name, other, err)
				}
			}
			r.crash()
		}

		lost := r.fs
		r.close()
		r.fs = before
		r.open()
		if lost == before {
			t.Fatal("the directory is the same")
		}
		for _, more := range []int{0, 100} {
			for n := range more {
				r.put(tokenTable, order(1, n))
			}
			want := r.items(tokenTable, "")
			for other, do := range r.requests(1) {
				err := do(WithSession(context.Background(), NewSession(s.Token())))
				if !errors.Is(err, holdfast.Lost) {
					t.Errorf("%s, put back, then %s after %d puts: got %v; want that it is lost",
						name, other, more, err)
				}
			}
			if got := r.items(tokenTable, ""); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: got %v after requests that were refused; want %v", name, got, want)
			}
			r.crash()
		}
		if t.Failed() {
			return
		}
	}
}

// A token has seen what its requests have shown: with it, another node that had been a copy of this
// one would answer no older value. The model is the value that each item had at each transaction.
func TestTokensHaveSeenTheirAnswers(t *testing.T) {
	r := newTokenRig(t)
	rng := rand.New(rand.NewPCG(1, 2))
	made := map[int]holdfast.TxID{} // by item: the transaction that made it what it is
	s := NewSession(holdfast.Token{})
	ctx := WithSession(context.Background(), s)
	kinds := []string{"get", "query", "query of a local index", "batch get", "transaction of gets", "scan",
		"query of a global index", "scan of a global index", "stream"}
	for step := range 300 {
		n := rng.IntN(20)
		if rng.IntN(2) == 0 {
			r.put(tokenTable, order(n, step)) // by another client
			key, err := r.describe(tokenTable).Key.Key(order(n, step))
			if err != nil {
				t.Fatal(err)
			}
			sh := r.tables.table(tokenTable).shard(key)
			made[n] = sh.At(sh.End().Index - 1)
			continue
		}
		kind := kinds[rng.IntN(len(kinds))]
		if rng.IntN(5) == 0 {
			tok, err := holdfast.ParseToken(s.Token().String())
			if err != nil {
				t.Fatal(err)
			}
			s = NewSession(tok)
			ctx = WithSession(context.Background(), s)
		}
		if err := r.requests(n)[kind](ctx); err != nil {
			t.Fatalf("step %d, %s: %v", step, kind, err)
		}
		tok := s.Token()
		if want := made[n]; want.Index > 0 {
			if got, ok := tok.Of(want.Shard); !ok || got.Compare(want) < 0 {
				t.Fatalf("step %d, %s: got %v, %t; want at least %v, which it has shown", step, kind, got, ok, want)
			}
		}
	}
}

// An index that doesn't catch up in time refuses a client that has seen more than it has applied,
// and shows others what it has.
func TestTokenAheadOfAnIndex(t *testing.T) {
	r := newTokenRig(t)
	r.put(tokenTable, order(1, 1))
	s := NewSession(holdfast.Token{})
	query := r.requests(1)["query of a global index"]
	if err := query(WithSession(context.Background(), s)); err != nil {
		t.Fatal(err)
	}
	f := r.tables.table(tokenTable).followers
	f.Stop()
	if err := query(WithSession(context.Background(), s)); err != nil {
		t.Errorf("an index that has all: %v", err)
	}
	if _, err := r.Put(WithSession(context.Background(), s), Put{Table: tokenTable, Item: order(1, 2)}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"query of a global index", "scan of a global index"} {
		do := r.requests(1)[name]
		if err := do(WithSession(context.Background(), s)); !errors.Is(err, holdfast.Behind) {
			t.Errorf("%s: got %v; want that it is behind", name, err)
		}
		if err := do(WithSession(context.Background(), NewSession(holdfast.Token{}))); err != nil {
			t.Errorf("%s: got %v for a token that has seen nothing; want an answer", name, err)
		}
	}
}

// A token says nothing of tables that a request doesn't touch, and a failed condition is an answer,
// too.
func TestTokensOfOtherTables(t *testing.T) {
	r := newTokenRig(t)
	d, attributes := users("users")
	r.create(d, attributes)
	r.put("users", user(1))
	s := NewSession(holdfast.Token{})
	ctx := WithSession(context.Background(), s)
	_, err := r.Put(ctx, Put{Table: "users", Item: user(1), If: condition(t, "attribute_not_exists(id)")})
	if !errors.Is(err, holdfast.Failed) {
		t.Fatalf("got %v; want that the condition fails", err)
	}
	sh := r.tables.table("users").shards
	seen := 0
	tok := s.Token()
	for _, sh := range sh {
		if _, ok := tok.Of(sh.ID()); ok {
			seen++
		}
	}
	if seen != 1 {
		t.Errorf("got %d shards in the token; want that of the item", seen)
	}
	future := s.Token()
	for _, sh := range sh {
		tx := sh.At(sh.End().Index - 1)
		tx.Index += 1000
		future.See(tx)
	}
	for name, do := range r.requests(1) {
		if err := do(WithSession(context.Background(), NewSession(future))); err != nil {
			t.Errorf("%s of another table: %v", name, err)
		}
	}
	_, err = r.Get(WithSession(context.Background(), NewSession(future)), Get{Table: "users", Key: user(1).Only("id")})
	if !errors.Is(err, holdfast.Lost) {
		t.Errorf("got %v; want that it is lost", err)
	}
}
