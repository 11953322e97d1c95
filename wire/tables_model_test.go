package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
)

// A plainKey is the key of an item.
type plainKey struct {
	id string
	n  int
}

func (k plainKey) object() object {
	return object{"id": fmt.Appendf(nil, `{"S":%q}`, k.id), "n": fmt.Appendf(nil, `{"N":"%d"}`, k.n)}
}

func (k plainKey) json() string { return fmt.Sprintf(`{"id":{"S":%q},"n":{"N":"%d"}}`, k.id, k.n) }

// A plainTables is the items of tables, by name and key.
type plainTables map[string]map[plainKey]object

func (p plainTables) clone() plainTables {
	q := plainTables{}
	for name, items := range p {
		q[name] = maps.Clone(items)
	}
	return q
}

func (p plainTables) get(a action) object { return p[a.table][a.key] }

// set changes the item of an action; nil removes it.
func (p plainTables) set(a action, it object) {
	if it == nil {
		delete(p[a.table], a.key)
	} else {
		p[a.table][a.key] = it
	}
}

// An action is a change of one item if a condition holds.
type action struct {
	kind      string // Put, Delete, Update or ConditionCheck
	table     string
	key       plainKey
	item      object // of a Put
	change    plainChange
	condition plainCondition
}

type plainCondition struct {
	text  string
	value string // :c
	holds func(object) bool
}

// conditions are those of actions; the first always holds.
var conditions = []plainCondition{
	{"", "", func(object) bool { return true }},
	{"attribute_not_exists(id)", "", func(it object) bool { return it == nil }},
	{"attribute_exists(id)", "", func(it object) bool { return it != nil }},
	{"x >= :c", `{"N":"2"}`, func(it object) bool { return it["x"] != nil && numberOf(it["x"]) >= 2 }},
	{"attribute_not_exists(s)", "", func(it object) bool { return it["s"] == nil }},
}

type plainChange struct {
	text  string
	value string // :v
	apply func(object)
	none  bool // it creates no item
}

func numberOf(value json.RawMessage) int {
	n, _ := strconv.Atoi(scalar(value)) // the model's numbers are integers
	return n
}

func (r *randomTables) table() string { return []string{"many", "many", "few"}[r.IntN(3)] }

func (r *randomTables) x() string { return fmt.Sprintf(`{"N":"%d"}`, r.IntN(5)) }

func (r *randomTables) s() string { return fmt.Sprintf(`{"S":"s%d"}`, r.IntN(3)) }

// action is a random action, without a condition unless conditional.
func (r *randomTables) action(conditional bool) action {
	a := action{kind: []string{"Put", "Put", "Delete", "Update"}[r.IntN(4)], table: r.table(),
		key: plainKey{string(rune('a' + r.IntN(6))), r.IntN(4)}, condition: conditions[0]}
	if a.table == "few" {
		a.key.id = "a" // in one shard
	}
	if !conditional && a.kind == "Update" {
		a.kind = "Put"
	}
	a.item = a.key.object()
	for name, value := range map[string]string{"x": r.x(), "s": r.s(), "c": r.x()} {
		if r.IntN(3) > 0 {
			a.item[name] = []byte(value)
		}
	}
	value := r.x()
	added := func(name string) func(object) {
		return func(it object) {
			it[name] = fmt.Appendf(nil, `{"N":"%d"}`, numberOf(it[name])+numberOf([]byte(value)))
		}
	}
	a.change = []plainChange{
		{"ADD c :v", value, added("c"), false},
		{"ADD x :v", value, added("x"), false},
		{"SET x = :v", value, func(it object) { it["x"] = []byte(value) }, false},
		{"REMOVE s", "", func(it object) { delete(it, "s") }, true},
		{"REMOVE x", "", func(it object) { delete(it, "x") }, true},
	}[r.IntN(5)]
	if conditional && r.IntN(2) == 0 {
		a.condition = conditions[r.IntN(len(conditions))]
	}
	return a
}

// after is the item that the action leaves.
func (a action) after(before object) object {
	switch a.kind {
	case "Put":
		return a.item
	case "Delete":
		return nil
	case "ConditionCheck":
		return before
	}
	if before == nil && a.change.none {
		return nil
	}
	it := a.key.object()
	maps.Copy(it, before)
	a.change.apply(it)
	return it
}

// request is the request of the action alone; in a transaction it is the action's member.
func (a action) request() map[string]any {
	request := map[string]any{"TableName": a.table}
	if a.kind == "Put" {
		request["Item"] = a.item
	} else {
		request["Key"] = a.key.object()
	}
	values := object{}
	if a.kind == "Update" {
		request["UpdateExpression"] = a.change.text
		if a.change.value != "" {
			values[":v"] = []byte(a.change.value)
		}
	}
	if a.condition.text != "" {
		request["ConditionExpression"] = a.condition.text
		if a.condition.value != "" {
			values[":c"] = []byte(a.condition.value)
		}
	}
	if len(values) > 0 {
		request["ExpressionAttributeValues"] = values
	}
	return request
}

// A writes is a request with one action, or a batch, or a transaction.
type writes struct {
	actions            []action
	batch, transaction bool
	token              string
}

func (w *writes) operation() string {
	switch {
	case w.batch:
		return "BatchWriteItem"
	case w.transaction:
		return "TransactWriteItems"
	}
	return w.actions[0].kind + "Item"
}

func (w *writes) String() string { return w.operation() + " " + w.body() }

func (w *writes) concerns(a action) bool {
	for _, b := range w.actions {
		if a.table == b.table && a.key == b.key {
			return true
		}
	}
	return false
}

func (w *writes) body() string {
	var request any
	switch {
	case w.batch:
		byTable := map[string][]any{}
		for _, a := range w.actions {
			one := map[string]any{"PutRequest": map[string]any{"Item": a.item}}
			if a.kind == "Delete" {
				one = map[string]any{"DeleteRequest": map[string]any{"Key": a.key.object()}}
			}
			byTable[a.table] = append(byTable[a.table], one)
		}
		request = map[string]any{"RequestItems": byTable}
	case w.transaction:
		var all []any
		for _, a := range w.actions {
			all = append(all, map[string]any{a.kind: a.request()})
		}
		transaction := map[string]any{"TransactItems": all}
		if w.token != "" {
			transaction["ClientRequestToken"] = w.token
		}
		request = transaction
	default:
		request = w.actions[0].request()
	}
	text, err := json.Marshal(request)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (w *writes) send(d *dynamo) error { return d.ask(w.operation(), w.body(), nil) }

// refusedBy reports whether an error says that a condition doesn't hold.
func (w *writes) refusedBy(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.is(map[bool]string{true: "TransactionCanceledException",
		false: "ConditionalCheckFailedException"}[w.transaction])
}

// apply returns the items afterwards, and whether all conditions hold; if not, nothing changes.
func (w *writes) apply(before plainTables) (after plainTables, holds bool) {
	after = before.clone()
	for _, a := range w.actions {
		if !a.condition.holds(before.get(a)) {
			return before, false
		}
		after.set(a, a.after(before.get(a)))
	}
	return after, true
}

// in reports whether the items that the request concerns are the same in both.
func (w *writes) in(p, q plainTables) bool { return w.eachIn(p, q, q) }

// eachIn reports whether each item that the request concerns is as in q or as in r.
func (w *writes) eachIn(p, q, r plainTables) bool {
	for _, a := range w.actions {
		if it := p.get(a); !it.equal(q.get(a)) && !it.equal(r.get(a)) {
			return false
		}
	}
	return true
}

// text is the items that the request concerns.
func (w *writes) text(p plainTables) (all string) {
	for _, a := range w.actions {
		all += a.table + p.get(a).text()
	}
	return all
}
