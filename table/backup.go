package table

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast"
)

// A Backup is a snapshot of a table.
type Backup struct {
	ID           string // 14 digits of milliseconds since 1970, "-", 8 hex digits: sorts by time
	Name         string
	Table        Description // as it was
	Created      time.Time
	Ready        bool  // it can be restored: until then its status is CREATING
	Items, Bytes int64 // 0 until it is ready
}

// Backup begins a backup of a table as it is now. Errors: NotFound, Exists while the table is being
// made.
func (s *Store) Backup(ctx context.Context, table, name string) (Backup, error) {
	s.catalog.mu.Lock()
	defer s.catalog.mu.Unlock()
	r, err := s.catalog.table(table)
	if err != nil {
		return Backup{}, err
	}
	if r.Table.Status == Creating {
		return Backup{}, inUse("created", table)
	}
	now := s.now()
	b := &backup{
		Version: version,
		Backup: Backup{
			ID: newBackupID(now), Name: name, Created: milliseconds(now), Table: s.tables.table(table).describe(now),
		},
		Shards: s.catalog.newShards(len(r.Shards)),
		Copy:   &copying{At: now, Table: table},
	}
	if err := s.catalog.commit(ctx, revision{put: []entry{b}, shards: true}); err != nil {
		return Backup{}, err
	}
	s.catalog.wake()
	return b.Backup, nil
}

// Backups returns the backups of a table, also of a removed one, the oldest first. The name "" is
// all tables'.
func (s *Store) Backups(table string) []Backup {
	var all []Backup
	s.catalog.read(func(c *contents) {
		for _, b := range c.backups {
			if table == "" || b.Backup.Table.Name == table {
				all = append(all, b.Backup)
			}
		}
	})
	slices.SortFunc(all, func(a, b Backup) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// DescribeBackup returns a backup. NotFound if there is none.
func (s *Store) DescribeBackup(id string) (Backup, error) {
	var b *backup
	s.catalog.read(func(c *contents) { b = c.backups[id] })
	if b == nil {
		return Backup{}, noBackup(id)
	}
	return b.Backup, nil
}

// DeleteBackup removes a backup, and returns what it was. Errors: NotFound, Exists while it is
// being made or restored.
func (s *Store) DeleteBackup(ctx context.Context, id string) (Backup, error) {
	s.catalog.mu.Lock()
	defer s.catalog.mu.Unlock()
	b, err := s.catalog.backup(id)
	if err != nil {
		return Backup{}, err
	}
	if b.Copy != nil || s.catalog.copied(func(c *copying) bool { return c.Backup == id }) {
		return Backup{}, holdfast.Errorf(holdfast.Exists, "Backup is being used by another operation: %s", id)
	}
	if err := s.catalog.removeBackup(ctx, b, discarded(id, b.Shards, s.now())); err != nil {
		return Backup{}, err
	}
	return b.Backup, nil
}

// noBackup is DynamoDB's error for a backup that doesn't exist.
func noBackup(id string) error {
	return holdfast.Errorf(holdfast.NotFound, "Backup not found: %s", id)
}

// newBackupID returns an ID in DynamoDB's form.
func newBackupID(now time.Time) string {
	var b [4]byte
	rand.Read(b[:]) // never fails, as its documentation says
	return fmt.Sprintf("%014d-%x", now.UnixMilli(), b)
}
