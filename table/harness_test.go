package table

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/catalog"
	"holdfast/item"
	"holdfast/shard"
)

// A clock is a time that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// openMemory returns a store on a memory disk. Its clock stands still.
func openMemory(t testing.TB, o Options) (*Store, *clock) {
	t.Helper()
	at := &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	disk, err := shard.Open(shard.Options{Dir: "data", FS: vfs.NewMem(), Now: at.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = disk.Close() })
	o.Disk, o.Now = disk, at.Now
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, at
}

// indexed is a table with a sort key, a local index of some attributes, and a global index of all
// and one of keys.
func indexed(name string) (catalog.Definition, []item.KeyAttr) {
	id, seq := item.KeyAttr{Name: "id", Type: item.S}, item.KeyAttr{Name: "seq", Type: item.N}
	l, g, h := item.KeyAttr{Name: "l", Type: item.S}, item.KeyAttr{Name: "g", Type: item.S},
		item.KeyAttr{Name: "h", Type: item.N}
	index := func(name string, local bool, key item.KeySchema, p item.Projected, attrs ...string) catalog.IndexDefinition {
		return catalog.IndexDefinition{
			Index: item.Index{Name: name, Local: local, Key: key.Index(), Project: p, Attrs: attrs},
		}
	}
	return catalog.Definition{
		Name: name,
		Key:  item.KeySchema{Hash: id, Range: seq},
		Indexes: []catalog.IndexDefinition{
			index("local", true, item.KeySchema{Hash: id, Range: l}, item.ProjectSome, "h"),
			index("global", false, item.KeySchema{Hash: g, Range: h}, item.ProjectAll),
			index("keys", false, item.KeySchema{Hash: g}, item.ProjectKeys),
		},
		Billing: catalog.OnDemand,
	}, []item.KeyAttr{id, seq, l, g, h}
}

func create(t testing.TB, s *Store, d catalog.Definition, attributes []item.KeyAttr) {
	t.Helper()
	if _, err := s.Create(context.Background(), d, attributes); err != nil {
		t.Fatal(err)
	}
}

// plain returns a table with a hash key only, named id.
func plain(name string) (catalog.Definition, []item.KeyAttr) {
	id := item.KeyAttr{Name: "id", Type: item.S}
	return catalog.Definition{Name: name, Key: item.KeySchema{Hash: id}, Billing: catalog.OnDemand}, []item.KeyAttr{id}
}

// attrs makes an item of names and values: texts, ints as numbers, and item.Value.
func attrs(pairs ...any) item.Item {
	var all []item.Attr
	for i := 0; i < len(pairs); i += 2 {
		a := item.Attr{Name: pairs[i].(string)}
		switch v := pairs[i+1].(type) {
		case string:
			a.Value = item.Text(v)
		case int:
			a.Value = number(fmt.Sprint(v))
		case item.Value:
			a.Value = v
		}
		all = append(all, a)
	}
	return item.New(all...)
}

// scope returns the scope of an expression with values, which are given as to attrs.
func scope(t testing.TB, values ...any) *item.Scope {
	t.Helper()
	var all item.Item // nil: none
	if len(values) > 0 {
		all = attrs(values...)
	}
	sc, err := item.NewScope(nil, all)
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

func condition(t testing.TB, text string, values ...any) *item.Condition {
	t.Helper()
	c, err := scope(t, values...).Condition("ConditionExpression", text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func keyCondition(t testing.TB, text string, values ...any) *item.KeyCondition {
	t.Helper()
	c, err := scope(t, values...).KeyCondition(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func update(t testing.TB, text string, values ...any) *item.Update {
	t.Helper()
	u, err := scope(t, values...).Update(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func projection(t testing.TB, text string) *item.Projection {
	t.Helper()
	p, err := scope(t).Projection(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func put(t testing.TB, s *Store, table string, its ...item.Item) {
	t.Helper()
	for _, it := range its {
		if _, err := s.Put(context.Background(), Put{Table: table, Item: it}); err != nil {
			t.Fatalf("put of %d bytes: %v", it.Size(), err)
		}
	}
}

// names returns the names of attributes.
func names(attributes []item.KeyAttr) (all []string) {
	for _, a := range attributes {
		all = append(all, a.Name)
	}
	return all
}
