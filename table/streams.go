package table

import (
	"cmp"
	"context"
	"slices"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
	"holdfast/shard"
)

// A Stream is the changes of a table from when it was switched on until it was switched off.
type Stream struct {
	Table, TableID, Label string
	View                  catalog.View
	On                    bool // it hasn't been switched off
	Key                   item.KeySchema
	Created               time.Time
	Shards                []StreamShard
}

// A StreamShard is the part of a stream that one shard has.
type StreamShard struct {
	ID    holdfast.ShardID
	First holdfast.Position // of its first change, or where that will be
	Last  holdfast.Position // after its last change; zero: the stream is on
	End   holdfast.Position // after the newest change that it has now: the position of LATEST
}

// Streams returns the streams of a table that can be read, those of removed tables of that name
// too, the oldest of each table first. The name "" is all tables'.
func (s *Store) Streams(table string) []Stream {
	var all []Stream
	add := func(sts []catalog.Stream, name, id string, key item.KeySchema, shards []*shard.Shard) {
		for _, st := range sts {
			if st.Readable(s.now()) {
				all = append(all, describeStream(&st, name, id, key, shards))
			}
		}
	}
	s.catalog.Read(func(c catalog.Contents) {
		for _, gone := range c.Removed {
			if gone.Name != "" && (table == "" || table == gone.Name) {
				add(gone.Streams, gone.Name, gone.ID, gone.Key, s.installer.removed[gone.ID])
			}
		}
		for name, r := range c.Tables {
			if table == "" || table == name {
				add(r.Streams, name, r.Table.ID, r.Table.Key, s.tables.table(name).shards)
			}
		}
	})
	slices.SortFunc(all, func(a, b Stream) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Label, b.Label))
	})
	return all
}

// describeStream returns a stream of a table as requests get it.
func describeStream(st *catalog.Stream, name, id string, key item.KeySchema, shards []*shard.Shard) Stream {
	out := Stream{Table: name, TableID: id, Label: st.Label, View: st.View, On: st.Ended.IsZero(), Key: key,
		Created: st.Created}
	for _, sh := range shards {
		part := StreamShard{ID: sh.ID(), First: st.First[sh.ID()]}
		if out.On {
			part.End = sh.End()
		} else {
			part.Last, part.End = st.Last[sh.ID()], st.Last[sh.ID()]
		}
		out.Shards = append(out.Shards, part)
	}
	return out
}

// Stream returns the stream of a table with that label. NotFound if it isn't there any more.
func (s *Store) Stream(table, label string) (Stream, error) {
	for _, st := range s.Streams(table) {
		if st.Label == label {
			return st, nil
		}
	}
	return Stream{}, holdfast.Errorf(holdfast.NotFound, "Requested resource not found: Stream: %s of table %s not found",
		label, table)
}

// StreamRecords returns changes of one shard of a stream in order. A zero position, or one before
// the stream's first, is that of the oldest that is kept. next is where to continue; end reports
// that no more changes will come. Errors: NotFound, and Gone if the position is no longer kept.
func (s *Store) StreamRecords(
	ctx context.Context, table, label string, id holdfast.ShardID, from holdfast.Position, limit shard.Limit,
) (changes []shard.Change, next holdfast.Position, end bool, err error) {
	st, err := s.Stream(table, label)
	if err != nil {
		return nil, from, false, err
	}
	i, shards := slices.IndexFunc(st.Shards, func(p StreamShard) bool { return p.ID == id }), s.streamShards(st)
	if i < 0 || i >= len(shards) {
		return nil, from, false, holdfast.Errorf(holdfast.NotFound, "Requested resource not found: Shard: %d of stream %s "+
			"not found", id, label)
	}
	sh, part := shards[i], st.Shards[i]
	if oldest := sh.Oldest(); from.Compare(part.First) < 0 {
		from = part.First
		if from.Compare(oldest) < 0 {
			from = oldest
		}
	}
	if !st.On && from.Compare(part.Last) >= 0 {
		return nil, from, true, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, from, false, err
	}
	changes, next, err = sh.Changes(from, limit)
	if err != nil || st.On {
		return changes, next, false, err
	}
	for len(changes) > 0 && positionOf(changes[len(changes)-1]).Compare(part.Last) >= 0 {
		changes = changes[:len(changes)-1]
		next = part.Last
	}
	return changes, next, next.Compare(part.Last) >= 0, nil
}

// streamShards returns the open shards of a stream's table, which may have been removed; nil if
// there are none any more.
func (s *Store) streamShards(st Stream) (shards []*shard.Shard) {
	s.catalog.Read(func(c catalog.Contents) {
		if gone := c.Removed[st.TableID]; gone != nil {
			shards = s.installer.removed[gone.ID]
		} else if t := s.tables.table(st.Table); t != nil && t.desc.ID == st.TableID {
			shards = t.shards
		}
	})
	return shards
}

func positionOf(c shard.Change) holdfast.Position {
	return holdfast.Position{Index: c.Tx.Index, N: c.N}
}

// ends returns the ends of the logs of shards.
func ends(shards []*shard.Shard) map[holdfast.ShardID]holdfast.Position {
	all := make(map[holdfast.ShardID]holdfast.Position, len(shards))
	for _, sh := range shards {
		all[sh.ID()] = sh.End()
	}
	return all
}
