package catalog

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"holdfast"
	"holdfast/item"
	"holdfast/shard"
)

// What older programs have written is read for ever, and gets the present form; what has that form
// is written as it was read. UPDATE=1 writes the files of the present form.
func TestRecordForms(t *testing.T) {
	for _, c := range []struct {
		old, present string
		entry        func() formEntry
	}{
		{"table-1.json", "table-3.json", func() formEntry { return &Table{} }},
		{"table-2.json", "table-multikey-3.json", func() formEntry { return &Table{} }},
		{"removed-1.json", "removed-3.json", func() formEntry { return &Removed{} }},
		{"backup-1.json", "backup-3.json", func() formEntry { return &Backup{} }},
	} {
		read := func(name string) shard.Record {
			t.Helper()
			text, err := os.ReadFile(filepath.Join("testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			e := c.entry()
			if err := decode(shard.Record{Name: name, Value: text}, e); err != nil {
				t.Fatal(err)
			}
			return e.encoded()
		}
		upgraded := read(c.old)
		path := filepath.Join("testdata", c.present)
		if os.Getenv("UPDATE") != "" {
			if err := os.WriteFile(path, append(upgraded.Value, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(upgraded.Value)+"\n" != string(want) {
			t.Errorf("%s: got %s; want %s", c.old, upgraded.Value, want)
		}
		if again := read(c.present); string(again.Value)+"\n" != string(want) {
			t.Errorf("%s: got %s; want it as it is, %s", c.present, again.Value, want)
		}
	}
}

type formEntry interface {
	Entry
	form
}

// In a record of an older form, shards and streams go together by place. Now each shard has its
// range, and each position its shard.
func TestOlderRecordIsUpgraded(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "removed-1.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r Removed
	if err := decode(shard.Record{Name: "removed/x", Value: text}, &r); err != nil {
		t.Fatal(err)
	}
	cut := []byte{0x80, 0, 0, 0, 0, 0, 0, 0}
	want := []Shard{{ID: 7, Range: Range{To: cut}}, {ID: 8, Range: Range{From: cut}}}
	if !reflect.DeepEqual(r.Shards, want) {
		t.Errorf("got shards %v; want %v", r.Shards, want)
	}
	type positions = map[holdfast.ShardID]holdfast.Position
	first, last := positions{7: {Index: 4}, 8: {Index: 9, N: 2}}, positions{7: {Index: 6}, 8: {Index: 9, N: 2}}
	if st := r.Streams[0]; r.Space != 7 || !maps.Equal(st.First, first) || !maps.Equal(st.Last, last) {
		t.Errorf("got space %d, a stream from %v to %v; want 7, %v, %v", r.Space, st.First, st.Last, first, last)
	}
	short := strings.Replace(string(text), `{"Index":4,"N":0},`, "", 1)
	err = decode(shard.Record{Name: "removed/x", Value: []byte(short)}, &Removed{})
	if !errors.Is(err, holdfast.Corrupt) {
		t.Errorf("a stream without a position of each shard: got %v; want %v", err, holdfast.Corrupt)
	}
}

func TestRecordOfALaterVersionIsRefused(t *testing.T) {
	for _, v := range []form{&Table{}, &Backup{}, &Removed{}, &nextIDs{}} {
		for _, value := range []string{`{"Version":4}`, `{"Version":0}`, `{}`, `{`} {
			err := decode(shard.Record{Name: "table/x", Value: []byte(value)}, v)
			if !errors.Is(err, holdfast.Corrupt) {
				t.Errorf("%T %s: got %v; want %v", v, value, err, holdfast.Corrupt)
			}
			if value == `{"Version":4}` && !strings.Contains(err.Error(), "version 4, but this program knows up to ") {
				t.Errorf("%T: got %v; want it to say the versions", v, err)
			}
		}
	}
	if err := decode(shard.Record{Name: "next", Value: []byte(`{"Version":2}`)}, &nextIDs{}); err == nil {
		t.Error("next of version 2: got no error; want one")
	}
}

// What a change does to a copy of a record isn't seen in the record: requests and jobs have that
// still.
func TestCloneIsIndependent(t *testing.T) {
	restored, id := Restored{SourceTable: "source"}, item.KeySchema{Hash: item.KeyAttr{Name: "id", Type: item.S}}
	r := &Table{
		Shards:  []Shard{{ID: 1}},
		Streams: []Stream{{Label: "a", Last: map[holdfast.ShardID]holdfast.Position{2: {Index: 1}}}},
		Table: Description{
			Definition: Definition{Name: "t", Key: id, Tags: map[string]string{"k": "v"}},
			Attributes: []item.KeyAttr{{Name: "id", Type: item.S}},
			Indexes:    []IndexDescription{{IndexDefinition: IndexDefinition{Index: item.Index{Name: "x", Key: id.Index()}}}},
			Restored:   &restored,
		},
	}
	before := text(r)
	c := r.Clone()
	c.Table.Tags["k"], c.Table.Name = "other", "other"
	c.Table.Attributes[0].Type = item.N
	c.Table.Indexes[0].Status = Deleting
	c.Table.Restored.InProgress = true
	c.Streams[0].Last[1] = holdfast.Position{Index: 1}
	c.Streams[0].Label = "b"
	c.Table.Indexes = append(c.Table.Indexes, c.Table.Indexes[0])
	if got := text(r); got != before {
		t.Errorf("got %s; want it unchanged: %s", got, before)
	}
}

func text(v any) string {
	p, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(p)
}
