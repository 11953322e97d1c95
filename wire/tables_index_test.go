package wire

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
)

// An object is an item in the wire's form: its attributes by name, each as the JSON of its value.
// JSON that came from the server is the same for equal values.
type object map[string]json.RawMessage

func (o object) only(names []string) object {
	some := object{}
	for _, name := range names {
		if v, ok := o[name]; ok {
			some[name] = v
		}
	}
	return some
}

func (o object) equal(p object) bool {
	return maps.EqualFunc(o, p, func(a, b json.RawMessage) bool { return string(a) == string(b) })
}

// text is the object as one line, with the attributes in order.
func (o object) text() string {
	var all string
	for _, name := range slices.Sorted(maps.Keys(o)) {
		all += fmt.Sprintf(" %s=%s", name, o[name])
	}
	return "{" + all + " }"
}

// scalar returns the text of an attribute's value that is a text or a number.
func scalar(value json.RawMessage) string {
	var v struct{ S, N string }
	if err := json.Unmarshal(value, &v); err != nil {
		return err.Error()
	}
	return v.S + v.N
}

// A described is what DescribeTable says of a table or of an index.
type described struct {
	IndexName  string
	KeySchema  []struct{ AttributeName, KeyType string }
	Projection struct {
		ProjectionType   string
		NonKeyAttributes []string
	}
}

func (d described) keyNames() (names []string) {
	for _, k := range d.KeySchema {
		names = append(names, k.AttributeName)
	}
	return names
}

// A contents is a table and its indexes, as scans return them.
type contents struct {
	key     []string          // names of the table's key attributes
	items   map[string]object // by key
	indexes []described
	entries map[string]map[string]object // by index and key of the table
	faults  []string                     // that the scans have shown
}

// keyNames are the names of a table's key attributes.
func keyNames(t *testing.T, d *dynamo, table string) []string {
	t.Helper()
	var answer struct{ Table described }
	d.must(t, "DescribeTable", fmt.Sprintf(`{"TableName":%q}`, table), &answer)
	return answer.Table.keyNames()
}

// readContents scans a table and its indexes, in small pages. Nothing may write meanwhile.
func readContents(t *testing.T, d *dynamo, table string) contents {
	t.Helper()
	var answer struct {
		Table struct {
			described
			LocalSecondaryIndexes, GlobalSecondaryIndexes []described
		}
	}
	d.must(t, "DescribeTable", fmt.Sprintf(`{"TableName":%q}`, table), &answer)
	c := contents{key: answer.Table.keyNames(), entries: map[string]map[string]object{}}
	c.indexes = append(answer.Table.LocalSecondaryIndexes, answer.Table.GlobalSecondaryIndexes...)
	c.items = c.byKey("the table", scanAll(t, d, table, ""))
	for _, x := range c.indexes {
		c.entries[x.IndexName] = c.byKey(x.IndexName, scanAll(t, d, table, x.IndexName))
	}
	return c
}

// scanAll returns all items of a table, or all entries of one of its indexes.
func scanAll(t *testing.T, d *dynamo, table, index string) (all []object) {
	t.Helper()
	request := map[string]any{"TableName": table, "Limit": 500, "ConsistentRead": true}
	if index != "" {
		request["IndexName"] = index
		delete(request, "ConsistentRead")
	}
	return pages(t, d, "Scan", request)
}

// pages sends a Query or Scan until its last page, and returns the items of all.
func pages(t *testing.T, d *dynamo, operation string, request map[string]any) (all []object) {
	t.Helper()
	for {
		body, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		var page struct {
			Items            []object
			LastEvaluatedKey json.RawMessage
		}
		d.must(t, operation, string(body), &page)
		all = append(all, page.Items...)
		if page.LastEvaluatedKey == nil {
			return all
		}
		request["ExclusiveStartKey"] = page.LastEvaluatedKey
	}
}

func (c *contents) byKey(where string, all []object) map[string]object {
	m := map[string]object{}
	for _, o := range all {
		key := o.only(c.key).text()
		if _, again := m[key]; again {
			c.faults = append(c.faults, fmt.Sprintf("%s has %s twice", where, key))
		}
		m[key] = o
	}
	return m
}

// indexFaults compares each index of a table with the table: an item that has all of the index's
// key attributes has one entry, which is its projection, and there is no other entry. Queries of
// the index by some of its partition keys return the same entries, in order.
func indexFaults(t *testing.T, d *dynamo, table string) []string {
	t.Helper()
	c := readContents(t, d, table)
	faults := c.faults
	for _, x := range c.indexes {
		faults = append(faults, c.compare(x)...)
		faults = append(faults, c.queryFaults(t, d, table, x)...)
	}
	return faults
}

func (c *contents) compare(x described) (faults []string) {
	held := slices.Concat(c.key, x.keyNames(), x.Projection.NonKeyAttributes)
	want := map[string]object{}
	for key, it := range c.items {
		if len(it.only(x.keyNames())) < len(x.KeySchema) {
			continue
		}
		if want[key] = it.only(held); x.Projection.ProjectionType == "ALL" {
			want[key] = it
		}
	}
	got := c.entries[x.IndexName]
	for key, it := range want {
		switch entry, ok := got[key]; {
		case !ok:
			faults = append(faults, fmt.Sprintf("index %s: no entry; the item is %s", x.IndexName, it.text()))
		case !entry.equal(it):
			faults = append(faults, fmt.Sprintf("index %s: got %s; want %s", x.IndexName, entry.text(), it.text()))
		}
	}
	for key, entry := range got {
		if _, ok := want[key]; !ok {
			faults = append(faults, fmt.Sprintf("index %s: got %s; want no entry", x.IndexName, entry.text()))
		}
	}
	return faults
}

// indexQueries is how many partitions of an index are queried.
const indexQueries = 5

// queryFaults queries partitions of an index and compares the results with the index's entries.
func (c *contents) queryFaults(t *testing.T, d *dynamo, table string, x described) (faults []string) {
	t.Helper()
	var hash []string
	for _, k := range x.KeySchema {
		if k.KeyType == "HASH" {
			hash = append(hash, k.AttributeName)
		}
	}
	partitions := map[string][]object{}
	for _, entry := range c.entries[x.IndexName] {
		of := entry.only(hash).text()
		partitions[of] = append(partitions[of], entry)
	}
	asked := 0
	for name, want := range partitions {
		if asked++; asked > indexQueries {
			break
		}
		condition, values := "", map[string]json.RawMessage{}
		for i, attribute := range hash {
			condition += fmt.Sprintf(" AND %s = :h%d", attribute, i)
			values[fmt.Sprintf(":h%d", i)] = want[0][attribute]
		}
		got := pages(t, d, "Query", map[string]any{"TableName": table, "IndexName": x.IndexName, "Limit": 300,
			"KeyConditionExpression": condition[len(" AND "):], "ExpressionAttributeValues": values})
		left := map[string]bool{}
		for _, entry := range want {
			left[entry.text()] = true
		}
		for _, entry := range got {
			if !left[entry.text()] {
				faults = append(faults, fmt.Sprintf("index %s, query of %s: got %s; the scan has no such entry, or one",
					x.IndexName, name, entry.text()))
			}
			delete(left, entry.text())
		}
		for entry := range left {
			faults = append(faults, fmt.Sprintf("index %s, query of %s: no %s", x.IndexName, name, entry))
		}
	}
	return faults
}

// expectIndexes fails unless a table's indexes agree with it, once what is in flight has been
// applied: expired items may be deleted between two scans.
func expectIndexes(t *testing.T, d *dynamo, table string) {
	t.Helper()
	var faults []string
	if !within(func() bool {
		faults = indexFaults(t, d, table)
		return len(faults) == 0
	}) {
		t.Errorf("%s: %d faults, the first of them: %s", table, len(faults), faults[:min(len(faults), 10)])
	}
}
