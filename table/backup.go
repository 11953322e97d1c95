package table

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/shard"
)

// A Backup is a table as it was at one moment.
type Backup struct {
	ID           string // 14 digits of milliseconds since 1970, "-", 8 hex digits: sorts by time
	Name         string
	Table        Description // as it was
	Created      time.Time
	Ready        bool  // it can be restored: until then its status is CREATING
	Items, Bytes int64 // 0 until it is ready
}

// Backup begins a backup of a table as it is now. Errors: NotFound, Exists while the table is being made.
func (s *Store) Backup(ctx context.Context, table, name string) (Backup, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.table(table)
	if err != nil {
		return Backup{}, err
	}
	if r.Table.Status == Creating {
		return Backup{}, inUse("created", table)
	}
	now := s.now()
	parts, next := s.newShards(len(r.Shards))
	b := &backup{
		Version: version,
		Backup: Backup{
			ID: newBackupID(now), Name: name, Created: milliseconds(now), Table: s.describe(s.tables.Load().byName[table]),
		},
		Shards: parts,
		Copy:   &copying{At: now, Table: table},
	}
	if err := s.save(ctx, b.encoded(), next); err != nil {
		return Backup{}, err
	}
	s.backups[b.Backup.ID] = b
	s.wake()
	return b.Backup, nil
}

// Backups returns the backups of a table, also of a removed one, the oldest first. The name "" is all tables'.
func (s *Store) Backups(table string) []Backup {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Backup
	for _, b := range s.backups {
		if table == "" || b.Backup.Table.Name == table {
			all = append(all, b.Backup)
		}
	}
	slices.SortFunc(all, func(a, b Backup) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// DescribeBackup returns a backup. NotFound if there is none.
func (s *Store) DescribeBackup(id string) (Backup, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.backups[id]
	if !ok {
		return Backup{}, noBackup(id)
	}
	return b.Backup, nil
}

// DeleteBackup removes a backup, and returns what it was. Errors: NotFound, Exists while it is being made or restored.
func (s *Store) DeleteBackup(ctx context.Context, id string) (Backup, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.backup(id)
	if err != nil {
		return Backup{}, err
	}
	if b.Copy != nil || s.copied(func(c *copying) bool { return c.Backup == id }) {
		return Backup{}, holdfast.Errorf(holdfast.Exists, "Backup is being used by another operation: %s", id)
	}
	if err := s.forgetBackup(ctx, b); err != nil {
		return Backup{}, err
	}
	return b.Backup, nil
}

// backup returns a backup for a change. s.mu is held.
func (s *Store) backup(id string) (*backup, error) {
	if s.closed {
		return nil, holdfast.Errorf(holdfast.Closed, "the tables are closed")
	}
	b, ok := s.backups[id]
	if !ok {
		return nil, noBackup(id)
	}
	return b, nil
}

// noBackup is what DynamoDB says of a backup that isn't there.
func noBackup(id string) error {
	return holdfast.Errorf(holdfast.NotFound, "Backup not found: %s", id)
}

// forgetBackup takes a backup from the catalog and leaves its shards to the background. s.mu is held.
func (s *Store) forgetBackup(ctx context.Context, b *backup) error {
	gone := s.discard(b.Backup.ID, b.Shards)
	if err := s.saveRemoval(ctx, shard.Record{Name: backupPrefix + b.Backup.ID}, encode(removedPrefix+gone.ID, gone)); err != nil {
		return err
	}
	delete(s.backups, b.Backup.ID)
	s.removed[gone.ID] = gone
	s.wake()
	return nil
}

// fillBackup copies a table's shards into a backup: the background's part of Backup. All shards are copied as of the same
// moment, so no transaction is in it by half. Where the log doesn't reach back to that moment, another is taken.
func (s *Store) fillBackup(ctx context.Context, b *backup) error {
	s.mu.Lock()
	t := s.tables.Load().byName[b.Copy.Table]
	s.mu.Unlock()
	counts, err := s.copyShards(ctx, t.shards, b.Shards, b.Copy.At)
	s.mu.Lock()
	defer s.mu.Unlock()
	done := *b
	switch {
	case isGone(err):
		again := *b.Copy
		again.At = s.now()
		done.Copy = &again
		done.Backup.Created = milliseconds(again.At)
	case err != nil:
		return err
	default:
		done.Copy = nil
		done.Backup.Ready, done.Backup.Items, done.Backup.Bytes = true, counts.Items, counts.ItemBytes
	}
	if err := s.save(ctx, done.encoded()); err != nil {
		return err
	}
	s.backups[b.Backup.ID] = &done
	return nil
}

// copyShards fills new shards with what others had at a moment, and returns how much that is. What an attempt before
// left in them goes first.
func (s *Store) copyShards(ctx context.Context, from []*shard.Shard, to []part, at time.Time) (sum shard.Counts, err error) {
	if err := s.roomy(); err != nil {
		return sum, err // dropping what may be there would use the reserve in vain
	}
	for i, p := range to {
		if err := s.disk.Drop(p.ID); err != nil {
			return sum, err
		}
		counts, err := s.disk.Copy(ctx, from[i], p.ID, shard.CopyOptions{At: at})
		if err != nil {
			return sum, err
		}
		sum.Items += counts.Items
		sum.ItemBytes += counts.ItemBytes
	}
	return sum, nil
}

// newBackupID returns an ID in DynamoDB's form.
func newBackupID(now time.Time) string {
	var b [4]byte
	rand.Read(b[:]) // never fails, as its documentation says
	return fmt.Sprintf("%014d-%x", now.UnixMilli(), b)
}
