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

// A StreamShard is the part of a stream that one shard has. A shard that has taken over the range of
// another goes on from its changes: who reads that one first has the changes of each item in order.
type StreamShard struct {
	ID     holdfast.ShardID
	Parent holdfast.ShardID  // the shard of the stream whose range it has taken over; 0: none
	First  holdfast.Position // of its first change, or where that will be
	Closed bool              // there will be no more changes
	Last   holdfast.Position // if Closed: after its last change
	End    holdfast.Position // after the newest change that it has now: the position of LATEST

	log streamLog
}

// A streamLog is what a stream needs of a shard.
type streamLog interface {
	Descriptor() shard.Descriptor
	Oldest() holdfast.Position
	End() holdfast.Position
	Changes(from holdfast.Position, limit shard.Limit) ([]shard.Change, holdfast.Position, error)
	Reached(tx holdfast.TxID) error
}

var _ streamLog = (*shard.Shard)(nil)

// Streams returns the streams of a table that can be read, those of removed tables of that name
// too, the oldest of each table first. The name "" is all tables'.
//
// It takes no lock, so readers of streams don't wait for a change of a table, which holds the
// catalog's while the disk syncs.
func (s *Store) Streams(table string) []Stream {
	var all []Stream
	add := func(sts []catalog.Stream, of Stream, open ...*shard.Shard) {
		logs := make([]streamLog, len(open))
		for i, sh := range open {
			logs[i] = sh
		}
		for _, st := range sts {
			if st.Readable(s.now()) {
				all = append(all, of.described(&st, logs))
			}
		}
	}
	set := s.tables.set.Load()
	for id, gone := range set.retired {
		if name := gone.record.Name; table == "" || table == name {
			add(gone.record.Streams, Stream{Table: name, TableID: id, Key: gone.record.Key}, gone.logs...)
		}
	}
	for name, t := range set.byName {
		if table == "" || table == name {
			of := Stream{Table: name, TableID: t.desc.ID, Key: t.schema.Key}
			add(t.streams, of, slices.Concat(t.closed, t.shards)...)
		}
	}
	slices.SortFunc(all, func(a, b Stream) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Label, b.Label))
	})
	return all
}

// described returns a stream of the table as requests get it: with its shards by rising ID, so that
// parents come first. The catalog knows where the stream begins and ends in the shards that the
// table had then; the descriptors say which others go on from these, and where.
func (s Stream) described(st *catalog.Stream, logs []streamLog) Stream {
	s.Label, s.View, s.On, s.Created = st.Label, st.View, st.Ended.IsZero(), st.Created
	logs = slices.Clone(logs)
	slices.SortFunc(logs, func(a, b streamLog) int { return cmp.Compare(a.Descriptor().ID, b.Descriptor().ID) })
	for _, log := range logs {
		d := log.Descriptor()
		first, in := st.First[d.ID]
		part := StreamShard{ID: d.ID, First: first, log: log, End: log.End()}
		for _, id := range d.Parents {
			parent := s.shard(id)
			if _, ended := st.Last[id]; parent == nil || ended {
				continue // that one was closed before the stream began, or after it ended
			}
			parent.Closed, parent.Last = true, parent.End
			part.Parent = id
			if !in {
				part.First, in = holdfast.Position{Index: max(d.Begin, 1)}, true
			}
		}
		if !in {
			continue // it was closed before the stream began, or begins after it ended
		}
		if part.Last, part.Closed = st.Last[d.ID]; part.Closed {
			part.End = part.Last
		}
		s.Shards = append(s.Shards, part)
	}
	return s
}

// shard returns the shard of the stream with that ID, or nil.
func (s *Stream) shard(id holdfast.ShardID) *StreamShard {
	for i := range s.Shards {
		if s.Shards[i].ID == id {
			return &s.Shards[i]
		}
	}
	return nil
}

// Children returns the shards that have taken over the range of another.
func (s *Stream) Children(of holdfast.ShardID) (all []StreamShard) {
	for _, sh := range s.Shards {
		if sh.Parent == of {
			all = append(all, sh)
		}
	}
	return all
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
// the shard's first, is that of the oldest that is kept. next is where to continue; end reports that
// no more changes will come, and that the shards that have taken over its range go on. Errors:
// NotFound; Gone if the position is no longer kept; Lost if the shard lacks what the session of ctx
// has seen.
func (s *Store) StreamRecords(
	ctx context.Context, table, label string, id holdfast.ShardID, from holdfast.Position, limit shard.Limit,
) (changes []shard.Change, next holdfast.Position, end bool, err error) {
	st, err := s.Stream(table, label)
	if err != nil {
		return nil, from, false, err
	}
	if err := ctx.Err(); err != nil {
		return nil, from, false, err
	}
	session := sessionOf(ctx)
	if part := st.shard(id); part != nil {
		if err := session.checkLog(ctx, table, part.log, s.tables.tokenWait); err != nil {
			return nil, from, false, err
		}
	}
	changes, next, end, err = st.records(id, from, limit)
	session.seeRecords(changes)
	return changes, next, end, err
}

// records is StreamRecords of the stream.
func (s *Stream) records(
	id holdfast.ShardID, from holdfast.Position, limit shard.Limit,
) (changes []shard.Change, next holdfast.Position, end bool, err error) {
	part := s.shard(id)
	if part == nil {
		return nil, from, false, holdfast.Errorf(holdfast.NotFound, "Requested resource not found: Shard: %d of stream %s "+
			"not found", id, s.Label)
	}
	if from.Compare(part.First) < 0 {
		from = part.First
		if oldest := part.log.Oldest(); from.Compare(oldest) < 0 {
			from = oldest
		}
	}
	if part.Closed && from.Compare(part.Last) >= 0 {
		return nil, from, true, nil
	}
	changes, next, err = part.log.Changes(from, limit)
	if err != nil || !part.Closed {
		return changes, next, false, err
	}
	changes, next = part.kept(changes, next)
	return changes, next, next.Compare(part.Last) >= 0, nil
}

// kept returns those changes of a closed shard that are of the stream, and the position behind them.
// Not all positions have a change: the end has been reached when no change is left before it.
func (p *StreamShard) kept(changes []shard.Change, next holdfast.Position) ([]shard.Change, holdfast.Position) {
	for len(changes) > 0 && changes[len(changes)-1].Position().Compare(p.Last) >= 0 {
		changes = changes[:len(changes)-1]
		next = p.Last
	}
	if len(changes) == 0 {
		next = p.Last
	}
	return changes, next
}

// ends returns the ends of the logs of shards.
func ends(shards []*shard.Shard) map[holdfast.ShardID]holdfast.Position {
	all := make(map[holdfast.ShardID]holdfast.Position, len(shards))
	for _, sh := range shards {
		all[sh.ID()] = sh.End()
	}
	return all
}
