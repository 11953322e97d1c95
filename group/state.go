package group

import (
	"encoding/binary"
	"slices"
	"sort"

	"go.etcd.io/raft/v3/raftpb"

	"holdfast"
)

// A state is what a replica has on disk beside the entries of its log.
type state struct {
	term, vote, commit uint64
	members            []uint64 // by rising ID: the voters at first; see membersOf
	terms              terms
}

// terms are the terms of a log's entries: each with its first index, by rising term and index. With
// them, the term of an entry is known without reading it, also of the last that was removed.
type terms []termBegin

type termBegin struct{ term, index uint64 }

// of returns the term of an entry; 0 if there is no term that begins at or before it.
func (t terms) of(index uint64) uint64 {
	n := sort.Search(len(t), func(i int) bool { return t[i].index > index })
	if n == 0 {
		return 0
	}
	return t[n-1].term
}

// with returns the terms of the log when it ends with entries, and whether they differ from t.
func (t terms) with(entries []*raftpb.Entry) (terms, bool) {
	from := entries[0].GetIndex()
	kept := sort.Search(len(t), func(i int) bool { return t[i].index >= from })
	next, changed := t[:kept:kept], kept != len(t)
	for _, e := range entries {
		if len(next) == 0 || next[len(next)-1].term != e.GetTerm() {
			next, changed = append(next, termBegin{e.GetTerm(), e.GetIndex()}), true
		}
	}
	if slices.Equal(t, next) {
		changed = false
	}
	return next, changed
}

// from returns t without the terms that end before an index.
func (t terms) from(index uint64) terms {
	for len(t) > 1 && t[1].index <= index {
		t = t[1:]
	}
	return t
}

const stateVersion = 1

// encode returns the form of a state on disk: a byte for the version, and varints: the term, for
// whom the replica voted in it (0: nobody), an index up to which it knew the log to be committed,
// the number of members and their IDs, the number of terms, and the term and first index of each.
func (s *state) encode() []byte {
	dst := []byte{stateVersion}
	for _, n := range [...]uint64{s.term, s.vote, s.commit, uint64(len(s.members))} {
		dst = binary.AppendUvarint(dst, n)
	}
	for _, id := range s.members {
		dst = binary.AppendUvarint(dst, id)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.terms)))
	for _, t := range s.terms {
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, t.term), t.index)
	}
	return dst
}

func decodeState(raw []byte) (*state, error) {
	if len(raw) == 0 || raw[0] != stateVersion {
		return nil, errState()
	}
	r := varints{rest: raw[1:]}
	s := &state{term: r.next(), vote: r.next(), commit: r.next()}
	for n := r.next(); n > 0 && !r.bad; n-- {
		s.members = append(s.members, r.next())
	}
	last := termBegin{}
	for n := r.next(); n > 0 && !r.bad; n-- {
		t := termBegin{r.next(), r.next()}
		if t.term <= last.term || t.index <= last.index {
			return nil, errState()
		}
		s.terms, last = append(s.terms, t), t
	}
	members := Members{Voters: nodeIDs(s.members)}
	if r.bad || members.check() != nil || len(r.rest) != 0 || last.term > s.term {
		return nil, errState()
	}
	return s, nil
}

func errState() error {
	return holdfast.Errorf(holdfast.Corrupt, "the state of a replica can't be decoded")
}
