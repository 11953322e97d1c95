package group

import (
	"encoding/binary"

	"go.etcd.io/raft/v3/raftpb"

	"holdfast"
)

// The data of an entry of Raft's log is empty, in the first entry of each term, which does nothing,
// or it is
//
//	2          a byte, the kind: an entry of the shard
//	salt       3 bytes: of the leader that has proposed it, see holdfast.GroupTerm
//	unneeded   a varint: up to this index the log is kept for nobody, see retention
//	…          the entry of the shard
//
// Entries of the kind 1, of a former version, have no salt.
//
// Only the leader knows what members need; so it says that to the others by the way. The salt is
// in each entry, and not in the first of the term: so no replica needs anything but the entry to
// know the transaction's ID, also when it begins with a later entry.
const (
	kindUnsalted = 1
	kindShard    = 2

	saltBytes = holdfast.SaltBits / 8
)

// newEntry returns the data of an entry with an entry of the shard.
func newEntry(salt uint32, unneeded uint64, raw []byte) []byte {
	data := make([]byte, 0, 1+saltBytes+binary.MaxVarintLen64+len(raw))
	data = append(data, kindShard, byte(salt>>16), byte(salt>>8), byte(salt))
	data = binary.AppendUvarint(data, unneeded)
	return append(data, raw...)
}

// parseEntry returns the parts of an entry's data. raw is nil if it does nothing.
func parseEntry(data []byte) (unneeded uint64, raw []byte, ok bool) {
	if len(data) == 0 {
		return 0, nil, true
	}
	var rest []byte
	switch {
	case data[0] == kindUnsalted:
		rest = data[1:]
	case data[0] == kindShard && len(data) > saltBytes:
		rest = data[1+saltBytes:]
	}
	unneeded, n := binary.Uvarint(rest)
	return unneeded, rest[max(n, 0):], n > 0
}

// termOf returns the term of the transaction that is an entry of the shard.
func termOf(e *raftpb.Entry) uint64 {
	data := e.GetData()
	if len(data) <= saltBytes || data[0] != kindShard {
		return e.GetTerm()
	}
	return holdfast.GroupTerm(e.GetTerm(), uint32(data[1])<<16|uint32(data[2])<<8|uint32(data[3]))
}

// An entry that changes the members has Raft's type for that, and its data is Raft's; see
// parseChange.

// On disk, an entry has a byte for Raft's type of entry, the term (a varint) and the data. Its
// index is the place at which it is.

func appendStored(dst []byte, e *raftpb.Entry) []byte {
	dst = append(dst, byte(e.GetType()))
	dst = binary.AppendUvarint(dst, e.GetTerm())
	return append(dst, e.GetData()...)
}

// decodeStored returns the entry at an index of the log on disk.
func decodeStored(index uint64, raw string) (*raftpb.Entry, error) {
	if raw == "" {
		return nil, errStored(index)
	}
	rest := []byte(raw[1:])
	term, n := binary.Uvarint(rest)
	if n <= 0 || term == 0 {
		return nil, errStored(index)
	}
	e := &raftpb.Entry{Term: &term, Index: &index, Type: raftpb.EntryType(raw[0]).Enum()}
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
