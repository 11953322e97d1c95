package catalog

import (
	"slices"
	"time"

	"holdfast"
)

// labelForm is the form of a stream's label: the time when it was switched on.
const labelForm = "2006-01-02T15:04:05.000"

// StreamAge is how long a stream can still be read after it has ended or its table was removed.
const StreamAge = 24 * time.Hour

// A Stream is the changes of a table between two positions of each of its shards.
type Stream struct {
	Label   string
	View    View
	Created time.Time
	Ended   time.Time // zero: it hasn't ended
	// First has where the stream begins in each shard that the table had then: the end of its log. In
	// a shard that has taken over the range of others since, which its descriptor says, the stream
	// begins with its log.
	First map[holdfast.ShardID]holdfast.Position
	// Last has where the stream ends in each shard that the table had then; nil: it hasn't ended. In
	// a shard whose range others had taken over before, it ends with its log.
	Last map[holdfast.ShardID]holdfast.Position
}

// Readable reports whether a stream can be read at now: it hasn't been off for too long.
func (st *Stream) Readable(now time.Time) bool {
	return st.Ended.IsZero() || st.Ended.Add(StreamAge).After(now)
}

// AlterStream switches the stream on with a view, or off with the view 0. ends is that of
// BeginStream.
func (r *Table) AlterStream(view View, now time.Time, ends map[holdfast.ShardID]holdfast.Position) error {
	switch {
	case view != 0 && r.Table.StreamOn:
		return invalid("Table already has an enabled stream: TableName: %s", r.Table.Name)
	case view == 0 && !r.Table.StreamOn:
		return invalid("Table already has no enabled stream: TableName: %s", r.Table.Name)
	case view == 0:
		r.endStream(now, ends)
	}
	r.Streams = slices.DeleteFunc(r.Streams, func(st Stream) bool { return !st.Readable(now) })
	r.BeginStream(view, now, ends)
	return nil
}

// BeginStream adds a stream from here on; a view of 0 is none. Its label is later than that of the
// one before. ends are the ends of the logs of the table's shards.
func (r *Table) BeginStream(view View, now time.Time, ends map[holdfast.ShardID]holdfast.Position) {
	if view == 0 {
		return
	}
	label := now.Format(labelForm)
	for r.Table.StreamLabel >= label {
		now = now.Add(time.Millisecond)
		label = now.Format(labelForm)
	}
	r.Streams = append(r.Streams, Stream{Label: label, View: view, Created: now, First: ends})
	r.Table.Stream, r.Table.StreamOn, r.Table.StreamLabel = view, true, label
}

// endStream ends the stream that is on, if there is one.
func (r *Table) endStream(now time.Time, ends map[holdfast.ShardID]holdfast.Position) {
	if !r.Table.StreamOn {
		return
	}
	last := &r.Streams[len(r.Streams)-1]
	last.Ended = now
	if last.Last == nil {
		last.Last = map[holdfast.ShardID]holdfast.Position{}
	}
	for id, at := range ends {
		last.Last[id] = at
	}
	r.Table.Stream, r.Table.StreamOn = 0, false
}
