package table

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"holdfast"
	"holdfast/item"
	"holdfast/shard"
)

// Where says for an error where an item of a table is, of which at least the attributes of the key
// are given: "shard 12 of table orders". Without an item it names the table's shards, and of a
// table that this node doesn't have, the table alone.
func (s *Store) Where(name string, it item.Item) string {
	t := s.tables.table(name)
	switch {
	case t == nil || len(t.shards) == 0:
		return "table " + name
	case len(t.shards) == 1:
		return t.shardName(t.shards[0])
	}
	if key, err := t.schema.Key.Key(it); err == nil && it != nil {
		return t.shardName(t.shard(key))
	}
	return fmt.Sprintf("the %d shards of table %s", len(t.shards), name)
}

// WhereShard names a shard for people: "shard 12 of table orders", or just by its ID if it is neither
// a table's nor one of a global index.
func WhereShard(s *Store, id holdfast.ShardID) string {
	is := func(sh *shard.Shard) bool { return sh.ID() == id }
	for _, t := range s.tables.all() {
		if slices.ContainsFunc(t.shards, is) || slices.ContainsFunc(t.closed, is) {
			return fmt.Sprintf("shard %d of table %s", id, t.desc.Name)
		}
		for _, x := range t.globals {
			if slices.ContainsFunc(x.Shards, is) {
				return fmt.Sprintf("shard %d of index %s of table %s", id, x.Index.Name, t.desc.Name)
			}
		}
	}
	return fmt.Sprintf("shard %d", id)
}

func (t *live) shardName(sh *shard.Shard) string {
	return fmt.Sprintf("shard %d of table %s", sh.ID(), t.desc.Name)
}

// naming returns an error of the table's shards with the table's name: groups of shards don't know
// it.
func (t *live) naming(err error) error {
	var e *holdfast.Error
	if !t.replicated || !errors.As(err, &e) {
		return err
	}
	for _, sh := range t.shards {
		before, after, found := strings.Cut(e.Text, fmt.Sprintf("shard %d", sh.ID()))
		if found && !strings.HasPrefix(after, " of table") && !beginsWithDigit(after) {
			return &holdfast.Error{Kind: e.Kind, Text: before + t.shardName(sh) + after, Err: err}
		}
	}
	return err
}

func beginsWithDigit(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }
