package shard

import (
	"crypto/rand"
	"encoding/binary"
	"slices"
	"sort"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
)

// Terms say which leader gave the transactions of a shard their indexes. With one replica, each
// start of the store that changes the shard is a term. Terms rise by random steps, so that two
// directories of which one is a copy of the other have different terms from then on: a transaction
// of the one is never taken for one of the other that has the same index. With several replicas,
// the terms are those of the group's leaders (holdfast.GroupTerm), which differ likewise.
//
//	start   1                  2          (the directory is put back) 2'
//	index   1 … 80             81 … 100                               81 …
//	term    402,115            977,610                                1,203,004
type terms struct {
	all atomic.Pointer[[]termBegin] // by rising index, and term; not empty; replaced with sequencer.mu held
	own uint64                      // of what this process proposes; 0: not drawn yet; guarded by sequencer.mu
}

// A termBegin is a term with the index at which it begins.
type termBegin struct{ term, index uint64 }

const (
	maxTerms = 64 // that a shard keeps: older transactions are of an unknown term
	termStep = 1 << 20
)

// formerTerm is the term of all transactions of a shard that has no record of its terms.
const formerTerm = 1

// init sets what a shard begins with.
func (t *terms) init() { t.all.Store(&[]termBegin{{formerTerm, 1}}) }

// load reads the terms of a shard.
func (t *terms) load(e *engine, from pebble.Reader, k keys) error {
	raw, ok, err := e.read(from, k.meta(metaTerms))
	if err != nil || !ok {
		return err
	}
	all, err := decodeTerms(raw)
	if err != nil {
		return e.damaged(k.shard, k.meta(metaTerms), err)
	}
	t.all.Store(&all)
	return nil
}

// of returns the term of a transaction; 0 if it isn't known.
func (t *terms) of(index uint64) uint64 {
	all := *t.all.Load()
	n := sort.Search(len(all), func(i int) bool { return all[i].index > index })
	if n == 0 {
		return 0
	}
	return all[n-1].term
}

// draw returns the term of what this process proposes. sequencer.mu is held.
func (t *terms) draw() uint64 {
	if t.own == 0 {
		var step [8]byte
		_, _ = rand.Read(step[:]) // never fails
		t.own = t.newest() + 1 + binary.BigEndian.Uint64(step[:])%termStep
	}
	return t.own
}

func (t *terms) newest() uint64 {
	all := *t.all.Load()
	return all[len(all)-1].term
}

// with returns the terms with that of a transaction; nil if it is the newest already. before is the
// last transaction before it. Its term begins behind that: what a group's log has in between is no
// transaction here, but another log may have had one of the former term there, which was lost.
func (t *terms) with(tx holdfast.TxID, before uint64) []termBegin {
	if tx.Term == t.newest() {
		return nil
	}
	all := slices.Clone(*t.all.Load())
	if all[len(all)-1].index == before+1 { // only that of a shard without transactions
		all = all[:len(all)-1]
	}
	all = all[max(0, len(all)+1-maxTerms):]
	return append(all, termBegin{tx.Term, before + 1})
}

const termsVersion = 1

// appendTerms appends the form of terms on disk: a byte for the version, their number, and for each
// of them the term and its first index (varints).
func appendTerms(dst []byte, all []termBegin) []byte {
	dst = append(dst, termsVersion)
	dst = binary.AppendUvarint(dst, uint64(len(all)))
	for _, t := range all {
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, t.term), t.index)
	}
	return dst
}

func decodeTerms(raw string) (all []termBegin, err error) {
	if raw == "" || raw[0] != termsVersion {
		return nil, errTerms()
	}
	r := reader{rest: raw[1:]}
	last := termBegin{}
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		next := termBegin{r.uvarint(), r.uvarint()}
		if next.term <= last.term || next.index <= last.index {
			return nil, errTerms()
		}
		all, last = append(all, next), next
	}
	if r.bad || r.rest != "" || len(all) == 0 {
		return nil, errTerms()
	}
	return all, nil
}

func errTerms() error {
	return holdfast.Errorf(holdfast.Corrupt, "the terms of a shard can't be decoded")
}

// At returns the transaction with an index.
func (sh *Shard) At(index uint64) holdfast.TxID {
	return holdfast.TxID{Shard: sh.id, Term: sh.terms.of(index), Index: index}
}

// Reached returns an error unless a transaction of the shard is on disk, with all before it. It is
// Lost if no replica has the transaction, or ever will have it; Behind if another one may have it.
//
// Terms never fall within a log, and it has one leader in each of Raft's terms. So in a shard that
// has a group, what isn't here yet can still come, unless a later term has begun here, or that of
// another leader whom Raft has elected in the same term: then the log that had the transaction is
// gone.
func (sh *Shard) Reached(tx holdfast.TxID) error {
	if newest := sh.At(sh.sequencer.durable.at.Load()); tx.Index > newest.Index {
		later := tx.Term == newest.Term || holdfast.RaftTerm(tx.Term) > holdfast.RaftTerm(newest.Term)
		if sh.group.grouped() && later {
			return holdfast.Errorf(holdfast.Behind, "transaction %v isn't here yet: the newest is %v", tx, newest)
		}
		return holdfast.Errorf(holdfast.Lost, "transaction %v was lost: the newest is %v", tx, newest)
	}
	if is := sh.terms.of(tx.Index); is != tx.Term {
		return holdfast.Errorf(holdfast.Lost, "transaction %v was lost: another is in its place, of term %d", tx, is)
	}
	return nil
}
