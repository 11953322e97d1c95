package table

import (
	"context"
	"slices"

	"holdfast/catalog"
)

// Remove removes a table. When Remove returns, requests no longer find it. Its shards are removed
// in the background: at once, or, if it had streams, when these may no longer be read. Errors:
// NotFound; Exists while it is being changed or copied; Invalid if it is protected.
func (s *Store) Remove(ctx context.Context, name string) (catalog.Description, error) {
	s.catalog.Lock()
	defer s.catalog.Unlock()
	r, err := s.installer.table(name)
	if err != nil {
		return catalog.Description{}, err
	}
	if err := s.removable(r); err != nil {
		return catalog.Description{}, err
	}
	t, now := s.tables.table(name), s.now()
	response := t.describe(now)
	response.Status = catalog.Deleting
	// DynamoDB's response doesn't have the global indexes.
	response.Indexes = slices.DeleteFunc(response.Indexes, func(x catalog.IndexDescription) bool { return !x.Index.Local })
	if err := s.installer.removeTable(ctx, r, r.Rest(now, ends(t.shards))); err != nil {
		return catalog.Description{}, err
	}
	return response, nil
}

// removable returns an error if a table can't be removed now. The catalog is locked.
func (s *Store) removable(r *catalog.Table) error {
	if r.Table.DeletionProtection {
		return invalid("Resource cannot be deleted as it is currently protected against deletion. Disable deletion " +
			"protection first.")
	}
	if err := s.tables.table(r.Table.Name).busy(s.now()); err != nil {
		return err
	}
	if s.copied(func(c *catalog.Copying) bool { return c.Table == r.Table.Name }) {
		return inUse("copied", r.Table.Name)
	}
	return nil
}

// copied reports whether such a copy is under way. The catalog is locked.
func (s *Store) copied(such func(*catalog.Copying) bool) bool {
	is := s.catalog.Contents()
	return is.Copied(such)
}
