package shard

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// TableFiles are sorted tables beside the database, written one after the other. A start removes them.
type tableFiles struct {
	store *Store
	paths []string // of whole tables

	path  string
	table *sstable.Writer // nil: there is none
	bytes int             // of keys and values in it
}

// begin begins a table.
func (f *tableFiles) begin() error {
	fs := f.store.engine.fs
	f.path = fs.PathJoin(f.store.dir, buildDir, fmt.Sprintf("%d"+tableSuffix, f.store.builds.Add(1)))
	file, err := fs.Create(f.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	options := f.store.engine.options.MakeWriterOptions(bottomLevel, f.store.engine.db.TableFormat())
	f.table, f.bytes = sstable.NewWriter(objstorageprovider.NewFileWritable(file), options), 0
	return nil
}

// full reports whether the next key belongs to another table.
func (f *tableFiles) full() bool { return f.table != nil && f.bytes >= f.store.tableBytes }

// set adds a key, which is greater than the one before, to the table.
func (f *tableFiles) set(key, value []byte) error {
	f.bytes += len(key) + len(value)
	return f.table.Set(key, value)
}

// end completes the table: it is on disk afterwards.
func (f *tableFiles) end() error {
	table := f.table
	f.table = nil
	if err := table.Close(); err != nil {
		_ = f.store.engine.fs.Remove(f.path)
		return err
	}
	f.paths = append(f.paths, f.path)
	if !f.store.space.hasSpace() {
		return errFull()
	}
	return nil
}

// remove removes all tables, but for those that the database has taken.
func (f *tableFiles) remove() {
	if f.table != nil {
		_ = f.table.Close()
		_ = f.store.engine.fs.Remove(f.path)
		f.table = nil
	}
	for _, path := range f.paths {
		_ = f.store.engine.fs.Remove(path)
	}
	f.paths = nil
}

// SnapshotTables are the sorted tables of a snapshot. No two have a key in common, not even a deleted
// one: so the database can take them together.
type snapshotTables struct {
	keys  keys
	spans []snapshotSpan // that aren't complete

	// whole are of spans that aren't shared: their tables delete all keys from the first to the last
	// of the span that they don't have.
	whole tableFiles
	from  []byte // where the deletion of the next table begins; nil: at the beginning of the span

	// shared are of spans that may have keys of a neighbour, and have only what is added. What else is
	// to be deleted is known when the snapshot is installed.
	shared []sharedTables
}

type sharedTables struct {
	span  snapshotSpan
	files tableFiles
}

// set adds a key, which is greater than the one before. It is in one of the spans.
func (t *snapshotTables) set(key, value []byte) error {
	for string(key) >= string(t.spans[0].upper) {
		if err := t.endSpan(); err != nil {
			return err
		}
	}
	files := t.files()
	if files.full() {
		if err := t.endTable(key); err != nil {
			return err
		}
	}
	if files.table == nil {
		if err := files.begin(); err != nil {
			return err
		}
	}
	return files.set(key, value)
}

// files returns those of the first span.
func (t *snapshotTables) files() *tableFiles {
	span := t.spans[0]
	if !span.shared {
		return &t.whole
	}
	if n := len(t.shared); n == 0 || string(t.shared[n-1].span.lower) != string(span.lower) {
		t.shared = append(t.shared, sharedTables{span: span, files: tableFiles{store: t.whole.store}})
	}
	return &t.shared[len(t.shared)-1].files
}

// endTable completes a table that ends before a key.
func (t *snapshotTables) endTable(end []byte) error {
	files := t.files()
	if !t.spans[0].shared {
		from := t.from
		if from == nil {
			from = t.spans[0].lower
		}
		if err := files.table.DeleteRange(from, end); err != nil {
			return err
		}
		t.from = slices.Clone(end)
	}
	return files.end()
}

// endSpan completes the first span.
func (t *snapshotTables) endSpan() error {
	files := t.files()
	if files.table == nil && !t.spans[0].shared {
		if err := files.begin(); err != nil {
			return err
		}
	}
	if files.table != nil {
		if err := t.endTable(t.spans[0].upper); err != nil {
			return err
		}
	}
	t.spans, t.from = t.spans[1:], nil
	return nil
}

// finish completes all spans.
func (t *snapshotTables) finish() error {
	for len(t.spans) > 0 {
		if err := t.endSpan(); err != nil {
			return err
		}
	}
	return nil
}

// remove removes all tables.
func (t *snapshotTables) remove() {
	t.whole.remove()
	for i := range t.shared {
		t.shared[i].files.remove()
	}
}

// addRest writes the tables that depend on what the shard has now: of the shared spans, and of local
// indexes that the snapshot doesn't have.
func (t *snapshotTables) addRest(to *tableFiles, k keys, slots []kind) error {
	e := to.store.engine
	for i := range t.shared {
		if err := t.shared[i].merge(to, k); err != nil {
			return e.fault("installing a snapshot", err)
		}
	}
	if k.within.From == nil && k.within.To == nil {
		return nil // all of the space is one span
	}
	here, err := e.slots(e.db, k)
	if err != nil {
		return err
	}
	for _, slot := range here {
		if slices.Contains(slots, slot) {
			continue
		}
		lower, upper := slotSpan(k, slot)
		err := to.begin()
		if err == nil {
			err = to.table.DeleteRange(lower, upper)
		}
		if err == nil {
			err = to.end()
		}
		if err != nil {
			return e.fault("installing a snapshot", err)
		}
	}
	return nil
}

// merge writes the keys of a shared span, and deletes those of the shard that are there and not among
// them.
func (s *sharedTables) merge(to *tableFiles, k keys) error {
	old, err := to.store.engine.db.NewIter(&pebble.IterOptions{LowerBound: s.span.lower, UpperBound: s.span.upper})
	if err != nil {
		return err
	}
	defer old.Close()
	old.First()
	deleteUpTo := func(key []byte) error { // nil: all
		for ; old.Valid() && (key == nil || bytes.Compare(old.Key(), key) < 0); old.Next() {
			if !ownsExpiry(k, old.Key()) {
				continue
			}
			if err := to.next(); err != nil {
				return err
			}
			to.bytes += len(old.Key())
			if err := to.table.Delete(old.Key()); err != nil {
				return err
			}
		}
		if key != nil && old.Valid() && bytes.Equal(old.Key(), key) {
			old.Next()
		}
		return old.Error()
	}
	for _, path := range s.files.paths {
		if err := eachInTable(to.store.engine, path, func(key, value []byte) error {
			if err := deleteUpTo(key); err != nil {
				return err
			}
			if err := to.next(); err != nil {
				return err
			}
			return to.set(key, value)
		}); err != nil {
			return err
		}
	}
	if err := deleteUpTo(nil); err != nil || to.table == nil {
		return err
	}
	return to.end()
}

// next makes sure that there is a table for the next key.
func (f *tableFiles) next() error {
	if f.full() {
		if err := f.end(); err != nil {
			return err
		}
	}
	if f.table == nil {
		return f.begin()
	}
	return nil
}

// eachInTable calls f with the keys of a sorted table, in order. f must keep neither key nor value.
func eachInTable(e *engine, path string, f func(key, value []byte) error) error {
	file, err := e.fs.Open(path)
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(file)
	if err != nil {
		return err
	}
	r, err := sstable.NewReader(context.Background(), readable, e.options.MakeReaderOptions())
	if err != nil {
		return err
	}
	defer r.Close()
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return err
	}
	defer it.Close()
	for kv := it.First(); kv != nil; kv = it.Next() {
		value, _, err := kv.Value(nil)
		if err != nil {
			return err
		}
		if err := f(kv.K.UserKey, value); err != nil {
			return err
		}
	}
	return it.Error()
}
