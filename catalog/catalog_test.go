package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"holdfast"
	"holdfast/item"
	"holdfast/shard"
)

// A memoryDisk is records in memory. It refuses to save while err is set.
type memoryDisk struct {
	values map[string]string
	err    error
}

func (d *memoryDisk) Records(prefix string) (all []shard.Record, err error) {
	for _, name := range slices.Sorted(maps.Keys(d.values)) {
		if strings.HasPrefix(name, prefix) {
			all = append(all, shard.Record{Name: name, Value: []byte(d.values[name])})
		}
	}
	return all, nil
}

func (d *memoryDisk) SaveRecords(_ context.Context, records []shard.Record, _ bool) error {
	if d.err != nil {
		return d.err
	}
	for _, r := range records {
		delete(d.values, r.Name)
		if r.Value != nil {
			d.values[r.Name] = string(r.Value)
		}
	}
	return nil
}

func openCatalog(t testing.TB, d *memoryDisk) *Catalog {
	t.Helper()
	c, err := Open(d)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// randomRevision returns a revision that puts and removes some entries of few names. The disk may
// refuse to draw IDs for it.
func randomRevision(rng *rand.Rand, c *Catalog) (v Revision, err error) {
	is := c.Contents()
	name := func() string { return fmt.Sprint("n", rng.IntN(4)) }
	for range 1 + rng.IntN(3) {
		switch rng.IntN(6) {
		case 0:
			r := &Table{Table: Description{Definition: Definition{Name: name(), Class: fmt.Sprint(rng.Uint64())}}}
			if r.Space, r.Shards, err = c.NewSpace(context.Background(), Even(1+rng.IntN(40))); err != nil {
				return v, err
			}
			v.Put = append(v.Put, r)
		case 1:
			b := &Backup{Backup: BackupDescription{ID: name(), Items: rng.Int64()}}
			if b.Space, b.Shards, err = c.NewSpace(context.Background(), Even(1)); err != nil {
				return v, err
			}
			v.Put = append(v.Put, b)
		case 2:
			v.Put = append(v.Put, &Removed{ID: name(), Indexes: []uint32{rng.Uint32()}})
		case 3:
			if r := is.Tables[name()]; r != nil {
				v.Remove = append(v.Remove, r)
			}
		case 4:
			if b := is.Backups[name()]; b != nil {
				v.Remove = append(v.Remove, b)
			}
		case 5:
			if r := is.Removed[name()]; r != nil {
				v.Remove = append(v.Remove, r)
			}
		}
	}
	return v, nil
}

// describe returns contents as text: what their records would be.
func describe(c Contents) string {
	v := Revision{next: c.Next}
	for _, name := range slices.Sorted(maps.Keys(c.Tables)) {
		v.Put = append(v.Put, c.Tables[name])
	}
	for _, id := range slices.Sorted(maps.Keys(c.Backups)) {
		v.Put = append(v.Put, c.Backups[id])
	}
	for _, id := range slices.Sorted(maps.Keys(c.Removed)) {
		v.Put = append(v.Put, c.Removed[id])
	}
	var b strings.Builder
	for _, r := range v.records() {
		fmt.Fprintf(&b, "%s %s\n", r.Name, r.Value)
	}
	return b.String()
}

// Whatever the revisions, and whichever of them the disk refuses: the contents are what a start
// would read, contents that were read before stay as they were, and no ID is given twice.
func TestContentsAreWhatIsOnDisk(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 1))
		disk := &memoryDisk{values: map[string]string{"token/x": "another's"}}
		c := openCatalog(t, disk)
		given := map[holdfast.ShardID]bool{0: true}
		for step := range 60 {
			if rng.IntN(8) == 0 {
				c = openCatalog(t, disk)
			}
			disk.err = nil
			if rng.IntN(3) == 0 {
				disk.err = errors.New("refused")
			}
			v, err := randomRevision(rng, c)
			for _, id := range drawn(v) {
				if given[id] {
					t.Fatalf("seed %d, step %d: got ID %d again", seed, step, id)
				}
				given[id] = true
			}
			before, text := c.Contents(), describe(c.Contents())
			if err == nil {
				err = c.Update(context.Background(), v)
			}
			if err != disk.err {
				t.Fatalf("seed %d, step %d: got %v; want %v", seed, step, err, disk.err)
			}
			if got := describe(before); got != text {
				t.Fatalf("seed %d, step %d: contents that were read have changed: got %s; want %s", seed, step, got, text)
			}
			if got := describe(c.Contents()); err != nil && got != text {
				t.Fatalf("seed %d, step %d: a refused revision has changed the contents: got %s; want %s", seed, step, got, text)
			}
			if got, want := describe(c.Contents()), describe(openCatalog(t, disk).Contents()); got != want {
				t.Fatalf("seed %d, step %d: got\n%s; want what is on disk:\n%s", seed, step, got, want)
			}
		}
	}
}

// drawn returns the IDs of a revision's spaces and shards.
func drawn(v Revision) (all []holdfast.ShardID) {
	add := func(space holdfast.SpaceID, shards []Shard) {
		all = append(all, holdfast.ShardID(space))
		for _, s := range shards {
			all = append(all, s.ID)
		}
	}
	for _, e := range v.Put {
		switch e := e.(type) {
		case *Table:
			add(e.Space, e.Shards)
		case *Backup:
			add(e.Space, e.Shards)
		}
	}
	return all
}

// An entry that a revision removes and puts is there afterwards.
func TestRevisionRemovesFirst(t *testing.T) {
	old, next := &Table{Table: Description{ID: "old"}}, &Table{Table: Description{ID: "new"}}
	disk := &memoryDisk{values: map[string]string{}}
	c := openCatalog(t, disk)
	for _, v := range []Revision{{Put: []Entry{old}}, {Put: []Entry{next}, Remove: []Entry{old}}} {
		if err := c.Update(context.Background(), v); err != nil {
			t.Fatal(err)
		}
	}
	for what, is := range map[string]Contents{"in memory": c.Contents(), "on disk": openCatalog(t, disk).Contents()} {
		if r := is.Tables[""]; r == nil || r.Table.ID != "new" {
			t.Errorf("%s: got %v; want the new table", what, r)
		}
	}
}

// Each key is in one of the ranges, and they are about equally large.
func TestEvenRanges(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 7, 64, 1000} {
		all := Even(n)
		if len(all) != n || len(all[0].From) > 0 || len(all[n-1].To) > 0 {
			t.Fatalf("%d ranges: got %d, from %x to %x; want all keys", n, len(all), all[0].From, all[n-1].To)
		}
		for i := 1; i < n; i++ {
			first, mean := all[i].FirstHash(), math.MaxUint64/float64(n)*float64(i)
			if first%(1<<48) != 0 || math.Abs(float64(first)-mean) > 1<<48 || first <= all[i-1].FirstHash() {
				t.Errorf("%d ranges: got the cut %x; want it rising, a multiple of 2^48 near %x", n, first, uint64(mean))
			}
			if !bytes.Equal(all[i-1].To, all[i].From) {
				t.Errorf("%d ranges: got %x and %x; want no gap", n, all[i-1].To, all[i].From)
			}
		}
	}
}

// The tools that check a directory and recover one get the schemas and names of its shards.
func TestSchemasAndNames(t *testing.T) {
	id := item.KeySchema{Hash: item.KeyAttr{Name: "id", Type: item.S}}
	table := func(name string, shard holdfast.ShardID, change func(*Table)) *Table {
		r := &Table{Shards: []Shard{{ID: shard}}, Table: Description{Definition: Definition{Name: name, Key: id}}}
		change(r)
		return r
	}
	disk := &memoryDisk{values: map[string]string{}}
	c := openCatalog(t, disk)
	err := c.Update(context.Background(), Revision{Put: []Entry{
		table("plain", 1, func(r *Table) { r.Table.TTL = TTL{Attr: "until", On: true} }),
		table("filling", 2, func(r *Table) { r.Table.TTL, r.FillTTL = TTL{Attr: "until", On: true}, true }),
		table("copied", 3, func(r *Table) { r.Copy = &Copying{Table: "plain"} }),
		&Removed{ID: "a", Name: "gone", Key: id, Shards: []Shard{{ID: 4}}, Streams: []Stream{{}}},
		&Removed{ID: "b", Shards: []Shard{{ID: 5}}},
		&Backup{Backup: BackupDescription{ID: "c", Name: "saved", Table: Description{Definition: Definition{Key: id}}},
			Shards: []Shard{{ID: 6}}},
		&Backup{Backup: BackupDescription{ID: "d", Name: "begun"}, Shards: []Shard{{ID: 7}}, Copy: &Copying{}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	names, err := namesOf(disk)
	want := map[holdfast.ShardID]string{1: "table plain", 2: "table filling", 3: "table copied", 4: "removed gone",
		5: "removed backup", 6: "backup saved", 7: "backup begun"}
	if err != nil || !maps.Equal(names, want) {
		t.Errorf("got names %v, %v; want %v", names, err, want)
	}
	schemas, err := schemasOf(disk)
	if got := slices.Sorted(maps.Keys(schemas)); err != nil || !slices.Equal(got, []holdfast.ShardID{1, 2, 4, 6}) {
		t.Errorf("got schemas of %v, %v; want those of shards that are complete and stay", got, err)
	}
	if schemas[1].TTL != "until" || schemas[2].TTL != "" || schemas[4].Key != id || schemas[6].Key != id {
		t.Errorf("got %+v; want an expiry queue in shard 1 alone, and everybody's key", schemas)
	}
}
