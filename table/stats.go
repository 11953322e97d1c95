package table

import (
	"holdfast/index"
)

// TableStats are what a table and its shards hold now, without waiting for its indexes.
type TableStats struct {
	Name      string
	Items     int64
	ItemBytes int64     // as the API counts them
	Lag       index.Lag // of its global indexes
	Follows   bool      // it has global indexes
}

// Stats returns the stats of all tables, by name.
func (s *Store) Stats() []TableStats {
	set := s.tables.set.Load()
	all := make([]TableStats, 0, len(set.names))
	for _, name := range set.names {
		all = append(all, set.byName[name].stats())
	}
	return all
}

func (t *live) stats() TableStats {
	is := TableStats{Name: t.desc.Name, Follows: len(t.globals) > 0}
	for _, sh := range t.shards {
		counts := sh.Counts()
		is.Items += counts.Items
		is.ItemBytes += counts.ItemBytes
	}
	if is.Follows && t.followers != nil { // nil: this node isn't the active one of its cluster
		is.Lag = t.followers.Lag()
	}
	return is
}
