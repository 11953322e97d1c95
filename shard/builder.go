package shard

import "context"

// A builder writes keys into sorted tables beside the database, each greater than the one before,
// and gives each table to the database when it is full, which doesn't copy it. So much can be
// written with little memory, and without Pebble's log. After an error nothing more can be done
// with it but abandon.
type builder struct {
	ctx     context.Context
	doing   string // for the log
	written int64  // bytes of keys and values in tables that were given to the database
	files   tableFiles
}

// set adds a key.
func (b *builder) set(key, value []byte) error {
	if b.files.table == nil {
		if err := b.files.begin(); err != nil {
			return b.fault(err)
		}
	}
	if err := b.files.set(key, value); err != nil {
		return b.fault(err)
	}
	if b.files.full() {
		return b.finish()
	}
	return nil
}

// finish gives the table to the database, if one was begun. The next key may be less than the last.
func (b *builder) finish() error {
	if b.files.table == nil {
		return nil
	}
	defer b.files.remove() // unless the database has taken it
	if err := b.files.end(); err != nil {
		return b.fault(err)
	}
	if err := b.files.store.engine.db.Ingest(b.ctx, b.files.paths); err != nil {
		return b.fault(err)
	}
	b.files.paths = nil
	b.written += int64(b.files.bytes)
	return nil
}

func (b *builder) fault(err error) error { return b.files.store.engine.fault(b.doing, err) }

// abandon removes a table that was begun.
func (b *builder) abandon() { b.files.remove() }
