package dynamodb

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"testing"
)

// fields are a JSON object. Items of the model are objects of their attributes in the wire's form.
type fields = map[string]any

// A modelKey is a key of the model's table, which has texts as partitions and integers as sort
// keys.
type modelKey struct {
	id string
	n  int
}

func (k modelKey) fields() fields {
	return fields{"id": fields{"S": k.id}, "n": fields{"N": strconv.Itoa(k.n)}}
}

func compareKeys(a, b modelKey) int { return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.n, b.n)) }

// A model is a table as a map, and the source of the requests for it. Items have a number x, a text
// s and a set of texts t, each of which may be missing.
type model struct {
	*rand.Rand
	items map[modelKey]fields
}

func textOf(it fields, name, kind string) (value string, ok bool) {
	attr, _ := it[name].(fields)
	value, ok = attr[kind].(string)
	return value, ok
}

func xOf(it fields) (x int, ok bool) {
	text, ok := textOf(it, "x", "N")
	x, _ = strconv.Atoi(text)
	return x, ok
}

func tagsIn(it fields) (tags []string) {
	attr, _ := it["t"].(fields)
	for _, tag := range asList(attr["SS"]) {
		tags = append(tags, tag.(string))
	}
	return tags
}

func asList(v any) []any { l, _ := v.([]any); return l }

// textSet returns a set of texts as an attribute's value; false if it is empty.
func textSet(tags []string) (v fields, ok bool) {
	slices.Sort(tags)
	var all []any
	for _, tag := range slices.Compact(tags) {
		all = append(all, tag)
	}
	return fields{"SS": all}, len(all) > 0
}

func (m *model) key() modelKey { return modelKey{string(rune('a' + m.IntN(3))), m.IntN(6)} }

// keys returns one to most different keys.
func (m *model) keys(most int) (keys []modelKey) {
	for range 1 + m.IntN(most) {
		if k := m.key(); !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

func (m *model) tags() []string {
	tags := []string{"red", "green", "blue", "é"}
	m.Shuffle(len(tags), func(i, j int) { tags[i], tags[j] = tags[j], tags[i] })
	return tags[:1+m.IntN(3)]
}

func (m *model) number() fields { return fields{"N": strconv.Itoa(m.IntN(20) - 5)} }

// item returns a random item with a key.
func (m *model) item(k modelKey) fields {
	it := k.fields()
	if m.IntN(2) == 0 {
		it["x"] = m.number()
	}
	if m.IntN(2) == 0 {
		it["s"] = fields{"S": m.tags()[0]}
	}
	if m.IntN(3) == 0 {
		it["t"], _ = textSet(m.tags())
	}
	return it
}

// A condition is an expression and what it means; the zero condition always holds.
type condition struct {
	text  string
	value any // :c
	holds func(fields) bool
}

func (m *model) condition() condition {
	c := m.number()
	limit, _ := strconv.Atoi(c["N"].(string))
	tag := m.tags()[0]
	all := []condition{
		{}, {},
		{"attribute_exists(id)", nil, func(it fields) bool { return it != nil }},
		{"attribute_not_exists(s)", nil, func(it fields) bool { return it["s"] == nil }},
		{"x > :c", c, func(it fields) bool { x, ok := xOf(it); return ok && x > limit }},
		{"NOT x > :c", c, func(it fields) bool { x, ok := xOf(it); return !ok || x <= limit }},
		{"s = :c", fields{"S": tag}, func(it fields) bool { s, ok := textOf(it, "s", "S"); return ok && s == tag }},
		{"contains(t, :c)", fields{"S": tag}, func(it fields) bool { return slices.Contains(tagsIn(it), tag) }},
	}
	return all[m.IntN(len(all))]
}

// add adds the condition to a request as that parameter, and reports whether it holds for an item.
func (c condition) add(request fields, parameter string, it fields) bool {
	if c.text == "" {
		return true
	}
	request[parameter] = c.text
	if c.value != nil {
		values, _ := request["ExpressionAttributeValues"].(fields)
		if values == nil {
			values = fields{}
		}
		values[":c"] = c.value
		request["ExpressionAttributeValues"] = values
	}
	return c.holds(it)
}

// A modelChange is an update expression and what it makes of an item, which it may change.
type modelChange struct {
	text       string
	value      any // :v; nil if it has none
	apply      func(fields)
	onlyRemove bool // it creates no item
}

func (m *model) change() modelChange {
	v, tag := m.number(), m.tags()[0]
	delta, _ := strconv.Atoi(v["N"].(string))
	tags := m.tags()
	some, _ := textSet(slices.Clone(tags))
	add := func(it fields) {
		x, _ := xOf(it)
		it["x"] = fields{"N": strconv.Itoa(x + delta)}
	}
	all := []modelChange{
		{"SET x = :v", v, func(it fields) { it["x"] = v }, false},
		{"SET x = if_not_exists(x, :v)", v, func(it fields) {
			if it["x"] == nil {
				it["x"] = v
			}
		}, false},
		{"ADD x :v", v, add, false},
		{"SET s = :v REMOVE x", fields{"S": tag}, func(it fields) { it["s"] = fields{"S": tag}; delete(it, "x") }, false},
		{"REMOVE x, s", nil, func(it fields) { delete(it, "x"); delete(it, "s") }, true},
		{"ADD t :v", some, func(it fields) { it["t"], _ = textSet(append(tagsIn(it), tags...)) }, false},
		{"DELETE t :v", some, func(it fields) {
			left := slices.DeleteFunc(tagsIn(it), func(tag string) bool { return slices.Contains(tags, tag) })
			if v, ok := textSet(left); ok {
				it["t"] = v
			} else {
				delete(it, "t")
			}
		}, true},
	}
	return all[m.IntN(len(all))]
}

// write returns a write of a key without its condition, and the item that it leaves; nil for none.
func (m *model) write(k modelKey) (op string, request, after fields) {
	before := m.items[k]
	request = fields{"TableName": "model"}
	switch m.IntN(5) {
	case 0, 1:
		it := m.item(k)
		request["Item"] = it
		return "Put", request, it
	case 2:
		request["Key"] = k.fields()
		return "Delete", request, nil
	}
	c := m.change()
	request["Key"], request["UpdateExpression"] = k.fields(), c.text
	if c.value != nil {
		request["ExpressionAttributeValues"] = fields{":v": c.value}
	}
	if before == nil && c.onlyRemove {
		return "Update", request, nil
	}
	after = k.fields()
	for name, v := range before {
		after[name] = v
	}
	c.apply(after)
	return "Update", request, after
}

// put makes an item, or none, the one of its key.
func (m *model) put(k modelKey, it fields) {
	if it == nil {
		delete(m.items, k)
	} else {
		m.items[k] = it
	}
}

// An expectation is a request and the response that it must have.
type expectation struct {
	op            string
	request, want fields
	failed        string // the error's type; "" if it succeeds
}

func failure(typ, name, text string) (fields, string) {
	return fields{"__type": dynamodbTypes + typ, name: text}, typ
}

func (m *model) single() expectation {
	k := m.key()
	op, request, after := m.write(k)
	e := expectation{op: op + "Item", request: request, want: fields{}}
	before := m.items[k]
	if !m.condition().add(request, "ConditionExpression", before) {
		e.want, e.failed = failure("ConditionalCheckFailedException", "message", "The conditional request failed")
		if m.IntN(2) == 0 {
			request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
			if before != nil {
				e.want["Item"] = before
			}
		}
		return e
	}
	shown := fields(nil)
	switch returned := m.IntN(3); {
	case returned == 0:
		request["ReturnValues"] = "ALL_OLD"
		shown = before
	case returned == 1 && op == "Update":
		request["ReturnValues"] = "ALL_NEW"
		shown = after
	}
	if shown != nil {
		e.want["Attributes"] = shown
	}
	m.put(k, after)
	return e
}

func (m *model) read() expectation {
	k := m.key()
	e := expectation{"GetItem", fields{"TableName": "model", "Key": k.fields()}, fields{}, ""}
	if it := m.items[k]; it != nil {
		e.want["Item"] = it
	}
	return e
}

func (m *model) batch() expectation {
	keys := m.keys(8)
	if m.IntN(2) == 0 {
		found, keyObjects := []any{}, []any{}
		for _, k := range keys {
			keyObjects = append(keyObjects, k.fields())
			if it := m.items[k]; it != nil {
				found = append(found, it)
			}
		}
		return expectation{"BatchGetItem", fields{"RequestItems": fields{"model": fields{"Keys": keyObjects}}},
			fields{"Responses": fields{"model": found}, "UnprocessedKeys": fields{}}, ""}
	}
	var writes []any
	for _, k := range keys {
		if it := m.item(k); m.IntN(3) > 0 {
			writes = append(writes, fields{"PutRequest": fields{"Item": it}})
			m.put(k, it)
		} else {
			writes = append(writes, fields{"DeleteRequest": fields{"Key": k.fields()}})
			m.put(k, nil)
		}
	}
	return expectation{"BatchWriteItem", fields{"RequestItems": fields{"model": writes}},
		fields{"UnprocessedItems": fields{}}, ""}
}

// transaction returns a transaction of writes, of which all are done, or none, with the reason of
// each action in the order of the actions.
func (m *model) transaction() expectation {
	keys := m.keys(5)
	var actions, reasons []any
	after, names, failed := make([]fields, len(keys)), "", false
	for i, k := range keys {
		op, request, it := m.write(k)
		if m.IntN(6) == 0 {
			op, request, it = "ConditionCheck", fields{"TableName": "model", "Key": k.fields()}, m.items[k]
		}
		c := m.condition()
		if op == "ConditionCheck" && c.text == "" {
			c = condition{"attribute_not_exists(z)", nil, func(fields) bool { return true }}
		}
		reason := fields{"Code": "None"}
		if !c.add(request, "ConditionExpression", m.items[k]) {
			failed = true
			reason = fields{"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
			if m.IntN(2) == 0 {
				request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
				if before := m.items[k]; before != nil {
					reason["Item"] = before
				}
			}
		}
		names += ", " + reason["Code"].(string)
		after[i], actions, reasons = it, append(actions, fields{op: request}), append(reasons, reason)
	}
	e := expectation{"TransactWriteItems", fields{"TransactItems": actions}, fields{}, ""}
	if failed {
		e.want, e.failed = failure("TransactionCanceledException", "Message",
			"Transaction cancelled, please refer cancellation reasons for specific reasons ["+names[2:]+"]")
		e.want["CancellationReasons"] = reasons
		return e
	}
	for i, k := range keys {
		m.put(k, after[i])
	}
	return e
}

func (m *model) transactGet() expectation {
	var gets, responses []any
	for _, k := range m.keys(6) {
		gets = append(gets, fields{"Get": fields{"TableName": "model", "Key": k.fields()}})
		response := fields{}
		if it := m.items[k]; it != nil {
			response["Item"] = it
		}
		responses = append(responses, response)
	}
	return expectation{"TransactGetItems", fields{"TransactItems": gets}, fields{"Responses": responses}, ""}
}

// query returns one page of a query, which begins anywhere.
func (m *model) query() expectation {
	id, low := m.key().id, m.IntN(6)
	within, values := func(int) bool { return true }, fields{":i": fields{"S": id}}
	text := "id = :i"
	switch m.IntN(3) {
	case 0:
		text += " AND n >= :l"
		within = func(n int) bool { return n >= low }
	case 1:
		text += " AND n BETWEEN :l AND :h"
		values[":h"] = fields{"N": strconv.Itoa(low + 2)}
		within = func(n int) bool { return low <= n && n <= low+2 }
	}
	if text != "id = :i" {
		values[":l"] = fields{"N": strconv.Itoa(low)}
	}
	request := fields{"TableName": "model", "KeyConditionExpression": text, "ExpressionAttributeValues": values,
		"ConsistentRead": true}
	keys := slices.SortedFunc(keysOf(m.items), compareKeys)
	keys = slices.DeleteFunc(keys, func(k modelKey) bool { return k.id != id || !within(k.n) })
	if m.IntN(2) == 0 {
		request["ScanIndexForward"] = false
		slices.Reverse(keys)
	}
	if len(keys) > 0 && m.IntN(3) == 0 {
		at := m.IntN(len(keys))
		request["ExclusiveStartKey"] = keys[at].fields()
		keys = keys[at+1:]
	}
	want := fields{}
	if limit := 1 + m.IntN(6); m.IntN(2) == 0 {
		request["Limit"] = limit
		if len(keys) >= limit {
			keys = keys[:limit]
			want["LastEvaluatedKey"] = keys[limit-1].fields()
		}
	}
	filter, items := m.condition(), []any{}
	for _, k := range keys {
		if filter.text == "attribute_exists(id)" { // a key can't be filtered
			filter = condition{}
		}
		if filter.add(request, "FilterExpression", m.items[k]) {
			items = append(items, m.items[k])
		}
	}
	want["Items"], want["Count"], want["ScannedCount"] = items, float64(len(items)), float64(len(keys))
	return expectation{"Query", request, want, ""}
}

func keysOf(items map[modelKey]fields) func(func(modelKey) bool) {
	return func(yield func(modelKey) bool) {
		for k := range items {
			if !yield(k) {
				return
			}
		}
	}
}

// send sends a request over HTTP and returns the response's status and JSON.
func (m *model) send(t *testing.T, client *http.Client, address, op string, request fields) (int, fields) {
	t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+address, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	signAnything(req, op)
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got fields
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, got
}

// scan checks that the pages of a scan, one after the other, are the whole table.
func (m *model) scan(t *testing.T, client *http.Client, address string) {
	t.Helper()
	request := fields{"TableName": "model", "Limit": 1 + m.IntN(20)}
	found := map[modelKey]fields{}
	for {
		status, page := m.send(t, client, address, "Scan", request)
		items := asList(page["Items"])
		if status != http.StatusOK || page["Count"] != float64(len(items)) || len(items) > request["Limit"].(int) {
			t.Fatalf("Scan %v: got %d %v; want a page", request, status, page)
		}
		for _, it := range items {
			it := it.(fields)
			id, _ := textOf(it, "id", "S")
			text, _ := textOf(it, "n", "N")
			n, _ := strconv.Atoi(text)
			if found[modelKey{id, n}] != nil {
				t.Errorf("Scan: got %v twice", it)
			}
			found[modelKey{id, n}] = it
		}
		if page["LastEvaluatedKey"] == nil {
			break
		}
		request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
	}
	if !reflect.DeepEqual(found, m.items) {
		t.Errorf("Scan in pages of %v: got %v; want %v", request["Limit"], found, m.items)
	}
}

// Random requests over HTTP have the responses of a plain map.
func TestRandomRequestsAgainstModel(t *testing.T) {
	for seed := range uint64(3) {
		h := newHandler(t, Options{Tables: shardedTables(t, 1+int(seed))})
		createModelTable(t, h)
		address, client := listening(t, h, nil), &http.Client{Transport: &http.Transport{}}
		m := &model{Rand: rand.New(rand.NewPCG(seed, 1)), items: map[modelKey]fields{}}
		kinds := []func() expectation{m.single, m.single, m.single, m.read, m.batch, m.transaction, m.transactGet, m.query}
		counts := map[string]int{}
		for step := range 1500 {
			e := kinds[m.IntN(len(kinds))]()
			status, got := m.send(t, client, address, e.op, e.request)
			if (status == http.StatusOK) != (e.failed == "") || !reflect.DeepEqual(got, e.want) {
				request, _ := json.Marshal(e.request)
				t.Fatalf("seed %d, step %d: %s %s\n got %d %v\nwant %v", seed, step, e.op, request, status, got, e.want)
			}
			counts[e.op+e.failed]++
			if step%100 == 0 {
				m.scan(t, client, address)
			}
		}
		client.CloseIdleConnections()
		for _, kind := range []string{"PutItem", "UpdateItemConditionalCheckFailedException", "TransactWriteItems",
			"TransactWriteItemsTransactionCanceledException", "Query"} {
			if counts[kind] < 20 {
				t.Errorf("seed %d: got %d %s; want 20 or more, so that the test means something", seed, counts[kind], kind)
			}
		}
	}
}

func createModelTable(t *testing.T, h *Handler) {
	t.Helper()
	call(t, h, "CreateTable", `{"TableName":"model","BillingMode":"PAY_PER_REQUEST",
		"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"},{"AttributeName":"n","AttributeType":"N"}],
		"KeySchema":[{"AttributeName":"id","KeyType":"HASH"},{"AttributeName":"n","KeyType":"RANGE"}]}`)
	eventually(t, "the table is active", func() bool {
		return at(t, call(t, h, "DescribeTable", `{"TableName":"model"}`), "Table", "TableStatus") == "ACTIVE"
	})
}
