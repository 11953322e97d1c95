package table

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
)

// byParts are global indexes whose keys have several attributes in a part, over the attributes of
// indexed: one with all by g and h, then l and the table's own sort key, and one of keys by h, then
// l and g.
func byParts() []catalog.IndexDefinition {
	l, g, h := item.KeyAttr{Name: "l", Type: item.S}, item.KeyAttr{Name: "g", Type: item.S},
		item.KeyAttr{Name: "h", Type: item.N}
	seq := item.KeyAttr{Name: "seq", Type: item.N}
	return []catalog.IndexDefinition{
		{Index: item.Index{Name: "parts", Project: item.ProjectAll,
			Key: item.IndexKey{Hash: []item.KeyAttr{g, h}, Range: []item.KeyAttr{l, seq}}}},
		{Index: item.Index{Name: "partkeys", Project: item.ProjectKeys,
			Key: item.IndexKey{Hash: []item.KeyAttr{h}, Range: []item.KeyAttr{l, g}}}},
	}
}

// compareParts asks the indexes of byParts for what some condition allows.
func (m *model) compareParts() {
	number := func(n int) item.Value { return number(fmt.Sprint(n)) }
	for range 8 {
		g, h := item.Text(fmt.Sprint("g", m.rnd.IntN(3))), number(m.rnd.IntN(5))
		l, seq := item.Text(fmt.Sprint("l", m.rnd.IntN(4))), number(m.rnd.IntN(12)-4)
		m.queryParts("parts", []string{"g", "h"}, []string{"l", "seq"}, item.New(
			item.Attr{Name: "g", Value: g}, item.Attr{Name: "h", Value: h},
			item.Attr{Name: "l", Value: l}, item.Attr{Name: "seq", Value: seq}),
			func(it item.Item) item.Item { return it })
		m.queryParts("partkeys", []string{"h"}, []string{"l", "g"}, item.New(
			item.Attr{Name: "h", Value: h}, item.Attr{Name: "l", Value: l}, item.Attr{Name: "g", Value: g}),
			func(it item.Item) item.Item { return it.Only("id", "seq", "h", "l", "g") })
	}
}

// A clause is a part of a key condition.
type clause struct {
	name  string
	value item.Value
	text  string // with the name twice
	fits  func(cmp int) bool
}

// clauses are those that give a partition key, and the first attributes of a sort key: the last of
// them is compared in some way, the others by =.
func (m *model) clauses(hash, sort []string, values item.Item) []clause {
	equal := clause{text: "%s = :%s", fits: func(cmp int) bool { return cmp == 0 }}
	others := []clause{
		equal, {text: "%s < :%s", fits: func(cmp int) bool { return cmp < 0 }},
		{text: "%s >= :%s", fits: func(cmp int) bool { return cmp >= 0 }},
		{text: "%s BETWEEN :%[1]s AND :%s", fits: equal.fits},
	}
	n := m.rnd.IntN(len(sort) + 1)
	var all []clause
	for i, name := range append(slices.Clone(hash), sort[:n]...) {
		c := equal
		if i == len(hash)+n-1 && n > 0 {
			c = others[m.rnd.IntN(len(others))]
		}
		c.name = name
		c.value, _ = values.Get(name)
		all = append(all, c)
	}
	return all
}

// queryParts asks an index for what some clauses with those values allow.
func (m *model) queryParts(index string, hash, sort []string, values item.Item, project func(item.Item) item.Item) {
	clauses := m.clauses(hash, sort, values)
	want := map[string]item.Item{}
	for at, it := range m.items {
		in := true
		for _, name := range append(slices.Clone(hash), sort...) {
			in = in && it.Has(name)
		}
		for _, c := range clauses {
			own, _ := it.Get(c.name)
			cmp, _ := own.Compare(c.value)
			in = in && c.fits(cmp)
		}
		if in {
			want[at] = project(it)
		}
	}
	m.rnd.Shuffle(len(clauses), func(i, j int) { clauses[i], clauses[j] = clauses[j], clauses[i] })
	var texts []string
	var pairs []any
	for _, c := range clauses {
		texts, pairs = append(texts, fmt.Sprintf(c.text, c.name, c.name)), append(pairs, ":"+c.name, c.value)
	}
	text := strings.Join(texts, " AND ")
	m.inOrder(Query{Table: "t", Index: index, Key: keyCondition(m.t, text, pairs...)},
		fmt.Sprintf("query %q of %q with %v", text, index, pairs), sort, want)
}

// inOrder has a query find what it should in the order of a sort key: all at once, in pages, and in
// pages in reverse.
func (m *model) inOrder(q Query, what string, sort []string, want map[string]item.Item) {
	whole := m.pages(q)
	m.same(what, whole, want)
	for i := 1; i < len(whole); i++ {
		if order := compareBy(whole[i-1], whole[i], sort); order > 0 {
			m.t.Fatalf("%s: got %v before %v", what, whole[i-1], whole[i])
		}
	}
	q.Limit = 1 + m.rnd.IntN(4)
	if got := m.pages(q); !reflect.DeepEqual(got, whole) {
		m.t.Fatalf("%s in pages of %d: got %v; want %v", what, q.Limit, got, whole)
	}
	q.Reverse = true
	got := m.pages(q)
	if slices.Reverse(got); !reflect.DeepEqual(got, whole) {
		m.t.Fatalf("%s in reverse: got %v; want %v", what, got, whole)
	}
}

// wantOutcome is wantSaid where "" is no error.
func wantOutcome(t *testing.T, name string, err error, want string) {
	t.Helper()
	if want != "" {
		wantSaid(t, name, err, want)
	} else if err != nil {
		t.Errorf("%s: got %v; want no error", name, err)
	}
}

func namesOf(it item.Item) []string {
	var names []string
	for i := range it {
		names = append(names, it[i].Name)
	}
	return names
}

// compareBy compares the attributes of two items one after the other.
func compareBy(a, b item.Item, names []string) int {
	for _, name := range names {
		in, _ := a.Get(name)
		other, _ := b.Get(name)
		if order, _ := in.Compare(other); order != 0 {
			return order
		}
	}
	return 0
}

// placed is a user with the attributes of the index of byPlace; every seventh lacks one of them.
func placed(n int) item.Item {
	it := user(n, item.Attr{Name: "country", Value: item.Text(fmt.Sprint("country", n%3))},
		item.Attr{Name: "zip", Value: number(fmt.Sprint(n % 5))},
		item.Attr{Name: "street", Value: item.Bytes(fmt.Sprint(n % 11))})
	if n%7 == 0 {
		return it.Without([]string{"country", "zip", "street"}[n/7%3])
	}
	return it
}

// byPlace adds to users an index by country and city, then zip and street.
func byPlace() catalog.Alteration {
	country, city := item.KeyAttr{Name: "country", Type: item.S}, item.KeyAttr{Name: "city", Type: item.S}
	zip, street := item.KeyAttr{Name: "zip", Type: item.N}, item.KeyAttr{Name: "street", Type: item.B}
	return catalog.Alteration{Table: "users", Attributes: []item.KeyAttr{country, zip, street},
		Indexes: []catalog.IndexAlteration{{Create: &catalog.IndexDefinition{Index: item.Index{Name: "by-place",
			Project: item.ProjectSome,
			Attrs:   []string{"n"},
			Key: item.IndexKey{Hash: []item.KeyAttr{{Name: country.Name}, {Name: city.Name}},
				Range: []item.KeyAttr{{Name: zip.Name}, {Name: street.Name}}}}}}}}
}

// An index whose key has several attributes is filled, follows its items, outlives crashes, agrees
// with them when the directory is checked offline, is backed up and restored, and is removed.
func TestMultiKeyIndexDespiteCrashes(t *testing.T) {
	for crashAfter := range 3 {
		t.Run(fmt.Sprint(crashAfter), func(t *testing.T) {
			r := newRig(t, Options{ShardsPerTable: 2})
			r.create(users("users"))
			for n := range 2*fillBatch + 10 {
				r.put("users", placed(n))
			}
			d := r.alter(byPlace())
			if got := d.Indexes[1].Index.Key; !reflect.DeepEqual(got, item.IndexKey{
				Hash:  []item.KeyAttr{{Name: "country", Type: item.S}, {Name: "city", Type: item.S}},
				Range: []item.KeyAttr{{Name: "zip", Type: item.N}, {Name: "street", Type: item.B}},
			}) {
				t.Errorf("got key %v; want it with its types", got)
			}
			r.step(crashAfter)
			r.crash()
			r.check()
			r.put("users", placed(1).With("zip", number("99"))) // while it is being filled, or after
			r.delete("users", placed(2))
			r.settle()
			r.checkIndexes("users")
			r.crash()
			r.check()
			want := r.items("users", "by-place")
			if len(want) < fillBatch || !slices.Equal(namesOf(want[0]),
				[]string{"city", "country", "id", "n", "street", "zip"}) {
				t.Errorf("got %d entries, the first %v; want more, with both keys and n", len(want), want[0])
			}

			b := r.backup("users")
			r.settle()
			// The other way to split the same attributes is another index.
			other := []catalog.IndexDefinition{{Index: item.Index{Name: "by-place",
				Key: item.IndexKey{Hash: []item.KeyAttr{{Name: "country"}},
					Range: []item.KeyAttr{{Name: "city"}, {Name: "zip"}, {Name: "street"}}}}}}
			_, err := r.RestoreBackup(context.Background(), b.ID, "copy", catalog.Overrides{Global: other})
			wantError(t, err, holdfast.Invalid, "One or more parameter values were invalid: The indexes provided should match "+
				"existing "+
				"secondary indexes; there is no such index: by-place")
			if _, err := r.RestoreBackup(context.Background(), b.ID, "copy", catalog.Overrides{}); err != nil {
				t.Fatal(err)
			}
			r.step(crashAfter)
			r.crash()
			r.settle()
			r.checkIndexes("copy")
			sameItems(t, "restored", r.items("copy", "by-place"), want)

			r.alter(catalog.Alteration{Table: "users", Indexes: []catalog.IndexAlteration{{Delete: "by-place"}}})
			r.settle()
			r.check()
			if d := r.describe("users"); len(d.Indexes) != 1 || !slices.Equal(names(d.Attributes), []string{"id", "city"}) {
				t.Errorf("got %+v; want one index, and no definition of what only the other had", d)
			}
		})
	}
}

// What an item must be to be in such an index is looked at by every write.
func TestMultiKeyWrites(t *testing.T) {
	s, _ := openMemory(t, Options{})
	d, attributes := indexed("t")
	d.Indexes = byParts()[:1]
	create(t, s, d, attributes)
	ctx := context.Background()
	long := strings.Repeat("x", 2048)
	base := attrs("id", "a", "seq", 1)
	const invalid = "One or more parameter values were invalid: "
	for name, test := range map[string]struct {
		it   item.Item
		want string
	}{
		"whole":       {base.With("g", item.Text("g")).With("h", number("1")).With("l", item.Text("l")), ""},
		"without one": {base.With("g", item.Text("g")).With("l", item.Text("l")), ""},
		"second of HASH": {base.With("h", item.Text("1")), invalid + "Type mismatch for Index Key h Expected: N Actual: S " +
			"IndexName: parts"},
		"first of RANGE": {base.With("l", number("1")), invalid + "Type mismatch for Index Key l Expected: S Actual: N " +
			"IndexName: parts"},
		"an empty text": {base.With("l", item.Text("")), "One or more parameter values are not valid. A value specified " +
			"for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty " +
			"string value. IndexName: parts, IndexKey: l"},
		"too long a HASH": {base.With("g", item.Text(long+"x")), invalid + "Size of hashkey has exceeded the maximum size " +
			"limit of2048 bytes"},
	} {
		_, err := s.Put(ctx, Put{Table: "t", Item: test.it})
		wantOutcome(t, "put "+name, err, test.want)
		_, _, _, err = s.BatchWrite(ctx, []BatchWrite{{Put: &Put{Table: "t", Item: test.it}}})
		wantOutcome(t, "batch "+name, err, test.want)
		_, err = s.TransactWrite(ctx, Transaction{Actions: []Action{{Put: &Put{Table: "t", Item: test.it}}}})
		if canceled := (*CanceledError)(nil); (err != nil) != (test.want != "") || err != nil &&
			!errors.As(err, &canceled) && err.Error() != test.want {
			t.Errorf("transaction %s: got %v; want %q", name, err, test.want)
		}
	}
	for name, test := range map[string]struct {
		text string
		v    any
		want string
	}{
		"right":   {"SET h = :v", 7, ""},
		"removed": {"REMOVE l ADD h :v", 1, ""},
		"of wrong type": {"SET h = :v", "7", invalid +
			"Type mismatch for Index Key h Expected: N Actual: S IndexName: parts"},
		"inside": {"SET l.x = :v", "7", "Key attributes must be scalars; list random access '[]' and map lookup '.' " +
			"are not allowed: IndexKey: l"},
	} {
		_, err := s.Update(ctx, Update{Table: "t", Key: base, Change: update(t, test.text, ":v", test.v)})
		wantOutcome(t, "update "+name, err, test.want)
	}
}

// Texts of one part count together, also where an update gives only one of them.
func TestMultiKeyLengthInAnUpdate(t *testing.T) {
	s, _ := openMemory(t, Options{})
	d, attributes := users("users")
	create(t, s, d, attributes)
	zip := item.KeyAttr{Name: "zip", Type: item.S}
	put(t, s, "users", user(1, item.Attr{Name: "zip", Value: item.Text(strings.Repeat("z", 3000))}))
	if _, err := s.Describe("users"); err != nil { // the table's creation is over once it was described
		t.Fatal(err)
	}
	if _, err := s.Alter(context.Background(), catalog.Alteration{Table: "users", Attributes: []item.KeyAttr{zip},
		Indexes: []catalog.IndexAlteration{{
			Create: &catalog.IndexDefinition{Index: item.Index{Name: "by-both", Project: item.ProjectKeys,
				Key: item.IndexKey{Hash: []item.KeyAttr{{Name: "city"}, zip}}}}}}}); err != nil {
		t.Fatal(err)
	}
	set := func(name, value string) error {
		_, err := s.Update(context.Background(), Update{Table: "users", Key: attrs("id", "user0001"),
			Change: update(t, "SET "+name+" = :v", ":v", value)})
		return err
	}
	const want = "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 " +
		"bytes"
	wantOutcome(t, "beside one that was always too long", set("city", "x"), "")
	wantOutcome(t, "as long as may be", set("zip", strings.Repeat("z", 2047)), "")
	wantOutcome(t, "one more, by the other attribute", set("city", "xy"), want)
	wantOutcome(t, "of something else", set("w", "x"), "")
}

func TestCreateRefusesKeysOfTooManyAttributes(t *testing.T) {
	var attributes []item.KeyAttr
	for i := range 6 {
		attributes = append(attributes, item.KeyAttr{Name: fmt.Sprint("a", i), Type: item.S})
	}
	table := item.KeySchema{Hash: attributes[0], Range: attributes[1]}
	for _, c := range []struct {
		x    item.Index
		used int
		want string
	}{
		{item.Index{Key: item.IndexKey{Hash: attributes[:5]}}, 5, "Index KeySchema has 5 HASH key attributes, but at most " +
			"4 are supported for index: x"},
		{item.Index{Key: item.IndexKey{Hash: attributes[:1], Range: attributes[1:6]}}, 6,
			"Index KeySchema has 5 RANGE key attributes, but at most 4 are supported for index: x"},
		{item.Index{Key: item.IndexKey{Range: attributes[1:2]}}, 2, "Index KeySchema does not have a hash key for index: x"},
		{item.Index{Local: true, Key: item.IndexKey{Hash: attributes[:1], Range: attributes[1:3]}}, 3,
			"Index KeySchema has 2 RANGE key attributes, but at most 1 are supported for index: x"},
	} {
		s, _ := openMemory(t, Options{})
		c.x.Name, c.x.Project = "x", item.ProjectAll
		d := catalog.Definition{Name: "t", Key: table, Billing: catalog.OnDemand,
			Indexes: []catalog.IndexDefinition{{Index: c.x}}}
		_, err := s.Create(context.Background(), d, attributes[:c.used])
		wantError(t, err, holdfast.Invalid, "One or more parameter values were invalid: "+c.want)
	}
}

// A start must be one that the same query could have ended with.
func TestMultiKeyStarts(t *testing.T) {
	s, _ := openMemory(t, Options{})
	d, attributes := indexed("t")
	d.Indexes = byParts()[:1]
	create(t, s, d, attributes)
	for i := range 4 {
		put(t, s, "t", attrs("id", fmt.Sprint(i), "seq", i, "g", "g", "h", 1, "l", fmt.Sprint("l", i/2)))
	}
	q := Query{Table: "t", Index: "parts", Key: keyCondition(t, "g = :g AND h = :h AND l <= :l", ":g", "g", ":h", 1, ":l",
		"l1"), Limit: 2}
	page, err := s.Query(context.Background(), q)
	if want := attrs("id", "1", "seq", 1, "g", "g", "h", 1, "l", "l0"); err != nil || !page.Last.Equal(want) {
		t.Fatalf("got %v, %v; want %v", page.Last, err, want)
	}
	const start = "The provided starting key is invalid"
	const schema = "The provided key element does not match the schema"
	for name, c := range map[string]struct {
		start item.Item
		want  string
	}{
		"as it was":         {page.Last, ""},
		"not there":         {page.Last.With("seq", number("77")), ""},
		"without a HASH":    {page.Last.Without("h"), start},
		"without a RANGE":   {page.Last.Without("l"), start},
		"one more":          {page.Last.With("x", item.Null), start},
		"other than a HASH": {page.Last.Without("h").With("x", item.Null), start},
		"a HASH's type":     {page.Last.With("h", item.Text("1")), schema},
		"a RANGE's type":    {page.Last.With("l", number("1")), schema},
		"another partition": {page.Last.With("h",
			number("2")), "The query can return at most one row and cannot be restarted"},
		"behind the range": {page.Last.With("l", item.Text("l2")), "The provided starting key does not match the range " +
			"key predicate"},
	} {
		q.Start = c.start
		_, err := s.Query(context.Background(), q)
		wantOutcome(t, name, err, c.want)
	}
}

// Which table it is decides how many conditions there may be. If there is none, that is the error
// of more than two, as it always was.
func TestTooManyConditions(t *testing.T) {
	s, _ := openMemory(t, Options{})
	d, attributes := indexed("t")
	d.Indexes = append(d.Indexes, byParts()...)
	create(t, s, d, attributes)
	for name, c := range map[string]struct{ table, index, text, want string }{
		"of a table":      {"t", "", "id = :s AND seq = :n AND l = :s", "Conditions can be of length 1 or 2 only"},
		"of an index":     {"t", "global", "g = :s AND h = :n AND l = :s", "Conditions can be of length 1 or 2 only"},
		"of several":      {"t", "parts", "g = :s AND h = :n AND l = :s", ""},
		"of no table":     {"none", "parts", "g = :s AND h = :n AND l = :s", "Conditions can be of length 1 or 2 only"},
		"two of no table": {"none", "parts", "g = :s AND h = :n", "Requested resource not found"},
		"of no such index": {"t", "none", "g = :s AND h = :n AND l = :s",
			"The table does not have the specified index: none"},
		"more than any has": {"t", "parts", "a = :s AND b = :s AND c = :s AND d = :s AND e = :s AND f = :s AND g = :s AND " +
			"h = :n AND i = :s", "Conditions can be of length 1 or 2 only"},
	} {
		key, err := scope(t, ":s", "x", ":n", 1).KeyCondition(c.text)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Query(context.Background(), Query{Table: c.table, Index: c.index, Key: key})
		wantOutcome(t, name, err, c.want)
	}
}
