package table

import (
	"context"
	"slices"
	"time"

	"holdfast/shard"
)

// streamAge is how long a stream can still be read after it has ended or its table was removed.
const streamAge = 24 * time.Hour

// Remove removes a table. When Remove returns, requests no longer find it. Its shards are removed
// in the background: at once, or, if it had streams, when these may no longer be read. Errors:
// NotFound; Exists while it is being changed or copied; Invalid if it is protected.
func (s *Store) Remove(ctx context.Context, name string) (Description, error) {
	s.catalog.mu.Lock()
	defer s.catalog.mu.Unlock()
	r, err := s.catalog.table(name)
	if err != nil {
		return Description{}, err
	}
	if err := s.removable(r); err != nil {
		return Description{}, err
	}
	t, now := s.tables.table(name), s.now()
	response := t.describe(now)
	response.Status = Deleting
	// DynamoDB's response doesn't have the global indexes.
	response.Indexes = slices.DeleteFunc(response.Indexes, func(x IndexDescription) bool { return !x.Index.Local })
	if err := s.catalog.removeTable(ctx, r, r.rest(now, t.shards)); err != nil {
		return Description{}, err
	}
	return response, nil
}

// removable returns an error if a table can't be removed now. catalog.mu is held.
func (s *Store) removable(r *record) error {
	if r.Table.DeletionProtection {
		return invalid("Resource cannot be deleted as it is currently protected against deletion. Disable deletion " +
			"protection first.")
	}
	if err := s.tables.table(r.Table.Name).busy(s.now()); err != nil {
		return err
	}
	if s.catalog.copied(func(c *copying) bool { return c.Table == r.Table.Name }) {
		return inUse("copied", r.Table.Name)
	}
	return nil
}

// rest returns the shards that are still to be removed when a table is removed at now.
func (r *record) rest(now time.Time, shards []*shard.Shard) *removed {
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

// discarded returns the shards of a backup, or of a copy that failed, as shards that are to be
// removed at once.
func discarded(id string, parts []part, now time.Time) *removed {
	return &removed{Version: version, ID: id, Shards: parts, Until: now}
}
