package catalog

import (
	"encoding/binary"
	"errors"
	"time"

	"holdfast"
)

// A placedShard and a placedStream are members of records before version 3: the positions of a
// stream go together with the table's shards by their place in the list.
type (
	placedShard struct {
		ID    holdfast.ShardID
		Start uint64 // the first hash; it goes up to the next shard's
	}
	placedStream struct {
		Label   string
		View    View
		Created time.Time
		Ended   time.Time
		First   []holdfast.Position // one for each shard
		Last    []holdfast.Position // likewise; nil: it hasn't ended
	}
)

// upgradeShards returns shards in the present form. Their space gets the ID of the first of them,
// which no other space has: new ones get IDs that nothing has had.
func upgradeShards(placed []placedShard) (space holdfast.SpaceID, shards []Shard) {
	for i, s := range placed {
		shards = append(shards, Shard{ID: s.ID})
		if i > 0 {
			cut := binary.BigEndian.AppendUint64(nil, s.Start)
			shards[i-1].To, shards[i].From = cut, cut
		}
	}
	if len(shards) > 0 {
		space = holdfast.SpaceID(shards[0].ID)
	}
	return space, shards
}

// upgradeStreams returns streams of a table with those shards in the present form.
func upgradeStreams(shards []Shard, placed []placedStream) (streams []Stream, err error) {
	for _, s := range placed {
		if len(s.First) != len(shards) || s.Last != nil && len(s.Last) != len(shards) {
			return nil, errors.New("a stream has another number of shards than its table")
		}
		to := Stream{Label: s.Label, View: s.View, Created: s.Created, Ended: s.Ended, First: byShard(shards, s.First)}
		if s.Last != nil {
			to.Last = byShard(shards, s.Last)
		}
		streams = append(streams, to)
	}
	return streams, nil
}

// byShard returns the positions of shards, of which there is one for each, by the shards' IDs.
func byShard(shards []Shard, at []holdfast.Position) map[holdfast.ShardID]holdfast.Position {
	all := make(map[holdfast.ShardID]holdfast.Position, len(at))
	for i, p := range at {
		all[shards[i].ID] = p
	}
	return all
}
