package table

import (
	"context"
	"slices"
	"strings"

	"holdfast"
	"holdfast/catalog"
)

// Backup begins a backup of a table as it is now, with all that was acknowledged before the call.
// Errors: NotFound, Exists while the table is being made.
func (s *Store) Backup(ctx context.Context, table, name string) (catalog.BackupDescription, error) {
	s.catalog.Lock()
	defer s.catalog.Unlock()
	r, err := s.installer.table(table)
	if err != nil {
		return catalog.BackupDescription{}, err
	}
	if r.Table.Status == catalog.Creating {
		return catalog.BackupDescription{}, inUse("created", table)
	}
	space, shards, err := s.catalog.NewSpace(ctx, catalog.Ranges(r.Shards))
	if err != nil {
		return catalog.BackupDescription{}, err
	}
	now := s.tables.table(table).time(s.now())
	b := &catalog.Backup{
		Backup: catalog.BackupDescription{
			ID: catalog.NewBackupID(now), Name: name, Created: catalog.Milliseconds(now),
			Table: s.tables.table(table).describe(now),
		},
		Space:  space,
		Shards: shards,
		Copy:   &catalog.Copying{At: now, Table: table},
	}
	if err := beginCopy(ctx, s.installer, b, catalog.Descriptors(b.Space, b.Shards)); err != nil {
		return catalog.BackupDescription{}, err
	}
	return b.Backup, nil
}

// Backups returns the backups of a table, also of a removed one, the oldest first. The name "" is
// all tables'.
func (s *Store) Backups(table string) []catalog.BackupDescription {
	var all []catalog.BackupDescription
	s.catalog.Read(func(c catalog.Contents) {
		for _, b := range c.Backups {
			if table == "" || b.Backup.Table.Name == table {
				all = append(all, b.Backup)
			}
		}
	})
	slices.SortFunc(all, func(a, b catalog.BackupDescription) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// DescribeBackup returns a backup. NotFound if there is none.
func (s *Store) DescribeBackup(id string) (catalog.BackupDescription, error) {
	var b *catalog.Backup
	s.catalog.Read(func(c catalog.Contents) { b = c.Backups[id] })
	if b == nil {
		return catalog.BackupDescription{}, noBackup(id)
	}
	return b.Backup, nil
}

// DeleteBackup removes a backup, and returns what it was. Errors: NotFound, Exists while it is
// being made or restored.
func (s *Store) DeleteBackup(ctx context.Context, id string) (catalog.BackupDescription, error) {
	s.catalog.Lock()
	defer s.catalog.Unlock()
	b, err := s.installer.backup(id)
	if err != nil {
		return catalog.BackupDescription{}, err
	}
	if b.Copy != nil || s.copied(func(c *catalog.Copying) bool { return c.Backup == id }) {
		return catalog.BackupDescription{}, backupInUse(id)
	}
	if err := s.installer.removeBackup(ctx, b, catalog.Discarded(id, b.Space, b.Shards, s.now())); err != nil {
		return catalog.BackupDescription{}, err
	}
	return b.Backup, nil
}

// backupInUse is DynamoDB's error for a backup that is being made or restored.
func backupInUse(id string) error {
	return holdfast.Errorf(holdfast.Exists, "Backup is being used by another operation: %s", id)
}

// noBackup is DynamoDB's error for a backup that doesn't exist.
func noBackup(id string) error {
	return holdfast.Errorf(holdfast.NotFound, "Backup not found: %s", id)
}
