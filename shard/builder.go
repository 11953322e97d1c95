package shard

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A builder writes keys into sorted tables beside the database, each greater than the one before,
// and gives each table to the database when it is full, which doesn't copy it. So much can be
// written with little memory, and without Pebble's log. After an error nothing more can be done
// with it but abandon.
type builder struct {
	ctx     context.Context
	store   *Store
	doing   string // for the log
	written int64  // bytes of keys and values in tables that were given to the database

	path  string          // of the table
	table *sstable.Writer // nil: there is none
	bytes int             // of keys and values in it
}

// set adds a key.
func (b *builder) set(key, value []byte) error {
	if b.table == nil {
		if err := b.begin(); err != nil {
			return b.store.engine.fault(b.doing, err)
		}
	}
	if err := b.table.Set(key, value); err != nil {
		return b.store.engine.fault(b.doing, err)
	}
	b.bytes += len(key) + len(value)
	if b.bytes >= b.store.tableBytes {
		return b.finish()
	}
	return nil
}

// begin begins a table.
func (b *builder) begin() error {
	b.path = b.store.engine.fs.PathJoin(b.store.dir, buildDir, fmt.Sprintf("%d"+tableSuffix, b.store.builds.Add(1)))
	f, err := b.store.engine.fs.Create(b.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	options := b.store.engine.options.MakeWriterOptions(bottomLevel, b.store.engine.db.TableFormat())
	b.table = sstable.NewWriter(objstorageprovider.NewFileWritable(f), options)
	return nil
}

// finish gives the table to the database, if one was begun. The next key may be less than the last.
func (b *builder) finish() error {
	if b.table == nil {
		return nil
	}
	table := b.table
	b.table = nil
	if err := table.Close(); err != nil {
		_ = b.store.engine.fs.Remove(b.path)
		return b.store.engine.fault(b.doing, err)
	}
	if !b.store.space.hasSpace() {
		_ = b.store.engine.fs.Remove(b.path)
		return errFull()
	}
	if err := b.store.engine.db.Ingest(b.ctx, []string{b.path}); err != nil {
		return b.store.engine.fault(b.doing, err)
	}
	b.written += int64(b.bytes)
	b.bytes = 0
	return nil
}

// abandon removes a table that was begun.
func (b *builder) abandon() {
	if b.table != nil {
		_ = b.table.Close()
		_ = b.store.engine.fs.Remove(b.path)
		b.table = nil
	}
}
