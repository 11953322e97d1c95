package table

import (
	"context"
	"slices"
	"time"

	"holdfast/shard"
)

// streamAge is how long a stream can still be read after it, or its table, is no more.
const streamAge = 24 * time.Hour

// Remove removes a table. Requests don't find it any more when Remove returns, and what it holds goes in the
// background: at once, or where it had streams when they may no longer be read. Errors: NotFound; Exists while it is
// being changed or copied; Invalid if it is protected.
func (s *Store) Remove(ctx context.Context, name string) (Description, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.table(name)
	if err != nil {
		return Description{}, err
	}
	if err := s.removable(r); err != nil {
		return Description{}, err
	}
	t := s.tables.Load().byName[name]
	answer := s.describe(t)
	answer.Status = Deleting
	answer.Indexes = slices.DeleteFunc(answer.Indexes, func(x IndexDescription) bool { return !x.Index.Local }) // as DynamoDB answers
	gone := s.endedBy(r, t.shards)
	if err := s.saveRemoval(ctx, shard.Record{Name: tablePrefix + name}, encode(removedPrefix+gone.ID, gone)); err != nil {
		return Description{}, err
	}
	delete(s.catalog, name)
	s.removed[gone.ID] = gone
	s.withdraw(name)
	s.wake()
	return answer, nil
}

// removable returns an error if a table must stay for now. s.mu is held.
func (s *Store) removable(r *record) error {
	if r.Table.DeletionProtection {
		return invalid("Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.")
	}
	if err := s.busy(r); err != nil {
		return err
	}
	if s.copied(func(c *copying) bool { return c.Table == r.Table.Name }) {
		return inUse("copied", r.Table.Name)
	}
	return nil
}

// copied says whether there is such a copy under way. s.mu is held.
func (s *Store) copied(such func(*copying) bool) bool {
	for _, r := range s.catalog {
		if r.Copy != nil && such(r.Copy) {
			return true
		}
	}
	for _, b := range s.backups {
		if b.Copy != nil && such(b.Copy) {
			return true
		}
	}
	return false
}

// endedBy returns what is left of a table that is removed.
func (s *Store) endedBy(r *record, shards []*shard.Shard) *removed {
	now := s.now()
	gone := &removed{Version: version, Name: r.Table.Name, ID: r.Table.ID, Key: r.Table.Key, Shards: r.Shards, Until: now}
	ended := r.clone()
	ended.endStream(now, shards)
	for _, st := range ended.Streams {
		if until := st.Ended.Add(streamAge); until.After(now) {
			gone.Streams = append(gone.Streams, st)
			gone.Until = until // the last of them ended last
			gone.open = shards
		}
	}
	for _, x := range r.Table.Indexes {
		gone.Indexes = append(gone.Indexes, x.Index.ID)
	}
	return gone
}

// discard returns shards of a backup, or of a copy that failed, as what is to go at once.
func (s *Store) discard(id string, parts []part) *removed {
	return &removed{Version: version, ID: id, Shards: parts, Until: s.now()}
}

// drop removes what is to go now, and its record: the background's part of Remove.
func (s *Store) drop(ctx context.Context, gone *removed) error {
	for _, p := range gone.Shards {
		if err := s.disk.Drop(p.ID); err != nil {
			return err
		}
	}
	s.background.dropped.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.saveRemoval(ctx, shard.Record{Name: removedPrefix + gone.ID}); err != nil {
		return err
	}
	delete(s.removed, gone.ID)
	return nil
}

// clearRemoved drops the entries of indexes of a table of which streams are still kept.
func (s *Store) clearRemoved(ctx context.Context, gone *removed) error {
	for _, sh := range gone.open {
		if err := sh.SetSchema(shard.Schema{Key: gone.Key}); err != nil {
			return err
		}
		for _, id := range gone.Indexes {
			if err := sh.Clear(id); err != nil {
				return err
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	cleared := *gone
	cleared.Indexes = nil
	if err := s.saveRemoval(ctx, encode(removedPrefix+gone.ID, &cleared)); err != nil {
		return err
	}
	s.removed[gone.ID] = &cleared
	return nil
}
