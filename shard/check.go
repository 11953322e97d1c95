package shard

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"

	"holdfast"
	"holdfast/item"
)

// A Fault is a defect on disk.
type Fault struct {
	Shard holdfast.ShardID // 0: of no shard
	Kind  string           // "file", "descriptor", "item", "entry", "expiry", "log", "lock", "group" or "count"
	Text  string
}

// Checked is how much a check has examined.
type Checked struct {
	Files, Shards, Items, Entries, Expiries, Changes, Faults int64

	Locks int64 // of transactions that were interrupted, on items
}

// Check examines a whole store that no process has open, and reports each fault. It checks
//
//   - that the directory is as it was left: no file is missing, no log ends before what was on
//     disk, none is damaged;
//   - the checksum of every block of every sorted table and blob file;
//   - that shards have descriptors, no two of them a key in common, and that there are no keys of no
//     shard;
//   - that each item can be decoded, and is at its key;
//   - that indexes and the queue of expiring items have the items' entries, and no others;
//   - that no change of the log is missing, that its tallies' time never falls, and that each change has
//     its images;
//   - that no item is locked by a transaction that has changed it;
//   - that the counts are right.
//
// If the directory isn't as it was left, the rest is checked as a recovery would leave it, if one
// is possible. Of a directory of format 1, or one that hasn't been taken over from it completely,
// only the files are checked, and the error says so. schemas returns the shards; it may read
// records, and nothing else. across, which may be nil, compares shards with each other, once each
// of them has been examined. The error is the one that ended Check early. Check needs little
// memory.
func Check(
	ctx context.Context, o Options, schemas func(*Store) (map[holdfast.ShardID]Schema, error),
	across func(context.Context, *Store, func(Fault)) error, report func(Fault),
) (Checked, error) {
	o.ReadOnly = true
	o.setDefaults()
	c := &checker{ctx: ctx, report: report}
	s, err := c.open(o)
	if err != nil || s == nil {
		return c.checked, err
	}
	c.store = s
	err = c.run(schemas)
	if err == nil && across != nil {
		err = across(ctx, s, func(f Fault) { c.fault(f.Shard, f.Kind, "%s", f.Text) })
		if c.gather(0, err) {
			err = nil
		}
	}
	if closeErr := s.Close(); err == nil {
		err = closeErr
	}
	return c.checked, err
}

// open inspects the directory and opens what a recovery would leave; nil: none is possible.
func (c *checker) open(o Options) (*Store, error) {
	if _, err := o.FS.Stat(o.Dir); err != nil {
		return nil, openFault(err)
	}
	lock, err := lockIfThere(o)
	if err != nil {
		return nil, openFault(err)
	}
	s, err := c.openLocked(o, lock)
	if s == nil && lock != nil {
		err = errors.Join(err, lock.Close())
	}
	return s, err
}

func (c *checker) openLocked(o Options, lock *pebble.Lock) (*Store, error) {
	in, err := inspect(o, lock)
	if err != nil {
		return nil, openFault(err)
	}
	for _, f := range in.faults() {
		c.fault(f.Shard, f.Kind, "%s", f.Text)
	}
	if in.unrecoverable() {
		return nil, nil
	}
	if in.state == dirEmpty || in.state == dirInitializing {
		return nil, holdfast.Errorf(holdfast.NotFound, "there are no tables yet")
	}
	c.blobs = in.blobs.all()
	s, err := in.openRemainder(in.rest())
	if err != nil {
		if c.gather(0, err) {
			err = nil
		}
		return nil, err
	}
	_, identified, err := s.identity()
	if err != nil {
		return nil, errors.Join(err, s.engine.db.Close())
	}
	if in.state == dirLegacy && identified {
		c.fault(0, "file", "%s", missingControl())
	}
	return s, nil
}

// A checker checks one store.
type checker struct {
	ctx     context.Context
	store   *Store
	blobs   []extent // its blob files
	report  func(Fault)
	checked Checked
}

func (c *checker) run(schemas func(*Store) (map[holdfast.ShardID]Schema, error)) error {
	if err := c.checkFiles(); err != nil {
		return err
	}
	if c.store.former {
		return errFormer
	}
	all, err := schemas(c.store)
	if err != nil {
		return err
	}
	for id := range all {
		if there, err := c.store.engine.hasKeys(formerKeys{id}.all()); err != nil || there {
			return cmp.Or(err, errFormer)
		}
	}
	shards, err := c.checkDescriptors()
	if err != nil {
		return err
	}
	for id, schema := range all {
		d, ok := shards[id]
		if !ok {
			c.fault(id, "descriptor", "is missing, or can't be decoded")
			continue
		}
		sh, err := c.store.Open(d, schema)
		if err != nil {
			c.fault(id, "log", "%v", err)
			continue
		}
		k := &shardCheck{checker: c, shard: sh, schema: sh.schema.Load()}
		if err := k.run(); err != nil && !c.gather(id, err) {
			return err
		}
		c.checked.Shards++
	}
	return nil
}

func (c *checker) fault(id holdfast.ShardID, kind, format string, args ...any) {
	c.checked.Faults++
	c.report(faultOf(id, kind, format, args...))
}

func faultOf(id holdfast.ShardID, kind, format string, args ...any) Fault {
	return Fault{Shard: id, Kind: kind, Text: fmt.Sprintf(format, args...)}
}

// gather reports an error as a fault if it is Corrupt, and whether it is.
func (c *checker) gather(id holdfast.ShardID, err error) bool {
	if !errors.Is(err, holdfast.Corrupt) {
		return false
	}
	c.fault(id, "file", "%v", err)
	return true
}

// checkFiles reads every block of every sorted table and blob file.
func (c *checker) checkFiles() error {
	levels, err := c.store.engine.db.SSTables()
	if err != nil {
		return c.store.engine.fault("checking", err)
	}
	for _, level := range levels {
		for _, table := range level {
			if c.ctx.Err() != nil {
				return ended(c.ctx)
			}
			name := table.BackingSSTNum.String() + tableSuffix
			if err := c.checkFile(name); err != nil {
				c.fault(0, "file", "%s: %v", name, err)
			}
			c.checked.Files++
		}
	}
	return c.checkBlobs()
}

func (c *checker) checkFile(name string) error {
	f, err := c.store.engine.fs.Open(c.store.engine.fs.PathJoin(c.store.dir, engineDir, name))
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r, err := sstable.NewReader(c.ctx, readable, c.store.engine.options.MakeReaderOptions())
	if err != nil {
		return errors.Join(err, readable.Close())
	}
	return errors.Join(r.ValidateBlockChecksums(), r.Close())
}

// A shardCheck checks one shard.
type shardCheck struct {
	*checker
	shard    *Shard
	schema   *schema
	found    tally            // of the items
	entries  map[uint32]int64 // by index: entries that were found from their items
	expiring int64            // items that were found in the queue
}

func (k *shardCheck) run() error {
	k.entries = map[uint32]int64{}
	for i := range k.schema.Indexes {
		k.found.addIndex(k.schema.Indexes[i].ID)
	}
	steps := []func() error{k.checkItems, k.checkEntries, k.checkExpiries, k.checkLog, k.checkLocks, k.checkGroup}
	if k.schema.Of != nil {
		steps = []func() error{k.checkItems, k.checkGroup} // its entries make no changes
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	k.checkCounts()
	return nil
}

func (k *shardCheck) wrong(kind, format string, args ...any) {
	k.fault(k.shard.id, kind, format, args...)
}

// each calls f with each key, without its prefix, and value between two bounds.
func (k *shardCheck) each(lower, upper []byte, prefix int, f func(key []byte, value string) error) error {
	it, err := k.store.engine.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return k.store.engine.fault("checking", err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if k.ctx.Err() != nil {
			return ended(k.ctx)
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return k.store.engine.fault("checking", err)
		}
		if err := f(bytes.Clone(it.Key()[prefix:]), string(value)); err != nil {
			return err
		}
	}
	return k.store.engine.fault("checking", it.Error())
}

// checkItems checks each item, and whether its entries are there.
func (k *shardCheck) checkItems() error {
	lower, upper := k.shard.keys.items()
	return k.each(lower, upper, k.shard.keys.itemBytes(nil), func(key []byte, value string) error {
		k.checked.Items++
		is, err := decodeImage(value)
		if err != nil {
			k.wrong("item", "%x: %v", key, err)
			return nil
		}
		it := is.item
		k.found.items++
		k.found.bytes += int64(it.Size())
		if own, err := k.schema.keyOf(it); err != nil || !bytes.Equal(own, key) {
			k.wrong("item", "%x: stands where %x should: %v", key, []byte(own), err)
		}
		for i := range k.schema.Indexes {
			if err := k.checkEntry(&k.schema.Indexes[i], key, it); err != nil {
				return err
			}
		}
		if err := k.checkMade(key, is.made); err != nil {
			return err
		}
		return k.checkExpiry(key, it)
	})
}

// checkEntry checks whether an item has its entry.
func (k *shardCheck) checkEntry(x *item.Index, key item.Key, it item.Item) error {
	entryKey, entry, ok := entryOf(x, &k.schema.Schema, it)
	if !ok {
		return nil
	}
	raw, there, err := k.store.engine.read(k.store.engine.db, k.shard.keys.appendEntry(nil, x, entryKey))
	if err != nil {
		return err
	}
	counted := k.shard.tally.index(x.ID)
	if !there {
		if !counted.filling {
			k.wrong("entry", "%x: has no entry in index %d", []byte(key), x.ID)
		}
		return nil
	}
	k.entries[x.ID]++
	found := k.found.index(x.ID)
	found.items++
	found.bytes += int64(entry.Size())
	if got, err := item.Decode(raw); err != nil || !got.Equal(entry) {
		k.wrong("entry", "%x: its entry in index %d isn't what it says: %v", []byte(key), x.ID, err)
	}
	return nil
}

func (k *shardCheck) checkExpiry(key item.Key, it item.Item) error {
	second, ok := expiry(k.schema.TTL, it)
	if !ok {
		return nil
	}
	_, there, err := k.store.engine.read(k.store.engine.db, k.shard.keys.appendExpiry(nil, second, key))
	if err != nil {
		return err
	}
	if !there {
		k.wrong("expiry", "%x: isn't in the queue of expiring items", []byte(key))
		return nil
	}
	k.expiring++
	return nil
}

// checkEntries counts the entries of the indexes. If there are more than were found from their
// items, the others have no item.
func (k *shardCheck) checkEntries() error {
	for i := range k.schema.Indexes {
		x := &k.schema.Indexes[i]
		lower, upper, prefix := k.shard.keys.span(x, item.Range{})
		there := int64(0)
		err := k.each(lower, upper, prefix, func([]byte, string) error {
			there++
			return nil
		})
		k.checked.Entries += there
		if err != nil || there == k.entries[x.ID] {
			if err != nil {
				return err
			}
			continue
		}
		if err := k.each(lower, upper, prefix, func(key []byte, value string) error {
			return k.checkStray(x, key, value)
		}); err != nil {
			return err
		}
	}
	return nil
}

// checkStray reports an entry that isn't its item's.
func (k *shardCheck) checkStray(x *item.Index, key []byte, value string) error {
	entry, err := item.Decode(value)
	if err != nil {
		k.wrong("entry", "index %d, %x: %v", x.ID, key, err)
		return nil
	}
	own, err := k.schema.Key.Key(entry)
	if err != nil {
		k.wrong("entry", "index %d, %x: %v", x.ID, key, err)
		return nil
	}
	it, err := k.shard.items.get(k.store.engine.db, own)
	if err != nil {
		return err
	}
	if want, _, ok := entryOf(x, &k.schema.Schema, it); !ok || !bytes.Equal(want, key) {
		k.wrong("entry", "index %d, %x: there is no such item", x.ID, key)
	}
	return nil
}

// checkExpiries is checkEntries for the queue of expiring items.
func (k *shardCheck) checkExpiries() error {
	if k.schema.TTL == "" {
		return nil
	}
	lower, upper := k.shard.keys.expiries()
	there := int64(0)
	err := k.each(lower, upper, 0, func(full []byte, _ string) error {
		if _, key, ok := k.shard.keys.expiryOf(full); !ok || k.shard.keys.owns(key) {
			there++
		}
		return nil
	})
	k.checked.Expiries += there
	if err != nil || there == k.expiring {
		return err
	}
	return k.each(lower, upper, 0, func(full []byte, _ string) error {
		queued, key, ok := k.shard.keys.expiryOf(full)
		if !ok {
			k.wrong("expiry", "%x: is too short", full)
			return nil
		}
		if !k.shard.keys.owns(key) {
			return nil
		}
		it, err := k.shard.items.get(k.store.engine.db, key)
		if err != nil {
			return err
		}
		if second, ok := expiry(k.schema.TTL, it); !ok || second != queued {
			k.wrong("expiry", "%x: there is no such item", []byte(key))
		}
		return nil
	})
}

func (k *shardCheck) checkCounts() {
	counted := &k.shard.tally
	if counted.items != k.found.items || counted.bytes != k.found.bytes {
		k.wrong("count", "%d items of %d bytes are counted, %d of %d are there",
			counted.items, counted.bytes, k.found.items, k.found.bytes)
	}
	for i := range k.found.indexes {
		found := &k.found.indexes[i]
		x := counted.index(found.id)
		if x.items != found.items || x.bytes != found.bytes {
			k.wrong("count", "index %d: %d entries of %d bytes are counted, %d of %d are there",
				x.id, x.items, x.bytes, found.items, found.bytes)
		}
	}
}
