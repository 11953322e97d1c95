package group

import (
	"errors"
	"slices"
	"sync"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"holdfast"
)

// A diskLog is what the storage reads of a group's log; *shard.GroupLog is one.
type diskLog interface {
	State() ([]byte, error)
	Members() ([]byte, error)
	Bounds() (first, last uint64)
	Bytes() (uint64, error) // that the entries have, about
	Entries(from, to uint64, maxBytes int) ([]string, error)
}

// recentBytes is how many bytes of entries a storage has in memory beside the disk.
const recentBytes = 256 << 10

// A storage is a replica's log and state as Raft reads it (raft.Storage). Raft has what isn't on
// disk yet in memory, and asks the storage only for what it was told is there.
//
//	first-1       first              recent[0]               last
//	its term is   entries on disk     … and in memory too
//	known
//
// It is read by the goroutine that steps the replica, and changed by the one that writes.
type storage struct {
	disk  diskLog
	shard holdfast.ShardID

	mu          sync.Mutex
	members     *Members // as of the entries that the shard has applied, or of later ones
	first, last uint64   // of the entries; first = last+1 if there are none
	is          state
	changes     []uint64        // indexes of entries that change members, and aren't known on disk to be committed
	recent      []*raftpb.Entry // the newest entries, without a gap; may be empty
	bytes       int             // that the data of recent has
	sizes       sizes           // of all entries
}

var _ raft.Storage = (*storage)(nil)

// A diskError is a panic: Raft can't go on if its log can't be read.
type diskError struct{ error }

// openStorage returns the storage of a replica that has a state on disk. applied is the last entry
// that the shard has applied.
func openStorage(shard holdfast.ShardID, disk diskLog, raw []byte, applied uint64) (*storage, error) {
	is, err := decodeState(raw)
	if err != nil {
		return nil, err
	}
	s := &storage{disk: disk, shard: shard, is: *is}
	if s.members, err = membersOf(disk, is); err != nil {
		return nil, err
	}
	s.first, s.last = disk.Bounds()
	if s.first > s.last && len(is.terms) == 1 { // nothing has followed the snapshot that the replica has got
		s.last = is.terms[0].index
		s.first = s.last + 1
	}
	bytes, err := disk.Bytes()
	if err != nil {
		return nil, err
	}
	s.sizes = newSizes(s.first, s.last+1, bytes)
	if applied+1 < s.first || max(applied, is.commit) > s.last {
		return nil, holdfast.Errorf(holdfast.Corrupt, "the log of shard %d has the entries %d to %d, of which %d are "+
			"committed, and the shard has applied %d", shard, s.first, s.last, is.commit, applied)
	}
	s.is.terms = s.is.terms.from(s.first - 1)
	if s.last > 0 && s.is.terms.of(max(s.first-1, 1)) == 0 || s.is.terms.of(s.last+1) != s.is.terms.of(s.last) {
		return nil, holdfast.Errorf(holdfast.Corrupt,
			"the terms of the log of shard %d aren't those of the entries %d to %d", shard, s.first, s.last)
	}
	// What is applied is committed. It can have been written before the index that says so.
	s.is.commit = max(s.is.commit, applied, s.first-1)
	if s.members.Index <= s.last {
		s.is.commit = max(s.is.commit, s.members.Index)
	}
	return s, s.findChanges()
}

// findChanges finds the entries that change members behind those that are known to be committed.
func (s *storage) findChanges() error {
	for from := s.is.commit + 1; from <= s.last; {
		entries, err := s.disk.Entries(from, s.last+1, recentBytes)
		if err != nil {
			return err
		}
		for _, raw := range entries {
			if raw != "" && raw[0] == byte(raftpb.EntryConfChangeV2) {
				s.changes = append(s.changes, from)
			}
			from++
		}
	}
	return nil
}

// membersOf returns the members of a group as they are on disk. In its state are those that it was
// founded with, or that a replica was told which joined it.
func membersOf(disk diskLog, is *state) (*Members, error) {
	raw, err := disk.Members()
	if err != nil {
		return nil, err
	}
	return is.membersIn(raw)
}

// membersIn returns the members that a record beside what the shard has applied says; without one,
// they are those that the group was founded with.
func (s *state) membersIn(record []byte) (*Members, error) {
	if record == nil {
		return founded(nodeIDs(s.members))
	}
	return DecodeMembers(record)
}

// membersIn returns the members that a snapshot has, in which they are as beside what the shard has
// applied.
func (s *storage) membersIn(record []byte) (*Members, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.is.membersIn(record)
}

// change sets form to that of the members after an entry that changes them, unless it was applied
// before. It is called in the order in which the shard applies entries.
func (s *storage) change(e *raftpb.Entry, form *[]byte) error {
	change, _ := parseChange(e.GetData())
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := s.members.after(change, e.GetIndex())
	if err != nil || next == s.members {
		return err
	}
	s.members, *form = next, next.Encode()
	return nil
}

// InitialState implements raft.Storage. The members may be those of entries behind what the shard
// has applied; when these are applied again, the members stay as they are.
func (s *storage) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &raftpb.HardState{Term: new(s.is.term), Vote: new(s.is.vote), Commit: new(s.is.commit)},
		s.members.state(), nil
}

// FirstIndex implements raft.Storage.
func (s *storage) FirstIndex() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first, nil
}

// LastIndex implements raft.Storage.
func (s *storage) LastIndex() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, nil
}

// Term implements raft.Storage.
func (s *storage) Term(index uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case index+1 < s.first:
		return 0, raft.ErrCompacted
	case index > s.last:
		return 0, raft.ErrUnavailable
	}
	return s.is.terms.of(index), nil
}

// Entries implements raft.Storage.
func (s *storage) Entries(from, to, maxBytes uint64) ([]*raftpb.Entry, error) {
	s.mu.Lock()
	terms := s.is.terms
	switch {
	case from < s.first:
		s.mu.Unlock()
		return nil, raft.ErrCompacted
	case to > s.last+1:
		s.mu.Unlock()
		return nil, raft.ErrUnavailable
	case len(s.recent) > 0 && from >= s.recent[0].GetIndex():
		defer s.mu.Unlock()
		at := s.recent[0].GetIndex()
		return upTo(s.recent[from-at:to-at], maxBytes), nil
	}
	s.mu.Unlock()
	raw, err := s.disk.Entries(from, to, int(min(maxBytes, 1<<30)))
	if errors.Is(err, holdfast.Gone) {
		return nil, raft.ErrCompacted // since the bounds were read
	}
	entries := make([]*raftpb.Entry, len(raw))
	for i := 0; err == nil && i < len(raw); i++ {
		index := from + uint64(i)
		if entries[i], err = decodeStored(index, raw[i]); err == nil && entries[i].GetTerm() != terms.of(index) {
			err = errStored(index)
		}
	}
	if err != nil {
		panic(diskError{holdfast.Errorf(holdfast.Corrupt, "the log of shard %d can't be read: %w", s.shard, err)})
	}
	return entries, nil
}

// upTo returns a copy of the first entries, as many as have maxBytes, but one at least.
func upTo(entries []*raftpb.Entry, maxBytes uint64) []*raftpb.Entry {
	n, bytes := 0, uint64(0)
	for n < len(entries) {
		if bytes += uint64(raftBytes(entries[n])); n > 0 && bytes > maxBytes {
			break
		}
		n++
	}
	return slices.Clone(entries[:n])
}

// raftBytes returns about how many bytes an entry has in a message.
func raftBytes(e *raftpb.Entry) int { return len(e.GetData()) + 24 }

// Snapshot implements raft.Storage. Raft gets to know as of which entry a snapshot will be at least:
// the shard has applied all that was removed from the log. The snapshot itself is made when it is
// sent.
func (s *storage) Snapshot() (*raftpb.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	least := s.first - 1
	return &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{
		Index: new(least), Term: new(s.is.terms.of(least)), ConfState: s.members.state(),
	}}, nil
}

// restore changes the log as a MsgStorageAppend of Raft with a snapshot says: it has no entries, and
// goes on behind the snapshot. It returns the state that is to be on disk then.
func (s *storage) restore(m *raftpb.Message, members *Members) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := m.GetSnapshot().GetMetadata()
	if m.Term != nil && m.Vote != nil && m.Commit != nil {
		s.is.term, s.is.vote, s.is.commit = m.GetTerm(), m.GetVote(), m.GetCommit()
	}
	s.is.commit = max(s.is.commit, is.GetIndex())
	s.is.terms = terms{{is.GetTerm(), is.GetIndex()}}
	s.first, s.last, s.members = is.GetIndex()+1, is.GetIndex(), members
	s.changes, s.recent, s.bytes = nil, nil, 0
	s.sizes = newSizes(s.first, s.first, 0)
	return s.is.encode()
}

// size returns about how many bytes the entries have.
func (s *storage) size() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sizes.from(s.first)
}

// beyond returns the index before which there are too many entries, if the log may have so many
// bytes; 0: none is.
func (s *storage) beyond(limit uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sizes.from(s.first) <= limit {
		return 0
	}
	return s.sizes.beyond(limit)
}

// A write is what is to be written of a replica.
type write struct {
	from    uint64 // index of the first of entries
	entries []*raftpb.Entry
	state   []byte // nil: it isn't changed
}

// stage changes the log as a MsgStorageAppend of Raft says, and returns what is to be written for
// it. That needn't be on disk yet when Raft reads the storage: it only asks for what it was told is
// there.
//
// An index up to which the log is committed is written with the rest of the state, but isn't worth
// a write of its own: Raft finds it again. But it is written, with the entries behind it at the
// latest, when it passes an entry that changes the members. Whoever has entries that a leader has
// sent which knows of a change must know of it after a crash, too, and applies it before it
// campaigns. Otherwise it might be elected by a majority of the members as they were two changes
// ago, and another replica, in the same term, by one of the present members; or it has what nobody
// else has, without knowing that it may campaign.
func (s *storage) stage(m *raftpb.Message) (w write) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := false
	if m.Term != nil && m.Vote != nil && m.Commit != nil {
		changed = m.GetTerm() != s.is.term || m.GetVote() != s.is.vote
		s.is.term, s.is.vote, s.is.commit = m.GetTerm(), m.GetVote(), m.GetCommit()
	}
	if entries := m.GetEntries(); len(entries) > 0 {
		terms, other := s.is.terms.with(entries)
		s.is.terms, changed = terms, changed || other
		s.changes = slices.DeleteFunc(s.changes, func(i uint64) bool { return i >= entries[0].GetIndex() })
		for _, e := range entries {
			if changesMembers(e) {
				s.changes = append(s.changes, e.GetIndex())
			}
		}
		s.append(entries)
		w.from, w.entries = entries[0].GetIndex(), entries
	}
	if changed || len(s.changes) > 0 && s.changes[0] <= s.is.commit {
		s.changes = slices.DeleteFunc(s.changes, func(i uint64) bool { return i <= s.is.commit })
		w.state = s.is.encode()
	}
	return w
}

// append puts entries in the place of those that the log has from the first of them on.
func (s *storage) append(entries []*raftpb.Entry) {
	from := entries[0].GetIndex()
	if len(s.recent) > 0 {
		keep := min(max(from, s.recent[0].GetIndex())-s.recent[0].GetIndex(), uint64(len(s.recent)))
		for _, e := range s.recent[keep:] {
			s.bytes -= raftBytes(e)
		}
		clear(s.recent[keep:])
		s.recent = s.recent[:keep]
	}
	for _, e := range entries {
		s.bytes += raftBytes(e)
	}
	s.sizes.append(entries)
	s.recent = append(s.recent, entries...)
	s.last = entries[len(entries)-1].GetIndex()
	n := 0
	for ; n < len(s.recent) && s.bytes > recentBytes; n++ {
		s.bytes -= raftBytes(s.recent[n])
	}
	s.drop(n)
}

// forget removes entries up to an index from memory.
func (s *storage) forget(index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for ; n < len(s.recent) && s.recent[n].GetIndex() <= index; n++ {
		s.bytes -= raftBytes(s.recent[n])
	}
	s.drop(n)
}

// drop removes the first n of recent, with what refers to them.
func (s *storage) drop(n int) {
	switch {
	case n == 0:
	case n == len(s.recent):
		s.recent = nil
	default:
		s.recent = s.recent[n:]
		if cap(s.recent) > 2*len(s.recent)+64 {
			s.recent = slices.Clone(s.recent)
		}
	}
}

// trim removes the entries before an index, but for the last of all, and says whether there are
// any: they are to be removed from the disk. Like stage it is called in the order of the writes, so
// that no state is written without the terms of entries that are still there.
func (s *storage) trim(index uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if index = min(index, s.last); index <= s.first {
		return false
	}
	s.first = index
	s.is.terms = s.is.terms.from(index - 1)
	s.sizes.trim(index)
	return true
}
