package table

import (
	"context"
	"maps"
	"slices"

	"holdfast/catalog"
)

// Tags returns the tags of a table. The caller must not change them. NotFound if there is no such
// table.
func (s *Store) Tags(table string) (map[string]string, error) {
	t := s.tables.table(table)
	if t == nil {
		return nil, noTable(table)
	}
	return t.desc.Tags, nil
}

// Tag adds tags to a table, or changes their values. Errors: NotFound, Invalid for more than 50, or for
// a setting that the table can't have.
func (s *Store) Tag(ctx context.Context, table string, tags map[string]string) error {
	if err := catalog.CheckSettings(tags, voters(s.catalog, s.nodes)); err != nil {
		return err
	}
	return s.retag(ctx, table, func(all map[string]string) { maps.Copy(all, tags) })
}

// voters returns how many replicas with a vote each shard has, in a cluster that so many nodes have
// formed.
func voters(c *catalog.Catalog, formed int) (n int) {
	n = formed
	c.Read(func(is catalog.Contents) {
		if is.Nodes != nil {
			n = is.Nodes.Replicas()
		}
	})
	return n
}

// Untag removes tags by their names. Those that the table doesn't have are ignored.
func (s *Store) Untag(ctx context.Context, table string, names []string) error {
	return s.retag(ctx, table, func(all map[string]string) {
		maps.DeleteFunc(all, func(name, _ string) bool { return slices.Contains(names, name) })
	})
}

func (s *Store) retag(ctx context.Context, table string, change func(map[string]string)) error {
	s.catalog.Lock()
	defer s.catalog.Unlock()
	old, err := s.installer.table(table)
	if err != nil {
		return err
	}
	r := old.Clone()
	if r.Table.Tags == nil {
		r.Table.Tags = map[string]string{}
	}
	change(r.Table.Tags)
	if err := r.CheckTags(); err != nil {
		return err
	}
	return s.installer.amend(ctx, r)
}
