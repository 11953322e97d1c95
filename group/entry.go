package group

import (
	"encoding/binary"

	"go.etcd.io/raft/v3/raftpb"

	"holdfast"
)

// The data of an entry of Raft's log is empty, in the first entry of each term, which does nothing,
// or it is
//
//	1         a byte, the kind: an entry of the shard
//	everywhere a varint: up to this index each member has the log on disk, and it is committed
//	…         the entry of the shard
//
// Only the leader knows what each member has; so it says that to the others by the way.
const kindShard = 1

// newEntry returns the data of an entry with an entry of the shard.
func newEntry(everywhere uint64, raw []byte) []byte {
	data := make([]byte, 0, 1+binary.MaxVarintLen64+len(raw))
	data = binary.AppendUvarint(append(data, kindShard), everywhere)
	return append(data, raw...)
}

// parseEntry returns the parts of an entry's data. raw is nil if it does nothing.
func parseEntry(data []byte) (everywhere uint64, raw []byte, ok bool) {
	if len(data) == 0 {
		return 0, nil, true
	}
	if data[0] != kindShard {
		return 0, nil, false
	}
	everywhere, n := binary.Uvarint(data[1:])
	return everywhere, data[1+max(n, 0):], n > 0
}

// On disk, an entry has a byte for Raft's type of entry, the term (a varint) and the data. Its
// index is the place at which it is.

func appendStored(dst []byte, e *raftpb.Entry) []byte {
	dst = append(dst, byte(e.GetType()))
	dst = binary.AppendUvarint(dst, e.GetTerm())
	return append(dst, e.GetData()...)
}

// decodeStored returns the entry at an index of the log on disk.
func decodeStored(index uint64, raw string) (*raftpb.Entry, error) {
	if raw == "" || raw[0] != byte(raftpb.EntryNormal) {
		return nil, errStored(index)
	}
	rest := []byte(raw[1:])
	term, n := binary.Uvarint(rest)
	if n <= 0 || term == 0 {
		return nil, errStored(index)
	}
	e := &raftpb.Entry{Term: &term, Index: &index, Type: raftpb.EntryNormal.Enum()}
	if len(rest) > n {
		e.Data = rest[n:]
	}
	if !entryFits(e) {
		return nil, errStored(index)
	}
	return e, nil
}

func errStored(index uint64) error {
	return holdfast.Errorf(holdfast.Corrupt, "entry %d of the log can't be decoded", index)
}
