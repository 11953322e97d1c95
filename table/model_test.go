package table

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"holdfast/item"
)

// A model is a table as a map.
type model struct {
	t     *testing.T
	s     *Store
	rnd   *rand.Rand
	items map[string]item.Item // by id and seq
}

// Random puts, updates, deletes, batches and transactions on a table with local and global indexes,
// also such whose keys have several attributes; every query and scan, in pages of any size and both
// ways, agrees with a map that went through the same.
func TestModel(t *testing.T) {
	for _, shards := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d shards", shards), func(t *testing.T) {
			s, _ := openMemory(t, Options{ShardsPerTable: shards})
			d, attributes := indexed("t")
			d.Indexes = append(d.Indexes, byParts()...)
			create(t, s, d, attributes)
			m := &model{t: t, s: s, rnd: rand.New(rand.NewPCG(1, uint64(shards))), items: map[string]item.Item{}}
			for range 12 {
				for range 60 {
					m.change()
				}
				m.compare()
			}
		})
	}
}

func (m *model) key() item.Item {
	return attrs("id", fmt.Sprintf("id%d", m.rnd.IntN(6)), "seq", m.rnd.IntN(12)-4)
}

func (m *model) item() item.Item {
	it := m.key()
	for name, value := range map[string]item.Value{
		"l": item.Text(fmt.Sprint("l", m.rnd.IntN(4))), "g": item.Text(fmt.Sprint("g", m.rnd.IntN(3))),
		"h": number(fmt.Sprint(m.rnd.IntN(5))), "other": item.Text(strings.Repeat("o", m.rnd.IntN(50))),
	} {
		if m.rnd.IntN(4) > 0 {
			it = it.With(name, value)
		}
	}
	return it
}

func place(it item.Item) string {
	id, _ := it.Get("id")
	seq, _ := it.Get("seq")
	return id.Text + "/" + seq.Text
}

// change does one thing to the table and to the map.
func (m *model) change() {
	ctx := context.Background()
	it, key := m.item(), m.key()
	was := m.items[place(key)]
	switch m.rnd.IntN(6) {
	case 0, 1:
		w, err := m.s.Put(ctx, Put{Table: "t", Item: it})
		m.expect(err, w.Before, m.items[place(it)])
		m.items[place(it)] = it
	case 2:
		w, err := m.s.Delete(ctx, Delete{Table: "t", Key: key})
		m.expect(err, w.Before, was)
		delete(m.items, place(key))
	case 3:
		text := fmt.Sprint("l", m.rnd.IntN(4))
		w, err := m.s.Update(ctx, Update{Table: "t", Key: key, Change: update(m.t, "SET l = :l REMOVE g", ":l", text)})
		m.expect(err, w.Before, was)
		if was == nil {
			was = key
		}
		m.items[place(key)] = was.With("l", item.Text(text)).Without("g")
		m.expect(nil, w.After, m.items[place(key)])
	case 4:
		ws := []BatchWrite{{Put: &Put{Table: "t", Item: it}}}
		if place(key) != place(it) {
			ws = append(ws, BatchWrite{Delete: &Delete{Table: "t", Key: key}})
			delete(m.items, place(key))
		}
		_, _, _, err := m.s.BatchWrite(ctx, ws)
		m.expect(err, nil, nil)
		m.items[place(it)] = it
	case 5:
		m.transact(it, key)
	}
}

// transact puts an item if there is one at key.
func (m *model) transact(it, key item.Item) {
	if place(it) == place(key) {
		return
	}
	ws, err := m.s.TransactWrite(context.Background(), Transaction{Actions: []Action{
		{Put: &Put{Table: "t", Item: it}},
		{Check: &Check{Table: "t", Key: key, If: condition(m.t, "attribute_exists(id)")}},
	}})
	is := m.items[place(key)]
	if is == nil {
		if canceled := (*CanceledError)(nil); !errors.As(err, &canceled) {
			m.t.Fatalf("transaction without %v: got %v; want it canceled", key, err)
		}
		return
	}
	m.expect(err, ws[0].Before, m.items[place(it)])
	m.expect(err, ws[1].After, is)
	m.items[place(it)] = it
}

func (m *model) expect(err error, got, want item.Item) {
	m.t.Helper()
	if err != nil || !got.Equal(want) {
		m.t.Fatalf("got %v, %v; want %v", got, err, want)
	}
}

// compare asks the table in all ways for all that it has.
func (m *model) compare() {
	for i := range 6 {
		id := fmt.Sprint("id", i)
		m.query("", "id = :k", "id", id, "seq", func(it item.Item) item.Item { return it })
		m.query("local", "id = :k", "id", id, "l", func(it item.Item) item.Item { return it.Only("id", "seq", "l", "h") })
	}
	for i := range 3 {
		g := fmt.Sprint("g", i)
		m.query("global", "g = :k", "g", g, "h", func(it item.Item) item.Item { return it })
		m.query("keys", "g = :k", "g", g, "", func(it item.Item) item.Item { return it.Only("id", "seq", "g") })
	}
	m.compareParts()
	for _, index := range []string{"", "local", "global", "keys", "parts", "partkeys"} {
		m.scan(index)
	}
}

// query reads a partition: all at once, in pages, and in reverse.
func (m *model) query(index, text, hash, value, sort string, project func(item.Item) item.Item) {
	want := map[string]item.Item{}
	for at, it := range m.items {
		if v, ok := it.Get(hash); ok && v.Text == value && (sort == "" || it.Has(sort)) {
			want[at] = project(it)
		}
	}
	q := Query{Table: "t", Index: index, Key: keyCondition(m.t, text, ":k", value)}
	whole := m.pages(q)
	m.same(fmt.Sprintf("query %q of %q", value, index), whole, want)
	for i := 1; i < len(whole) && sort != ""; i++ {
		a, _ := whole[i-1].Get(sort)
		b, _ := whole[i].Get(sort)
		if cmp, _ := a.Compare(b); cmp > 0 {
			m.t.Fatalf("query %q of %q: got %v before %v", value, index, whole[i-1], whole[i])
		}
	}
	for range 2 {
		paged, back := q, q
		paged.Limit, back.Limit, back.Reverse = 1+m.rnd.IntN(5), 1+m.rnd.IntN(5), true
		if got := m.pages(paged); !reflect.DeepEqual(got, whole) {
			m.t.Fatalf("query %q of %q in pages of %d: got %v; want %v", value, index, paged.Limit, got, whole)
		}
		got := m.pages(back)
		slices.Reverse(got)
		if !reflect.DeepEqual(got, whole) {
			m.t.Fatalf("query %q of %q in reverse: got %v; want %v", value, index, got, whole)
		}
	}
}

func (m *model) pages(q Query) (all []item.Item) {
	for {
		page, err := m.s.Query(context.Background(), q)
		if err != nil {
			m.t.Fatalf("query %+v: %v", q, err)
		}
		all = append(all, page.Items...)
		if q.Start = page.Last; q.Start == nil {
			return all
		}
	}
}

// scan reads all: at once, and in segments and pages.
func (m *model) scan(index string) {
	want := map[string]item.Item{}
	for at, it := range m.items {
		switch has := it.Has; {
		case index == "local" && has("l"):
			want[at] = it.Only("id", "seq", "l", "h")
		case index == "parts" && has("g") && has("h") && has("l"):
			want[at] = it
		case index == "partkeys" && has("g") && has("h") && has("l"):
			want[at] = it.Only("id", "seq", "g", "h", "l")
		case index == "keys" && has("g"):
			want[at] = it.Only("id", "seq", "g")
		case index == "" || index == "global" && has("g") && has("h"):
			want[at] = it
		}
	}
	segments := 1 + m.rnd.IntN(7)
	var all []item.Item
	for segment := range segments {
		q := Scan{Table: "t", Index: index, Segment: segment, Segments: segments, Limit: m.rnd.IntN(9)}
		for {
			page, err := m.s.Scan(context.Background(), q)
			if err != nil {
				m.t.Fatalf("scan %+v: %v", q, err)
			}
			all = append(all, page.Items...)
			if q.Start = page.Last; q.Start == nil {
				break
			}
		}
	}
	m.same(fmt.Sprintf("scan of %q in %d segments", index, segments), all, want)
}

func (m *model) same(what string, got []item.Item, want map[string]item.Item) {
	m.t.Helper()
	if len(got) != len(want) {
		m.t.Fatalf("%s: got %d items; want %d", what, len(got), len(want))
	}
	for _, it := range got {
		if !it.Equal(want[place(it)]) {
			m.t.Fatalf("%s: got %v; want %v", what, it, want[place(it)])
		}
	}
}
