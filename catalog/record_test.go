package catalog

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/item"
	"holdfast/shard"
)

// The form on disk: what an older program has written must be read for ever.
func TestRecordForm(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	id, g := item.KeyAttr{Name: "id", Type: item.S}, item.KeyAttr{Name: "g", Type: item.N}
	r := &Table{Version: version, NextIndex: 3, Shards: []Part{{ID: 7}, {ID: 8, Start: 1 << 63}}, Since: at,
		FillTTL: true,
		Streams: []Stream{{Label: "2026-01-02T03:04:05.006", View: NewImage, Created: at,
			First: []holdfast.Position{{Index: 4}, {Index: 9, N: 2}}}},
		Copy: &Copying{At: at, Table: "source"},
		Table: Description{
			Definition: Definition{Name: "users", Key: item.KeySchema{Hash: id}, Throughput: Throughput{Read: 5, Write: 6},
				Stream: NewImage,
				Tags:   map[string]string{"env": "test"}, Class: "STANDARD"},
			ID: "0b3b8c9e-2f6d-4d53-9c79-3f0c8a6f2d11", Status: Creating, Created: at,
			Indexes: []IndexDescription{{IndexDefinition: IndexDefinition{Index: item.Index{ID: 2, Name: "by-g",
				Key:     item.KeySchema{Hash: g, Range: id}.Index(),
				Project: item.ProjectSome, Attrs: []string{"x"}}, Throughput: Throughput{Read: 1, Write: 2}}, Status: Creating,
				Backfilling: true}},
			StreamLabel: "2026-01-02T03:04:05.006", StreamOn: true, TTL: TTL{Attr: "expires", On: true},
			Restored: &Restored{At: at, SourceTable: "source", InProgress: true}, Attributes: []item.KeyAttr{id, g},
		},
	}
	got := encode("table/users", r)
	golden := filepath.Join("testdata", "record.json")
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(golden, append(got.Value, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Value)+"\n" != string(want) {
		t.Errorf("got %s; want %s", got.Value, want)
	}
	var back Table
	if err := decode(shard.Record{Name: "table/users", Value: want}, &back); err != nil {
		t.Fatal(err)
	}
	if again := encode("table/users", back); string(again.Value) != string(got.Value) {
		t.Errorf("read and written again: got %s; want %s", again.Value, got.Value)
	}
}

func TestRecordOfALaterVersionIsRefused(t *testing.T) {
	for _, v := range []any{&Table{}, &Backup{}, &Removed{}, &nextIDs{}} {
		err := decode(shard.Record{Name: "table/x", Value: []byte(`{"Version":3}`)}, v)
		if !errors.Is(err, holdfast.Corrupt) || !strings.Contains(err.Error(), "version 3, but this program knows up to ") {
			t.Errorf("%T: got %v; want %v", v, err, holdfast.Corrupt)
		}
	}
	err := decode(shard.Record{Name: "next", Value: []byte(`{"Version":2}`)}, &nextIDs{})
	if !errors.Is(err, holdfast.Corrupt) {
		t.Errorf("got %v; want %v", err, holdfast.Corrupt)
	}
	if err := decode(shard.Record{Name: "table/x", Value: []byte(`{`)}, &Table{}); !errors.Is(err, holdfast.Corrupt) {
		t.Errorf("got %v; want %v", err, holdfast.Corrupt)
	}
}

// An index with several attributes in a part of its key has another form.
func TestMultiKeyRecordForm(t *testing.T) {
	golden, err := os.ReadFile(filepath.Join("testdata", "record-multikey.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rec Table
	if err := decode(shard.Record{Name: "table/users", Value: golden}, &rec); err != nil {
		t.Fatal(err)
	}
	if got := rec.encoded(); string(got.Value)+"\n" != string(golden) {
		t.Errorf("got %s; want %s", got.Value, golden)
	}
	want := item.IndexKey{Hash: []item.KeyAttr{{Name: "a", Type: item.S}, {Name: "b", Type: item.N}},
		Range: []item.KeyAttr{{Name: "c", Type: item.B}}}
	if got := rec.Table.Indexes[0].Index.Key; !reflect.DeepEqual(got, want) {
		t.Errorf("got key %v; want %v", got, want)
	}
}

// What a change does to a copy of a record isn't seen in the record: requests and jobs have that
// still.
func TestCloneIsIndependent(t *testing.T) {
	restored, id := Restored{SourceTable: "source"}, item.KeySchema{Hash: item.KeyAttr{Name: "id", Type: item.S}}
	r := &Table{
		Shards:  []Part{{ID: 1}},
		Streams: []Stream{{Label: "a"}},
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
	c.Streams[0].Last = []holdfast.Position{{Index: 1}}
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
