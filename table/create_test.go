package table

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
)

func TestCreateAndDescribe(t *testing.T) {
	r := newRig(t, Options{ShardsPerTable: 3})
	d, attributes := users("users")
	d.Tags = map[string]string{"env": "test"}
	response, err := r.Create(context.Background(), d, attributes)
	if err != nil {
		t.Fatal(err)
	}
	if response.Status != catalog.Creating || response.Indexes[0].Status != catalog.Creating {
		t.Errorf("response: got status %d, index %d; want both Creating", response.Status, response.Indexes[0].Status)
	}
	for n := range 50 {
		r.put("users", user(n)) // usable at once
	}
	_, err = r.Remove(context.Background(), "users")
	wantError(t, err, holdfast.Exists, "Attempt to change a resource which is still in use: Table is being created: users")
	_, err = r.Create(context.Background(), d, attributes)
	wantError(t, err, holdfast.Exists, "Table already exists: users")

	check := func() {
		t.Helper()
		got := r.describe("users")
		if got.Status != catalog.Active || got.ID != response.ID || got.Items != 50 || got.ItemBytes == 0 ||
			got.Tags["env"] != "test" {
			t.Errorf("got %+v; want it active with 50 items, ID %s and its tag", got, response.ID)
		}
		if x := got.Indexes[0]; x.Status != catalog.Active || x.Items != 50 || x.Backfilling {
			t.Errorf("index: got %+v; want it active with 50 items", x)
		}
		if !slices.Equal(got.Attributes, attributes) {
			t.Errorf("attributes: got %v; want %v", got.Attributes, attributes)
		}
		l, _ := r.tables.serving("users")
		for i, sh := range l.shards {
			if sh.Counts().Items == 0 {
				t.Errorf("shard %d of 3 has no items of 50", i)
			}
		}
		r.checkIndexes("users")
	}
	check()
	r.crash()
	check()
	if _, err := r.Remove(context.Background(), "users"); err != nil {
		t.Error(err)
	}
}

func TestCreateRefuses(t *testing.T) {
	id, a, b := item.KeyAttr{Name: "id", Type: item.S}, item.KeyAttr{Name: "a", Type: item.S},
		item.KeyAttr{Name: "b", Type: item.N}
	index := func(name string, local bool, key item.KeySchema) catalog.IndexDefinition {
		return catalog.IndexDefinition{
			Index: item.Index{Name: name, Local: local, Key: key.Index(), Project: item.ProjectAll},
		}
	}
	var many []catalog.IndexDefinition
	for i := range 21 {
		many = append(many, index(fmt.Sprintf("index%d", i), false, item.KeySchema{Hash: a}))
	}
	for _, c := range []struct {
		d          catalog.Definition
		attributes []item.KeyAttr
		want       string
	}{
		{catalog.Definition{Key: item.KeySchema{Hash: id, Range: a}}, []item.KeyAttr{id, b},
			"One or more parameter values were invalid: Some index key attributes are not defined in AttributeDefinitions. " +
				"Keys: [id, a], AttributeDefinitions: [id, b]"},
		{catalog.Definition{Key: item.KeySchema{Hash: id}}, []item.KeyAttr{id, b},
			"One or more parameter values were invalid: Some AttributeDefinitions are not used. AttributeDefinitions: [id, " +
				"b], keys used: [id]"},
		{catalog.Definition{Key: item.KeySchema{Hash: id}, Indexes: []catalog.IndexDefinition{
			index("x", false, item.KeySchema{Hash: a}),
			index("x", false, item.KeySchema{Hash: a})}},
			[]item.KeyAttr{id, a}, "One or more parameter values were invalid: Duplicate index name: x"},
		{catalog.Definition{Key: item.KeySchema{Hash: id, Range: b}, Indexes: []catalog.IndexDefinition{index("x", true,
			item.KeySchema{Hash: a, Range: b})}},
			[]item.KeyAttr{id, a, b}, "One or more parameter values were invalid: Index KeySchema does not have the same " +
				"leading hash key as table " +
				"KeySchema for index: x. index hash key: a, table hash key: id"},
		{catalog.Definition{Key: item.KeySchema{Hash: id}, Indexes: many}, []item.KeyAttr{id, a},
			"One or more parameter values were invalid: GlobalSecondaryIndex count exceeds the per-table limit of 20"},
	} {
		_, err := catalog.NewTable(c.d, c.attributes, catalog.Active, time.Unix(0, 0))
		wantError(t, err, holdfast.Invalid, c.want)
	}
}

func TestList(t *testing.T) {
	r := newRig(t, Options{})
	for _, name := range []string{"bbb", "aaa", "ddd", "ccc"} {
		d, attributes := users(name)
		r.create(d, attributes)
	}
	for _, c := range []struct {
		after string
		limit int
		want  string
		more  bool
	}{
		{"", 100, "[aaa bbb ccc ddd]", false}, {"", 2, "[aaa bbb]", true}, {"bbb", 2, "[ccc ddd]", false},
		{"bz", 1, "[ccc]", true}, {"zzz", 5, "[]", false},
	} {
		if got, more := r.List(c.after, c.limit); fmt.Sprint(got) != c.want || more != c.more {
			t.Errorf("List(%q, %d): got %v, more %v; want %s, more %v", c.after, c.limit, got, more, c.want, c.more)
		}
	}
}
