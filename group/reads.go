package group

import (
	"encoding/binary"
	"sync/atomic"

	"holdfast"
)

// A read waits until its replica has applied all that was acknowledged before it began.
type read struct {
	done  chan error  // gets the result; has space for it
	gone  atomic.Bool // nobody waits for it any more
	began int         // the tick at which the replica got it
}

// reads are the reads of a replica. For each it asks the leader up to where the log is committed,
// which the leader answers once a majority has said that it still leads (ReadIndex, section 6.4 of
// the Raft thesis); the read then waits until the replica has applied the log up to there. A
// question serves all reads that have begun before it. While one is out, new reads gather for the
// next; after askAgain ticks it is asked again, for them too, since a message may be lost.
//
// A question is known by its context. None is used twice, also not by a replica that was started
// again: an answer that comes late, or twice, would be taken for that to a later question, for
// which it may be too old.
type reads struct {
	life [8]byte // random; the first half of the contexts
	last uint64  // number of the last question; the second half of its context

	pending   []*read    // by the order in which they began; their index isn't known
	questions []question // that aren't answered, by rising number; each serves more reads than those before it
	ticks     int        // since the last question
	confirmed []confirmed
}

// A question was asked for the first n of pending.
type question struct {
	number uint64
	n      int
}

// A confirmed is reads that wait until an index is applied.
type confirmed struct {
	index uint64
	reads []*read
}

const (
	askAgain     = 3 // ticks
	maxQuestions = 8 // that a replica remembers: answers to older ones come too late
)

// add adds a read.
func (r *reads) add(x *read) { r.pending = append(r.pending, x) }

// idle says whether reads wait and no question is out.
func (r *reads) idle() bool { return len(r.pending) > 0 && len(r.questions) == 0 }

// some reports whether there are any.
func (r *reads) some() bool { return len(r.pending)+len(r.confirmed) > 0 }

// tick says whether it is time to ask again.
func (r *reads) tick() bool {
	if r.ticks++; r.ticks < askAgain || len(r.pending) == 0 {
		return false
	}
	r.sweep()
	return len(r.pending) > 0
}

// sweep removes reads for which nobody waits.
func (r *reads) sweep() {
	var kept []*read
	gone := make([]int, len(r.pending)+1) // of the first n pending
	for i, x := range r.pending {
		gone[i+1] = gone[i]
		if x.gone.Load() {
			gone[i+1]++
		} else {
			kept = append(kept, x)
		}
	}
	for i := range r.questions {
		r.questions[i].n -= gone[r.questions[i].n]
	}
	r.pending = kept
	for i := range r.confirmed {
		r.confirmed[i].sweep()
	}
}

func (c *confirmed) sweep() {
	var kept []*read
	for _, x := range c.reads {
		if !x.gone.Load() {
			kept = append(kept, x)
		}
	}
	c.reads = kept
}

// ask returns the context of a new question for all pending reads.
func (r *reads) ask() []byte {
	r.last++
	r.ticks = 0
	if len(r.questions) == maxQuestions {
		r.questions = append(r.questions[:0], r.questions[1:]...)
	}
	r.questions = append(r.questions, question{r.last, len(r.pending)})
	return binary.BigEndian.AppendUint64(r.life[:], r.last)
}

// answer takes the answer to a question: all that was acknowledged before it was asked is in the
// log up to index.
func (r *reads) answer(context []byte, index uint64) {
	if len(context) != contextBytes || [8]byte(context) != r.life {
		return
	}
	number := binary.BigEndian.Uint64(context[8:])
	for i, q := range r.questions {
		if q.number != number {
			continue
		}
		if q.n > 0 {
			r.confirmed = append(r.confirmed, confirmed{index, r.pending[:q.n:q.n]})
		}
		r.pending = r.pending[q.n:]
		r.questions = r.questions[i+1:]
		for k := range r.questions {
			r.questions[k].n -= q.n
		}
		return
	}
}

// applied ends the reads that wait for nothing behind an index.
func (r *reads) applied(index uint64) {
	kept := r.confirmed[:0]
	for _, c := range r.confirmed {
		if c.index > index {
			kept = append(kept, c)
			continue
		}
		for _, x := range c.reads {
			x.done <- nil
		}
	}
	clear(r.confirmed[len(kept):])
	r.confirmed = kept
}

// expire ends the reads that the replica got before a tick, by what why returns.
func (r *reads) expire(before int, why func() error) {
	var err error
	end := func(all []*read) {
		for _, x := range all {
			if x.began >= before || x.gone.Load() {
				continue
			}
			if err == nil {
				err = why()
			}
			x.done <- err
			x.gone.Store(true)
		}
	}
	end(r.pending)
	for i := range r.confirmed {
		end(r.confirmed[i].reads)
	}
	if err != nil {
		r.sweep()
	}
}

// refuse ends the reads for which no leader has said up to where the log is committed.
func (r *reads) refuse(err error) {
	for _, x := range r.pending {
		x.done <- err
	}
	r.pending, r.questions = nil, nil
}

// close ends all reads.
func (r *reads) close() {
	for _, c := range r.confirmed {
		r.pending = append(r.pending, c.reads...)
	}
	r.confirmed = nil
	r.refuse(holdfast.Errorf(holdfast.Closed, "the replica on this node stopped"))
}
