package partiql

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"holdfast/item"
)

// A row is an item of the model. A missing attribute is a nil pointer or list.
type row struct {
	pk   string
	sk   int
	n    *int
	s    *string
	tags []string
}

func (w *row) item(t testing.TB) item.Item {
	attrs := []item.Attr{
		{Name: "pk", Value: item.Text(w.pk)},
		{Name: "sk", Value: num(t, decimal(w.sk))},
	}
	if w.n != nil {
		attrs = append(attrs, item.Attr{Name: "n", Value: num(t, decimal(*w.n))})
	}
	if w.s != nil {
		attrs = append(attrs, item.Attr{Name: "s", Value: item.Text(*w.s)})
	}
	if w.tags != nil {
		attrs = append(attrs, item.Attr{Name: "tags", Value: item.Value{Type: item.SS, Set: w.tags}})
	}
	return item.New(attrs...)
}

// A clause is a condition in three forms: in a statement, in an expression with named values, and
// as a function of the model's rows.
type clause struct {
	statement, expression string
	holds                 func(w *row) bool
}

// A clauseSource makes random clauses.
type clauseSource struct {
	*rand.Rand
	t      testing.TB
	values map[string]item.Value // of expressions, by parameter
}

func (s clauseSource) number() (n int, parameter string) {
	n = s.IntN(6) - 1
	parameter = strings.ReplaceAll(":n"+decimal(n), "-", "_")
	s.values[parameter] = num(s.t, decimal(n))
	return n, parameter
}

func (s clauseSource) text() (text, parameter string) {
	text = []string{"a", "ab", "b", "it's", ""}[s.IntN(5)]
	parameter = ":s" + decimal(len(text)) + strings.Trim(text, "'")[:min(1, len(text))]
	s.values[parameter] = item.Text(text)
	return text, parameter
}

func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// clause makes a condition that is at most depth levels deep.
func (s clauseSource) clause(depth int) clause {
	switch k := s.IntN(8); {
	case k < 3 && depth > 0:
		return s.chain(depth)
	case k < 4 && depth > 0:
		c := s.clause(depth - 1)
		return clause{"NOT (" + c.statement + ")", "NOT (" + c.expression + ")", func(w *row) bool { return !c.holds(w) }}
	case k < 6:
		return s.numeric()
	case k < 7:
		return s.texts()
	}
	return s.presence()
}

// chain makes an AND or an OR. An expression must not have redundant parentheses; a statement may.
func (s clauseSource) chain(depth int) clause {
	word := []string{"AND", "OR"}[s.IntN(2)]
	parts := make([]clause, 2+s.IntN(2))
	var statements, expressions []string
	for i := range parts {
		parts[i] = s.clause(depth - 1)
		statements = append(statements, "("+parts[i].statement+")")
		expressions = append(expressions, "("+parts[i].expression+")")
	}
	return clause{
		strings.Join(statements, " "+word+" "), strings.Join(expressions, " "+word+" "),
		func(w *row) bool {
			all := func(p clause) bool { return p.holds(w) == (word == "OR") }
			return slices.ContainsFunc(parts, all) == (word == "OR")
		},
	}
}

// numeric makes a condition on n or on the sort key.
func (s clauseSource) numeric() clause {
	name, of := "sk", func(w *row) *int { return &w.sk }
	if s.IntN(2) == 0 {
		name, of = "n", func(w *row) *int { return w.n }
	}
	low, lowName := s.number()
	high, highName := s.number()
	if low > high {
		low, lowName, high, highName = high, highName, low, lowName
	}
	switch s.IntN(4) {
	case 0:
		return clause{
			fmt.Sprintf("%s BETWEEN %d AND %d", name, low, high), fmt.Sprintf("%s BETWEEN %s AND %s", name, lowName, highName),
			func(w *row) bool { v := of(w); return v != nil && low <= *v && *v <= high },
		}
	case 1:
		return clause{
			fmt.Sprintf("%s NOT IN [%d, %d]", name, low, high), fmt.Sprintf("NOT %s IN (%s, %s)", name, lowName, highName),
			func(w *row) bool { v := of(w); return v == nil || *v != low && *v != high },
		}
	}
	op := slices.Sorted(maps.Keys(comparators))[s.IntN(len(comparators))]
	holds := func(w *row) bool {
		v := of(w)
		return v != nil && compares(*v, op, low) || v == nil && comparators[op] == "<>"
	}
	if s.IntN(2) == 0 { // with the value on the left
		mirror := map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>", "!=": "!="}[op]
		return clause{
			fmt.Sprintf("%d %s %s", low, mirror, name), fmt.Sprintf("%s %s %s", lowName, comparators[mirror], name), holds,
		}
	}
	return clause{fmt.Sprintf("%s %s %d", name, op, low), fmt.Sprintf("%s %s %s", name, comparators[op], lowName), holds}
}

func compares(a int, op string, b int) bool {
	switch op {
	case "=":
		return a == b
	case "<":
		return a < b
	case "<=":
		return a <= b
	case ">":
		return a > b
	case ">=":
		return a >= b
	}
	return a != b
}

// texts makes a condition on s, on the partition key or on tags.
func (s clauseSource) texts() clause {
	a, aName := s.text()
	b, bName := s.text()
	switch k := s.IntN(5); {
	case k == 0 && a != "": // no key is empty
		return clause{"pk = " + literal(a), "pk = " + aName, func(w *row) bool { return w.pk == a }}
	case k <= 1 && a != "" && b != "":
		return clause{
			"pk IN [" + literal(a) + ", " + literal(b) + "]", "pk IN (" + aName + ", " + bName + ")",
			func(w *row) bool { return w.pk == a || w.pk == b },
		}
	case k <= 2:
		return clause{
			"begins_with(s, " + literal(a) + ")", "begins_with(s, " + aName + ")",
			func(w *row) bool { return w.s != nil && strings.HasPrefix(*w.s, a) },
		}
	case k == 3:
		return clause{
			"contains(tags, " + literal(a) + ") = true", "contains(tags, " + aName + ")",
			func(w *row) bool { return slices.Contains(w.tags, a) },
		}
	}
	return clause{"s > " + literal(a), "s > " + aName, func(w *row) bool { return w.s != nil && *w.s > a }}
}

// presence makes a condition on an attribute's presence, type or size.
func (s clauseSource) presence() clause {
	switch s.IntN(4) {
	case 0:
		return clause{"n IS MISSING", "attribute_not_exists(n)", func(w *row) bool { return w.n == nil }}
	case 1:
		return clause{"attribute_exists(s) <> true", "NOT attribute_exists(s)", func(w *row) bool { return w.s == nil }}
	case 2:
		s.values[":type"] = item.Text("SS")
		return clause{
			"attribute_type(tags, 'SS')", "attribute_type(tags, :type)", func(w *row) bool { return w.tags != nil },
		}
	}
	n, name := s.number()
	return clause{
		fmt.Sprintf("SIZE(tags) >= %d", n), fmt.Sprintf("size(tags) >= %s", name),
		func(w *row) bool { return w.tags != nil && len(w.tags) >= n },
	}
}

func (s clauseSource) row() row {
	w := row{pk: []string{"a", "ab", "b", "it's"}[s.IntN(4)], sk: s.IntN(6) - 1}
	if s.IntN(3) > 0 {
		w.n = new(int)
		*w.n = s.IntN(6) - 1
	}
	if s.IntN(3) > 0 {
		w.s = new(string)
		*w.s, _ = s.text()
	}
	for _, tag := range []string{"a", "b", ""} {
		if s.IntN(2) == 0 {
			w.tags = append(w.tags, tag)
		}
	}
	return w
}

// byNumber is the key of the model's table.
var byNumber = item.KeySchema{Hash: item.KeyAttr{Name: "pk", Type: item.S},
	Range: item.KeyAttr{Name: "sk", Type: item.N}}

// A stored is an item with its key and its row.
type stored struct {
	key item.Key
	it  item.Item
	row row
}

// table returns a random table, in the order of keys.
func (s clauseSource) table() []stored {
	byKey := make(map[string]stored)
	for range 24 {
		w := s.row()
		it := w.item(s.t)
		key, err := byNumber.Key(it)
		if err != nil {
			s.t.Fatal(err)
		}
		byKey[string(key)] = stored{key, it, w}
	}
	var items []stored
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		items = append(items, byKey[key])
	}
	return items
}

// run returns what a SELECT finds: its queries one after the other, or a scan, and then its WHERE
// clause.
func run(t testing.TB, s *Statement, table []stored) []row {
	t.Helper()
	read, err := s.Read(byNumber)
	if err != nil {
		t.Fatal(err)
	}
	var found []row
	if read.Queries == nil {
		return filtered(s, table)
	}
	for _, q := range read.Queries {
		lookup, err := q.Resolve(byNumber.Index())
		if err != nil {
			t.Fatal(err)
		}
		within := byNumber.Index().Within(lookup)
		var part []stored
		for _, it := range table {
			if string(within.From) <= string(it.key) && (within.To == nil || string(it.key) < string(within.To)) {
				part = append(part, it)
			}
		}
		if read.Reverse {
			slices.Reverse(part)
		}
		found = append(found, filtered(s, part)...)
	}
	return found
}

func filtered(s *Statement, items []stored) []row {
	var found []row
	for _, it := range items {
		if s.Where.Match(it.it) {
			found = append(found, it.row)
		}
	}
	return found
}

// TestSelectsAgainstModel runs random SELECTs on random tables. Whether a statement scans or
// queries, it finds exactly the items that satisfy the model's condition, each once; and its WHERE
// clause equals the parsed expression.
func TestSelectsAgainstModel(t *testing.T) {
	s := clauseSource{rand.New(rand.NewPCG(5, 6)), t, nil}
	queries := 0
	for range 2000 {
		s.values = make(map[string]item.Value)
		c := s.clause(3)
		for s.IntN(2) == 0 && !strings.HasPrefix(c.statement, "pk") { // so that many are queries
			key := s.texts()
			both := c
			c = clause{
				key.statement + " AND (" + both.statement + ")", key.expression + " AND (" + both.expression + ")",
				func(w *row) bool { return key.holds(w) && both.holds(w) },
			}
		}
		text := "SELECT * FROM t WHERE " + c.statement
		statement := parsed(t, text)
		table := s.table()
		var want []row
		same := s.condition(c.expression)
		for _, it := range table {
			if c.holds(&it.row) {
				want = append(want, it.row)
			}
			if got := same.Match(it.it); got != c.holds(&it.row) || got != statement.Where.Match(it.it) {
				t.Errorf("%s of %v: by expression got %v; want %v", text, it.it, got, c.holds(&it.row))
			}
		}
		got := run(t, &statement, table)
		if read, _ := statement.Read(byNumber); read.Queries != nil {
			queries++
		}
		if keysOf(got) != keysOf(want) {
			t.Errorf("%s: got %s; want %s", text, keysOf(got), keysOf(want))
		}
	}
	if queries < 200 {
		t.Errorf("got %d statements that query; want hundreds", queries)
	}
}

// condition parses the expression of a clause. Each part is in parentheses once.
func (s clauseSource) condition(text string) *item.Condition {
	s.t.Helper()
	var values []item.Attr
	for name, v := range s.values {
		values = append(values, item.Attr{Name: name, Value: v})
	}
	var all item.Item
	if values != nil {
		all = item.New(values...)
	}
	scope, err := item.NewScope(nil, all)
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := scope.Condition("FilterExpression", text)
	if err != nil {
		s.t.Fatalf("%s: %v", text, err)
	}
	return c
}

// keysOf returns the keys of rows, in the order of keys.
func keysOf(rows []row) string {
	var keys []string
	for _, w := range rows {
		keys = append(keys, fmt.Sprintf("%s %d", w.pk, w.sk))
	}
	slices.Sort(keys)
	return strings.Join(keys, ", ")
}

// TestOrderAgainstModel compares the order of ORDER BY with the model's, on random tables.
func TestOrderAgainstModel(t *testing.T) {
	s := clauseSource{rand.New(rand.NewPCG(7, 8)), t, make(map[string]item.Value)}
	for range 500 {
		directions := map[string]int{"": 1, " ASC": 1, " DESC": -1}
		names := slices.Sorted(maps.Keys(directions))
		byHash, bySort := names[s.IntN(3)], names[s.IntN(3)]
		text := "SELECT * FROM t WHERE pk IN ['b', 'a', 'it''s', 'a'] ORDER BY pk" + byHash + ", sk" + bySort
		statement := parsed(t, text)
		table := s.table()
		var want []row
		for _, it := range table {
			if it.row.pk != "ab" {
				want = append(want, it.row)
			}
		}
		slices.SortFunc(want, func(a, b row) int {
			if a.pk != b.pk {
				return strings.Compare(a.pk, b.pk) * directions[byHash]
			}
			return (a.sk - b.sk) * directions[bySort]
		})
		if got := run(t, &statement, table); fmt.Sprint(pairs(got)) != fmt.Sprint(pairs(want)) {
			t.Errorf("%s: got %v; want %v", text, pairs(got), pairs(want))
		}
	}
}

func pairs(rows []row) []string {
	var all []string
	for _, w := range rows {
		all = append(all, fmt.Sprintf("%s %d", w.pk, w.sk))
	}
	return all
}
