package table

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"

	"holdfast/item"
)

// Transfers between accounts in two tables, by several at a time: no transaction that reads all
// accounts sees another sum.
func TestTransactionsKeepSum(t *testing.T) {
	s, _ := openMemory(t, Options{ShardsPerTable: 2})
	const accounts, each, workers, transfers = 8, 100, 4, 60
	key := func(i int) (string, item.Item) {
		return fmt.Sprintf("accounts%d", i%2), attrs("id", fmt.Sprint("account", i))
	}
	var all []Get
	for i := range accounts {
		name, id := key(i)
		if i < 2 {
			d, attributes := plain(name)
			create(t, s, d, attributes)
		}
		put(t, s, name, id.With("balance", number(strconv.Itoa(each))))
		all = append(all, Get{Table: name, Key: id})
	}
	var done sync.WaitGroup
	for w := range workers {
		done.Add(1)
		go func() {
			defer done.Done()
			rnd := rand.New(rand.NewPCG(7, uint64(w)))
			for range transfers {
				from, to, sum := rnd.IntN(accounts), rnd.IntN(accounts), rnd.IntN(60)
				if from == to {
					continue
				}
				err := transfer(t, s, key, from, to, sum)
				if canceled := (*CanceledError)(nil); err != nil && !errors.As(err, &canceled) {
					t.Errorf("transfer: got %v", err)
				}
				got, err := s.TransactGet(context.Background(), all)
				if err != nil || total(got) != accounts*each {
					t.Errorf("got a sum of %d, %v; want %d", total(got), err, accounts*each)
					return
				}
			}
		}()
	}
	done.Wait()
}

func transfer(t *testing.T, s *Store, key func(int) (string, item.Item), from, to, sum int) error {
	fromTable, fromKey := key(from)
	toTable, toKey := key(to)
	_, err := s.TransactWrite(context.Background(), Transaction{Actions: []Action{
		{Update: &Update{Table: fromTable, Key: fromKey, Change: update(t, "ADD balance :n", ":n", -sum),
			If: condition(t, "balance >= :n", ":n", sum)}},
		{Update: &Update{Table: toTable, Key: toKey, Change: update(t, "ADD balance :n", ":n", sum)}},
	}})
	return err
}

func total(got []Got) (sum int) {
	for _, g := range got {
		v, _ := g.Item.Get("balance")
		n, _ := strconv.Atoi(v.Text)
		sum += n
	}
	return sum
}

// The reasons of a canceled transaction are in order, those of actions that are wrong by themselves
// before any is tried.
func TestReasons(t *testing.T) {
	s, _ := openMemory(t, Options{})
	d, attributes := plain("t")
	create(t, s, d, attributes)
	it := attrs("id", "a", "n", "text")
	put(t, s, "t", it)
	absent := condition(t, "attribute_not_exists(id)")
	for _, c := range []struct {
		name    string
		actions []Action
		want    string
	}{
		{"failed conditions", []Action{
			{Put: &Put{Table: "t", Item: attrs("id", "b"), If: absent}},
			{Check: &Check{Table: "t", Key: attrs("id", "a"), If: absent}},
			{Update: &Update{Table: "t", Key: attrs("id", "c"), Change: update(t, "SET n = id")}},
			{Delete: &Delete{Table: "t", Key: attrs("id", "d"), If: condition(t, "attribute_exists(id)")}},
		}, "None, ConditionalCheckFailed, None, ConditionalCheckFailed"},
		{"an update that the item can't take", []Action{
			{Update: &Update{Table: "t", Key: attrs("id", "a"), Change: update(t, "SET n = n + :n", ":n", 1)}},
			{Put: &Put{Table: "t", Item: attrs("id", "b"), If: absent}},
		}, "ValidationError, None"},
		{"a key of another schema", []Action{
			{Put: &Put{Table: "t", Item: attrs("id", "b"), If: absent}},
			{Delete: &Delete{Table: "t", Key: attrs("id", 1)}},
		}, "None, ValidationError"},
		{"the first that is wrong by itself is the last that is looked at", []Action{
			{Put: &Put{Table: "t", Item: attrs("id", "b"), If: condition(t, "attribute_exists(id)")}},
			{Put: &Put{Table: "t", Item: attrs("id", 1)}},
			{Update: &Update{Table: "t", Key: attrs("id", 2)}},
			{Delete: &Delete{Table: "t", Key: attrs("other", "d")}},
		}, "None, ValidationError, None, None"},
	} {
		_, err := s.TransactWrite(context.Background(), Transaction{Actions: c.actions})
		want := "Transaction cancelled, please refer cancellation reasons for specific reasons [" + c.want + "]"
		var canceled *CanceledError
		if !errors.As(err, &canceled) || err.Error() != want {
			t.Errorf("%s: got %v; want %s", c.name, err, want)
			continue
		}
		for i, r := range canceled.Reasons {
			if failed := c.actions[i].Check != nil; failed && !r.Item.Equal(it) {
				t.Errorf("%s: got reason %+v; want the item", c.name, r)
			}
		}
	}
	for _, id := range []string{"b", "c"} {
		if got, err := s.Get(context.Background(), Get{Table: "t", Key: attrs("id", id)}); err != nil || got.Item != nil {
			t.Errorf("after canceled transactions: got %v, %v; want nothing", got.Item, err)
		}
	}
}

func TestTransactionLimits(t *testing.T) {
	s, _ := openMemory(t, Options{})
	d, attributes := plain("t")
	create(t, s, d, attributes)
	ctx := context.Background()
	puts := func(n int) (all []Action) {
		for i := range n {
			all = append(all, Action{Put: &Put{Table: "t", Item: attrs("id", fmt.Sprint(i), "b", strings.Repeat("b", 350_000))}})
		}
		return all
	}
	if _, err := s.TransactWrite(ctx, Transaction{Actions: puts(10)}); err != nil {
		t.Errorf("3.5 MB: got %v", err)
	}
	_, err := s.TransactWrite(ctx, Transaction{Actions: puts(12)})
	wantSaid(t, "4.2 MB", err, largePayload)
	_, err = s.TransactWrite(ctx, Transaction{Actions: append(puts(1),
		Action{Delete: &Delete{Table: "t", Key: attrs("id", "0")}})})
	wantSaid(t, "twice", err, repeated)
	_, err = s.TransactWrite(ctx, Transaction{Actions: append(puts(1),
		Action{Delete: &Delete{Table: "other", Key: attrs("id", "0")}})})
	wantSaid(t, "no table", err, "Requested resource not found")
	_, err = s.TransactGet(ctx, []Get{{Table: "t", Key: attrs("id", "0")}, {Table: "t", Key: attrs("id", "0")}})
	wantSaid(t, "got twice", err, repeated)
	_, err = s.TransactGet(ctx, []Get{{Table: "t", Key: attrs("id", "0")}, {Table: "t", Key: item.Item{}},
		{Table: "t", Key: item.Item{}}})
	if canceled := (*CanceledError)(nil); !errors.As(err, &canceled) || canceled.Reasons[1].Code != "ValidationError" ||
		canceled.Reasons[2].Code != "None" {
		t.Errorf("got without key: got %v; want [None, ValidationError, None]", err)
	}
}

// What a transaction may have is counted by its request: items, keys, names and values, not what
// the table has.
func TestTransactionPayload(t *testing.T) {
	s, _ := openMemory(t, Options{})
	d, attributes := plain("t")
	create(t, s, d, attributes)
	ctx := context.Background()
	large := strings.Repeat("b", 100_000)
	id := func(i int) item.Item { return attrs("id", fmt.Sprint(i)) }
	const items = 50
	for i := range items {
		put(t, s, "t", attrs("id", fmt.Sprint(i), "b", large))
	}
	all := func(action func(i int) Action) error {
		actions := make([]Action, items)
		for i := range actions {
			actions[i] = action(i)
		}
		_, err := s.TransactWrite(ctx, Transaction{Actions: actions})
		return err
	}
	wantSaid(t, "5 MB of values to set", all(func(i int) Action {
		return Action{Update: &Update{Table: "t", Key: id(i), Change: update(t, "SET c = :c", ":c", large)}}
	}), largePayload)
	wantSaid(t, "5 MB of values to compare with", all(func(i int) Action {
		return Action{Check: &Check{Table: "t", Key: id(i), If: condition(t, "b = :b", ":b", large)}}
	}), largePayload)
	wantSaid(t, "5 MB of deletes' conditions", all(func(i int) Action {
		return Action{Delete: &Delete{Table: "t", Key: id(i), If: condition(t, "b = :b", ":b", large)}}
	}), largePayload)
	for name, action := range map[string]func(i int) Action{
		"updates": func(i int) Action {
			return Action{Update: &Update{Table: "t", Key: id(i), Change: update(t, "SET n = :n", ":n", 1)}}
		},
		"checks": func(i int) Action {
			return Action{Check: &Check{Table: "t", Key: id(i), If: condition(t, "attribute_exists(b)")}}
		},
	} {
		if err := all(action); err != nil {
			t.Errorf("%s of 5 MB of items: got %v; want none", name, err)
		}
	}
	if err := all(func(i int) Action { return Action{Delete: &Delete{Table: "t", Key: id(i)}} }); err != nil {
		t.Errorf("deletes of 5 MB of items: got %v; want none", err)
	}
	if page, err := s.Scan(ctx, Scan{Table: "t"}); err != nil || page.Count != 0 {
		t.Errorf("after the deletes: got %d items, %v; want none", page.Count, err)
	}
}
