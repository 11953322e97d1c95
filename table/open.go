package table

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"holdfast"
	"holdfast/shard"
)

// Open opens the tables that are on a disk, and goes on with what was under way. An error of kind Corrupt says that the
// catalog isn't what was written. The disk stays the caller's.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, err := newStore(o)
	if err != nil {
		return nil, err
	}
	s.begin()
	return s, nil
}

// newStore returns a store with its tables, of which the background work hasn't begun.
func newStore(o Options) (*Store, error) {
	s := &Store{
		disk: o.Disk, shardsPerTable: max(1, o.ShardsPerTable), throttle: o.Throttle, log: o.Log, now: o.Now,
		catalog: map[string]*record{}, removed: map[string]*removed{}, backups: map[string]*backup{}, next: 1,
		background: background{woken: make(chan struct{}, 1), filled: map[string]progress{}},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.tables.Store(&tableSet{byName: map[string]*live{}})
	return s, s.load()
}

// Close ends the background work. What was under way goes on after the next Open.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if !closed {
		s.end()
	}
	return nil
}

// load reads the catalog and opens all shards.
func (s *Store) load() error {
	if err := s.loadNext(); err != nil {
		return err
	}
	if err := each(s.disk, tablePrefix, s.loadTable); err != nil {
		return err
	}
	if err := each(s.disk, removedPrefix, s.loadRemoved); err != nil {
		return err
	}
	return each(s.disk, backupPrefix, func(b *backup) error {
		s.backups[b.Backup.ID] = b
		return nil
	})
}

func (s *Store) loadNext() error {
	value, ok, err := s.disk.Record(nextName)
	if err != nil || !ok {
		return err
	}
	var ids nextIDs
	err = decode(shard.Record{Name: nextName, Value: value}, &ids)
	s.next = ids.Shard
	return err
}

func (s *Store) loadTable(r *record) error {
	s.catalog[r.Table.Name] = r
	shards, err := s.openShards(r)
	if err != nil {
		return err
	}
	s.publish(s.newLive(r, shards))
	return nil
}

func (s *Store) loadRemoved(r *removed) (err error) {
	s.removed[r.ID] = r
	if len(r.Streams) > 0 {
		r.open, err = s.openParts(r.Shards, shard.Schema{Key: r.Key})
	}
	return err
}

// openShards opens the shards of a table; none while they are being copied.
func (s *Store) openShards(r *record) ([]*shard.Shard, error) {
	if r.Copy != nil {
		return nil, nil
	}
	return s.openParts(r.Shards, r.schema())
}

func (s *Store) openParts(parts []part, schema shard.Schema) ([]*shard.Shard, error) {
	shards := make([]*shard.Shard, len(parts))
	for i, p := range parts {
		sh, err := s.disk.Open(p.ID, schema)
		if err != nil {
			return nil, err
		}
		shards[i] = sh
	}
	return shards, nil
}

// each decodes the records whose names begin with prefix.
func each[T any](disk *shard.Store, prefix string, do func(*T) error) error {
	records, err := disk.Records(prefix)
	if err != nil {
		return err
	}
	for _, r := range records {
		v := new(T)
		if err := decode(r, v); err != nil {
			return err
		}
		if err := do(v); err != nil {
			return err
		}
	}
	return nil
}

// Schemas returns the schemas of the shards that the catalog on a disk names, for shard.Check. Shards that are being copied, or are to
// go, are left out.
func Schemas(disk *shard.Store) (map[holdfast.ShardID]shard.Schema, error) {
	all := map[holdfast.ShardID]shard.Schema{}
	add := func(parts []part, schema shard.Schema) {
		for _, p := range parts {
			all[p.ID] = schema
		}
	}
	err := each(disk, tablePrefix, func(r *record) error {
		if schema := r.schema(); r.Copy == nil {
			if r.FillTTL {
				schema.TTL = "" // the queue needn't agree with the items yet
			}
			add(r.Shards, schema)
		}
		return nil
	})
	if err == nil {
		err = each(disk, removedPrefix, func(r *removed) error {
			if len(r.Streams) > 0 {
				add(r.Shards, shard.Schema{Key: r.Key})
			}
			return nil
		})
	}
	if err == nil {
		err = each(disk, backupPrefix, func(b *backup) error {
			if b.Copy == nil {
				add(b.Shards, shard.Schema{Key: b.Backup.Table.Key})
			}
			return nil
		})
	}
	return all, err
}

// Names returns what the catalog on a disk calls each of its shards, for shard.Recover: those that are being copied, or are to go, too.
func Names(disk *shard.Store) (map[holdfast.ShardID]string, error) {
	all := map[holdfast.ShardID]string{}
	add := func(parts []part, name string) {
		for _, p := range parts {
			all[p.ID] = name
		}
	}
	err := each(disk, tablePrefix, func(r *record) error {
		add(r.Shards, "table "+r.Table.Name)
		return nil
	})
	if err == nil {
		err = each(disk, removedPrefix, func(r *removed) error {
			add(r.Shards, "removed "+cmp.Or(r.Name, "backup"))
			return nil
		})
	}
	if err == nil {
		err = each(disk, backupPrefix, func(b *backup) error {
			add(b.Shards, "backup "+b.Backup.Name)
			return nil
		})
	}
	return all, err
}
