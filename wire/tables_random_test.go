package wire

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

const (
	randomOperations      = 500 // of each number of shards
	randomOperationsShort = 60
	randomRestart         = 25 // one of so many operations is a restart
)

// TestRandomTables sends random requests to two tables with indexes and compares each response with
// a plain model. Now and then the server is stopped, or killed while a request is in flight. Then
// the tables, their indexes and their stream must be the model's, and the request must have taken
// effect as a whole or not at all.
func TestRandomTables(t *testing.T) {
	for _, shards := range []int{1, 3, 64} {
		t.Run(fmt.Sprintf("%d shards", shards), func(t *testing.T) {
			seed := uint64(time.Now().UnixNano())
			if text := os.Getenv("HOLDFAST_SEED"); text != "" {
				var err error
				if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
					t.Fatal(err)
				}
			}
			t.Logf("HOLDFAST_SEED=%d", seed)
			operations := randomOperations
			if testing.Short() {
				operations = randomOperationsShort
			}
			r := &randomTables{t: t, Rand: rand.New(rand.NewPCG(seed, uint64(shards))), dir: t.TempDir(),
				address: freeAddress(t), config: filepath.Join(t.TempDir(), "holdfast.yaml"),
				items: plainTables{"many": {}, "few": {}}, done: map[string]int{}}
			if err := os.WriteFile(r.config, fmt.Appendf(nil, "tables: {new_shards: %d}\n", shards), 0o600); err != nil {
				t.Fatal(err)
			}
			r.start()
			r.create()
			for range operations {
				r.step()
				if t.Failed() {
					return
				}
			}
			r.restart()
			t.Log(r.done)
		})
	}
}

// A randomTables is a server, the random requests to it, and the items that it must have.
type randomTables struct {
	*rand.Rand
	t                    *testing.T
	address, dir, config string
	server               *process
	d                    *dynamo
	items                plainTables
	tokens               int
	done                 map[string]int // requests, by kind and outcome
}

func (r *randomTables) start() {
	r.t.Helper()
	r.server = startTablesAt(r.t, r.address, r.dir, "--config", r.config)
	r.d = newDynamo(r.address)
}

func (r *randomTables) create() {
	r.t.Helper()
	const attributes = `"BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"},
		{"AttributeName":"n","AttributeType":"N"},{"AttributeName":"x","AttributeType":"N"},{"AttributeName":"s","AttributeType":"S"}],
		"KeySchema":[{"AttributeName":"id","KeyType":"HASH"},{"AttributeName":"n","KeyType":"RANGE"}],`
	const globals = `"GlobalSecondaryIndexes":[
		{"IndexName":"by-x","Projection":{"ProjectionType":"ALL"},"KeySchema":[{"AttributeName":"x","KeyType":"HASH"}]},
		{"IndexName":"by-s","Projection":{"ProjectionType":"INCLUDE","NonKeyAttributes":["c"]},
			"KeySchema":[{"AttributeName":"s","KeyType":"HASH"},{"AttributeName":"x","KeyType":"RANGE"}]}],`
	r.d.must(r.t, "CreateTable", `{"TableName":"many",`+attributes+globals+`
		"LocalSecondaryIndexes":[{"IndexName":"local","Projection":{"ProjectionType":"KEYS_ONLY"},
			"KeySchema":[{"AttributeName":"id","KeyType":"HASH"},{"AttributeName":"x","KeyType":"RANGE"}]}],
		"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"}}`, nil)
	r.d.must(r.t, "CreateTable", `{"TableName":"few",`+attributes+globals+`
		"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"}}`, nil)
	r.d.active(r.t, "many")
	r.d.active(r.t, "few")
}

func (r *randomTables) step() {
	r.t.Helper()
	switch n := r.IntN(randomRestart); {
	case n == 0 && r.IntN(2) == 0:
		r.restart()
	case n == 0:
		r.killWithin(r.request())
	case n < 6:
		r.read()
	case n < 9:
		r.query()
	default:
		r.expect(r.request())
	}
}

// request is a random write: of one item, a transaction, or a batch.
func (r *randomTables) request() *writes {
	w := &writes{actions: []action{r.action(true)}}
	switch r.IntN(4) {
	case 0, 1:
		return w
	case 2:
		w.batch = true
		w.actions[0] = r.action(false)
	default:
		w.transaction = true
		if r.IntN(2) == 0 {
			r.tokens++
			w.token = fmt.Sprintf("token-%d", r.tokens)
		}
	}
	for range r.IntN(6) {
		if a := r.action(!w.batch); !w.concerns(a) {
			w.actions = append(w.actions, a)
		}
	}
	if w.transaction && r.IntN(3) == 0 {
		if a := r.action(true); !w.concerns(a) {
			a.kind = "ConditionCheck"
			a.condition = conditions[1+r.IntN(len(conditions)-1)]
			w.actions = append(w.actions, a)
		}
	}
	return w
}

// expect sends a write, and fails unless it takes effect if and only if all its conditions hold.
func (r *randomTables) expect(w *writes) {
	r.t.Helper()
	after, holds := w.apply(r.items)
	err := w.send(r.d)
	r.note(w, err)
	if w.refusedBy(err) != !holds {
		r.t.Errorf("%s: got %v; want its conditions to hold: %t", w, err, holds)
	}
	if holds {
		r.items = after
	}
	if !holds || w.token == "" || r.IntN(2) > 0 {
		return
	}
	r.again(w)
}

// again sends a transaction again with its token: if it was applied before, nothing changes.
func (r *randomTables) again(w *writes) {
	r.t.Helper()
	if err := w.send(r.d); err != nil {
		r.t.Errorf("%s, sent again with its token: got %v", w, err)
	}
	r.compare(w)
}

func (r *randomTables) note(w *writes, err error) {
	outcome := " ok"
	if err != nil {
		outcome = " refused"
	}
	r.done[w.operation()+outcome]++
}

// killWithin kills the server while a write is in flight. Afterwards the write is there as a whole
// or not at all, and if it was acknowledged, it is there.
func (r *randomTables) killWithin(w *writes) {
	r.t.Helper()
	after, holds := w.apply(r.items)
	answer := make(chan error, 1)
	go func() { answer <- w.send(r.d) }()
	time.Sleep(time.Duration(r.IntN(1500)) * time.Microsecond) // the moment of the kill is random
	r.server.kill()
	err := <-answer
	r.start()
	var answered *refusal
	switch is := r.taken(w, after, holds); {
	case err == nil && (!holds || !is):
		r.t.Errorf("%s: was acknowledged; its conditions hold: %t; it is there: %t", w, holds, is)
	case errors.As(err, &answered) && (holds || !w.refusedBy(err)):
		r.t.Errorf("%s: got %v; want its conditions to hold: %t", w, err, holds)
	}
	r.done["killed"]++
	if holds && w.token != "" {
		r.items = after // whether it was there before or not
		r.again(w)
	}
	r.check()
}

// taken reads the items of a write whose outcome isn't known, has the model agree, and reports
// whether they are those afterwards.
func (r *randomTables) taken(w *writes, after plainTables, holds bool) bool {
	r.t.Helper()
	now := r.items.clone()
	for _, a := range w.actions {
		now.set(a, r.get(a))
	}
	switch {
	case holds && w.in(now, after):
		r.items = after
		return true
	case w.in(now, r.items):
		return false
	case w.batch && w.eachIn(now, r.items, after):
		r.items = now
		return false
	}
	r.t.Errorf("%s: is there in part, or with another effect: got %s; before %s; after %s",
		w, w.text(now), w.text(r.items), w.text(after))
	return false
}

// get reads the item of an action.
func (r *randomTables) get(a action) object {
	r.t.Helper()
	var answer struct{ Item object }
	r.d.must(r.t, "GetItem", fmt.Sprintf(`{"TableName":%q,"ConsistentRead":true,"Key":%s}`, a.table, a.key.json()), &answer)
	return answer.Item
}

// compare fails unless the items of a write are those of the model.
func (r *randomTables) compare(w *writes) {
	r.t.Helper()
	for _, a := range w.actions {
		if got, want := r.get(a), r.items.get(a); !got.equal(want) {
			r.t.Errorf("%s: got %s; want %s", w, got.text(), want.text())
		}
	}
}

// read reads items, one or several at one moment.
func (r *randomTables) read() {
	r.t.Helper()
	w := &writes{}
	for range 1 + r.IntN(5) {
		if a := r.action(false); !w.concerns(a) {
			w.actions = append(w.actions, a)
		}
	}
	r.done["read"]++
	gets := ""
	for _, a := range w.actions {
		gets += fmt.Sprintf(`,{"Get":{"TableName":%q,"Key":%s}}`, a.table, a.key.json())
	}
	var answer struct{ Responses []struct{ Item object } }
	r.d.must(r.t, "TransactGetItems", `{"TransactItems":[`+gets[1:]+`]}`, &answer)
	for i, a := range w.actions {
		if got, want := answer.Responses[i].Item, r.items.get(a); !got.equal(want) {
			r.t.Errorf("TransactGetItems: got %s; want %s", got.text(), want.text())
		}
	}
	r.compare(&writes{actions: w.actions[:1]})
}

// query queries a global index, which shows at once what was acknowledged before.
func (r *randomTables) query() {
	r.t.Helper()
	r.done["query"]++
	table, x := r.table(), r.x()
	want := map[string]bool{}
	for _, it := range r.items[table] {
		if string(it["x"]) == x {
			want[it.text()] = true
		}
	}
	request := func() map[string]any {
		return map[string]any{"TableName": table, "IndexName": "by-x", "KeyConditionExpression": "x = :x",
			"ExpressionAttributeValues": object{":x": []byte(x)}}
	}
	got := map[string]bool{}
	if !within(func() bool { // on a busy machine the index may be late
		clear(got)
		for _, it := range pages(r.t, r.d, "Query", request()) {
			got[it.text()] = true
		}
		return maps.Equal(got, want)
	}) {
		r.t.Errorf("%s by x = %s: got %v; want %v", table, x, got, want)
	}
}

// restart stops the server, or kills it while nothing is in flight.
func (r *randomTables) restart() {
	r.t.Helper()
	r.done["restart"]++
	if r.IntN(2) == 0 {
		r.server.kill()
	} else {
		r.server.stop()
	}
	r.start()
	r.check()
}

// check compares the tables, their indexes and their streams with the model.
func (r *randomTables) check() {
	r.t.Helper()
	for table, want := range r.items {
		got := map[string]bool{}
		for _, it := range scanAll(r.t, r.d, table, "") {
			got[it.text()] = true
		}
		for _, it := range want {
			if !got[it.text()] {
				r.t.Errorf("%s: no %s", table, it.text())
			}
			delete(got, it.text())
		}
		if len(got) > 0 {
			r.t.Errorf("%s: got %v; want no such items", table, got)
		}
		expectIndexes(r.t, r.d, table)
		expectStream(r.t, r.d, table)
	}
}
