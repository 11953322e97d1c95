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

// naming returns an error about one of the table's shards with the table's name: groups of shards don't
// know it.
func (t *live) naming(err error) error {
	var e *holdfast.Error
	if !t.replicated || !errors.As(err, &e) {
		return err
	}
	at := slices.IndexFunc(t.shards, func(sh *shard.Shard) bool { return sh.ID() == e.Shard })
	if at < 0 {
		return err
	}
	name := t.shardName(t.shards[at])
	if strings.Contains(e.Text, name) {
		return err
	}
	text := strings.Replace(e.Text, fmt.Sprintf("shard %d", e.Shard), name, 1)
	return &holdfast.Error{Kind: e.Kind, Text: text, Err: err, Shard: e.Shard}
}

// asking returns an error of a commit of changes of several tables. It says which table asks for the
// acknowledgement that can't be had, if that is another one than the shard's.
func asking(changes []*change, err error) error {
	var unmet *holdfast.Unmet
	var e *holdfast.Error
	if !errors.As(err, &unmet) || !errors.As(err, &e) {
		return err
	}
	asks, of := "", (*live)(nil)
	for _, c := range changes {
		if c.t.acknowledge.Compare(unmet.Acknowledge) == 0 {
			asks = c.t.desc.Name
		}
		if slices.ContainsFunc(c.t.shards, func(sh *shard.Shard) bool { return sh.ID() == e.Shard }) {
			of = c.t
		}
	}
	if of == nil || asks == "" || of.acknowledge.Compare(unmet.Acknowledge) == 0 {
		return err
	}
	text := fmt.Sprintf("%s: table %s acknowledges %s, and so does a transaction that changes it, in shard %d of "+
		"table %s too, of whose followers %s", unmet.Became, asks, unmet.Acknowledge, e.Shard, of.desc.Name, unmet.Lacking)
	return &holdfast.Error{Kind: e.Kind, Text: text, Err: err, Shard: e.Shard}
}
