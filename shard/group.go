package shard

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
)

// A Group is what a shard that is one of several replicas needs of their group, which is the log
// that all of them apply.
type Group interface {
	// Lead returns the term in which this replica leads the group, once all that was committed in
	// former terms is applied here. The error is NotLeader.
	Lead() (term uint64, err error)

	// LeadsIn reports whether this replica leads, and what it proposes are transactions of that term.
	LeadsIn(term uint64) bool

	// Propose puts an entry behind all that were proposed before, and returns without waiting for its
	// outcome, which p.Proposer gets. After an error there is no other outcome: nothing was changed.
	//
	// The group gives entries their places in the order in which they were proposed. It may refuse one
	// and take those behind it, but for what its Proposer says.
	Propose(p Proposal) error

	// Read returns when this replica has applied all that was acknowledged anywhere before the call.
	// The error is Unavailable if the replicas don't agree on what that is, and Overloaded when ctx
	// ends.
	Read(ctx context.Context) error
}

// A Proposal is an entry that a group is to commit.
type Proposal struct {
	Term uint64 // in which this replica led while the entry was decided
	Raw  []byte

	Acknowledge holdfast.Acknowledge // what its acknowledgement waits for
	Proposer    Proposer
}

// A Proposer gets from a group what becomes of an entry. Its methods wait for nothing, and may be
// called before Propose has returned, or after its caller has stopped waiting.
type Proposer interface {
	// Stands is called once before the entry gets its place, if no other reason refuses it first, and
	// behind Ended of all entries that were refused although they were proposed earlier. If it returns
	// an error, the entry is refused for that.
	Stands() error

	// Early is called with the entry's place when it is acknowledged and not applied yet, as it may be
	// in the mode Async, or the other way round. It is not called if both happen at once.
	Early(tx holdfast.TxID)

	// Ended is called once, last: with the entry's place when it is both, or with an error. That is
	// NotLeader, Refused or Overloaded if the entry wasn't committed and never will be, as when its
	// term has ended and what was decided in it may be stale; Unavailable if that isn't known, or if it
	// isn't known to be acknowledged.
	Ended(tx holdfast.TxID, err error)
}

// Committed is an entry that a group has committed.
type Committed struct {
	Tx  holdfast.TxID
	Raw string
}

// A Replica is a shard as its group sees it.
type Replica struct{ shard *Shard }

// ReplicaOf returns a shard as its group sees it.
func ReplicaOf(sh *Shard) Replica { return Replica{sh} }

// Join makes the shard one of a group's replicas. From now on its entries go through the group, which
// gives them to ApplyAll. It is called before the shard is used.
func (r Replica) Join(g Group) { r.shard.group.log.Store(&groupLog{group: g}) }

// Await says that the shard is to be one of a group's replicas, and isn't one yet. Until Join it takes
// nothing, and confirms no reads.
func (r Replica) Await() { r.shard.group.log.Store(&groupLog{}) }

// Applied returns the last entry that the shard has applied.
func (r Replica) Applied() holdfast.TxID { return r.shard.At(r.shard.sequencer.applied.Load()) }

// ApplyAll applies entries in the order of their places. It is called by one goroutine at a time.
// When it returns, readers see what they do, but it isn't synced: the entries must be on disk in the
// group's log, so that they are applied again after a crash. After an error the store must be opened
// again.
func (r Replica) ApplyAll(entries []Committed) error { return r.ApplyChanged(entries, nil) }

// ApplyChanged is ApplyAll for entries among which some have changed the members of the group, in
// the order of the log. Those aren't in entries: members is what is to be known of the members
// behind all of them, in the group's form, and is on disk with what entries do or not at all; nil:
// they stay.
func (r Replica) ApplyChanged(entries []Committed, members []byte) error {
	sh := r.shard
	if err := sh.store.gate.enter(); err != nil {
		return err
	}
	defer sh.store.gate.leave()
	// Members may be as of later entries than those of their batch, but not of earlier ones.
	for ; len(entries) > 0 || members != nil; members = nil {
		n := throughChecksum(entries)
		applied, err := applyAll(sh, entries[:n], members)
		if err != nil {
			return err
		}
		seen(applied)
		if n > 0 {
			sh.sequencer.durable.raise(entries[n-1].Tx.Index)
		}
		entries = entries[n:]
	}
	return nil
}

// applyAll applies entries in one batch. Whoever holds sequencer.mu finds the counts of exactly
// what readers see, as with the log of one replica.
func applyAll(sh *Shard, entries []Committed, members []byte) ([]*entry, error) {
	b := sh.engine.db.NewIndexedBatch()
	defer b.Close()
	sh.sequencer.mu.Lock()
	defer sh.sequencer.mu.Unlock()
	applied := make([]*entry, len(entries))
	for i := range entries {
		var err error
		if applied[i], err = applyRaw(sh, b, entries[i].Raw, entries[i].Tx); err != nil {
			return nil, err
		}
	}
	if members != nil {
		if err := b.Set(sh.keys.meta(metaMembers), members, nil); err != nil {
			return nil, err
		}
	}
	if err := sh.engine.submitNoSync(b); err != nil {
		return nil, err
	}
	sh.store.checksums.begin(sh, applied)
	return applied, nil
}

// A groupLog is the log of a shard that is one of several replicas. An entry is applied, here as
// elsewhere, when it is committed. Until then other commits are decided by what it does, if it is a
// commit of one shard without a token (overlay); what was latched for any other stays latched until
// the entry can't be lost any more, as propose returns only then.
type groupLog struct {
	group Group // nil: it hasn't started yet

	mu        sync.Mutex
	abandoned int           // proposals of propose that nobody waits for and whose outcome isn't known
	drained   chan struct{} // closed when there are none any more; nil: there are none
}

var _ entryLog = (*groupLog)(nil)

// A membership is what a shard knows of its group.
type membership struct {
	shard   *Shard
	log     atomic.Pointer[groupLog] // nil: the shard has one replica, and no group
	overlay overlay
}

// entries returns the log that the shard's entries go to.
func (m *membership) entries() entryLog {
	if l := m.log.Load(); l != nil {
		return l
	}
	return m.shard.store.entries
}

// lead returns the term in which an entry is decided; 0 if there is no group. It is called before
// what decides the entry is read, and with what it needs latched. The caller waits until done is
// closed; nil is for ever.
func (m *membership) lead(done <-chan struct{}) (term uint64, err error) {
	l := m.log.Load()
	if l == nil {
		return 0, nil
	}
	return l.lead(m.shard, done)
}

// leads returns the term in which this replica leads at the moment; 0 if there is no group. Unlike
// lead it waits for nothing, and nothing may be decided by it.
func (m *membership) leads() (term uint64, err error) {
	l := m.log.Load()
	switch {
	case l == nil:
		return 0, nil
	case l.group == nil:
		return 0, errNotStarted(m.shard.id)
	}
	return l.group.Lead()
}

// leadsIn reports whether this replica leads, and gives transactions that term.
func (m *membership) leadsIn(term uint64) bool {
	l := m.log.Load()
	return l != nil && l.group != nil && l.group.LeadsIn(term)
}

// grouped reports whether the shard has a group.
func (m *membership) grouped() bool { return m.log.Load() != nil }

func (l *groupLog) lead(sh *Shard, done <-chan struct{}) (term uint64, err error) {
	if l.group == nil {
		return 0, errNotStarted(sh.id)
	}
	for {
		drained := l.drains()
		term, err := l.group.Lead()
		if err != nil || drained == nil {
			return term, err
		}
		select {
		case <-drained:
		case <-done:
			return 0, errEarlier(sh.id)
		}
	}
}

func errNotStarted(id holdfast.ShardID) error {
	return holdfast.Errorf(holdfast.NotLeader, "nothing was changed: the group of shard %d hasn't started here", id)
}

// confirm returns an error unless the group had no other leader, between when an entry was to be
// decided in a term and the call, that could have changed what was read then: it is NotLeader, or
// that of Group.Read.
func (m *membership) confirm(ctx context.Context, term uint64) error {
	l := m.log.Load()
	if l == nil {
		return nil
	}
	if err := l.group.Read(ctx); err != nil {
		return err
	}
	if now, err := l.group.Lead(); err != nil || now != term {
		return holdfast.Errorf(holdfast.NotLeader, "nothing was changed: the leader of shard %d has changed", m.shard.id)
	}
	return nil
}

// drains returns a channel that is closed when the outcome of all proposals is known that nobody
// waits for any more; nil: there are none.
func (l *groupLog) drains() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.drained
}

// propose implements entryLog. What was staged in b is of no use here: the entry is staged again
// when it is applied.
func (l *groupLog) propose(_ *pebble.Batch, entries []*entry) error {
	for _, e := range entries {
		if err := l.proposeEntry(e); err != nil {
			return err
		}
	}
	return nil
}

// proposeLazily implements entryLog.
func (l *groupLog) proposeLazily(b *pebble.Batch, entries []*entry) error {
	return l.propose(b, entries)
}

// wait implements entryLog.
func (l *groupLog) wait(*pebble.Batch) error { return nil }

// order implements entryLog.
func (l *groupLog) order([]*entry) error { return nil }

// flush implements entryLog.
func (l *groupLog) flush(*Shard) error { return nil }

// begin proposes an entry that was decided by those of some ways, and returns its own way. If it has
// images, they are in the overlay from before the next commit of their items can be decided.
func (l *groupLog) begin(e *entry, behind []*way) (*way, error) {
	sh, w := e.shard, newWay(e, behind)
	sh.sequencer.mu.Lock()
	e.at = max(sh.store.now().UnixNano(), sh.tally.at, sh.floor)
	sh.sequencer.mu.Unlock()
	raw := e.appendTo(nil)
	if e.body == nil {
		sh.group.overlay.add(w, e.effects, raw)
	}
	p := Proposal{Term: e.term, Raw: raw, Acknowledge: e.acknowledge, Proposer: w}
	if err := l.group.Propose(p); err != nil {
		w.Ended(holdfast.TxID{}, err)
		return nil, err
	}
	return w, nil
}

// proposeEntry proposes an entry, and returns when it is applied. If its caller stops waiting, later
// entries of the shard aren't decided until the outcome of this one is known: what it had latched no
// longer keeps them from being decided by what it may change yet.
func (l *groupLog) proposeEntry(e *entry) error {
	w, err := l.begin(e, nil)
	if err != nil {
		return err
	}
	if !closedBefore(e.done, w.applied) {
		l.abandon()
		go func() {
			<-w.applied
			l.know()
		}()
		return errUnknown(e.shard)
	}
	if w.fate != nil {
		return w.fate
	}
	e.tx, e.way = w.tx, w
	return nil
}

func errUnknown(sh *Shard) error {
	return holdfast.Errorf(holdfast.Unavailable, "outcome unknown: the replicas of shard %d didn't agree in time",
		sh.id)
}

// abandon counts a proposal that nobody waits for any more.
func (l *groupLog) abandon() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.abandoned++; l.drained == nil {
		l.drained = make(chan struct{})
	}
}

// know counts the outcome of an abandoned proposal.
func (l *groupLog) know() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.abandoned--; l.abandoned == 0 {
		close(l.drained)
		l.drained = nil
	}
}
