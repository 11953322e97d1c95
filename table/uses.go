package table

import (
	"holdfast"
	"holdfast/catalog"
	"holdfast/shard"
)

// A ShardUse is what a shard is for.
type ShardUse struct {
	Kind  string // catalog, ledger, table, index, removed (only streams are read from it), or copy (of a backup)
	Table string // of kinds table, index and removed
	Index string // of the kind index

	Acknowledge holdfast.Acknowledge // of the kind table: what its writes wait for
}

// The kinds of ShardUse.
const (
	UseCatalog = "catalog"
	UseLedger  = "ledger"
	UseTable   = "table"
	UseIndex   = "index"
	UseRemoved = "removed"
	UseCopy    = "copy"
)

// ShardUses are what the shards of a node are for, as requests find them. It doesn't wait for changes
// of tables.
type ShardUses map[holdfast.ShardID]ShardUse

// Uses returns what the shards of this node are for.
func Uses(s *Store) ShardUses {
	uses := ShardUses{catalog.ShardID: {Kind: UseCatalog}}
	if id, ok := shard.LedgerShard(s.disk); ok {
		uses[id] = ShardUse{Kind: UseLedger}
	}
	set := s.tables.set.Load()
	for name, t := range set.byName {
		for _, sh := range t.shards {
			uses[sh.ID()] = ShardUse{Kind: UseTable, Table: name, Acknowledge: t.acknowledge}
		}
		for _, x := range t.desc.Indexes {
			global := t.globals[x.Index.ID]
			if global == nil {
				continue
			}
			for _, sh := range global.Shards {
				uses[sh.ID()] = ShardUse{Kind: UseIndex, Table: name, Index: x.Index.Name}
			}
		}
	}
	for _, r := range set.retired {
		for _, sh := range r.logs {
			uses[sh.ID()] = ShardUse{Kind: UseRemoved, Table: r.record.Name}
		}
	}
	return uses
}

// Of returns what a shard is for: a copy if requests find it nowhere.
func (u ShardUses) Of(id holdfast.ShardID) ShardUse {
	if use, ok := u[id]; ok {
		return use
	}
	return ShardUse{Kind: UseCopy}
}
