package group

import (
	"cmp"
	"errors"
	"slices"

	"go.etcd.io/raft/v3/raftpb"

	"holdfast"
	"holdfast/shard"
)

// run gives replicas what has come in, until the host is closed.
func (h *Host) run() {
	for {
		inputs, open := h.inputs.take()
		touched := h.sort(inputs)
		if !open {
			closeAll(touched) // some may have been stopped
			closeAll(h.all())
			return
		}
		h.step(touched)
	}
}

// step has replicas take what is in their inboxes.
func (h *Host) step(touched []*Replica) {
	for i, r := range touched {
		out, err := r.work()
		if err != nil {
			h.fail(err)
			closeAll(touched[i:])
			return
		}
		h.ticking.stepped(r)
		h.carryOut(r, out)
	}
}

func closeAll(replicas []*Replica) {
	for _, r := range replicas {
		r.close()
	}
}

// sort puts inputs into the inboxes of their replicas, and returns those that got some, in the
// order in which they did.
func (h *Host) sort(inputs []input) (touched []*Replica) {
	touch := func(r *Replica) *inbox {
		if !r.inbox.filled {
			r.inbox.filled = true
			touched = append(touched, r)
		}
		return &r.inbox
	}
	for i := range inputs {
		in := &inputs[i]
		if in.replica == nil {
			h.ticking.tick(h, int(h.passed.Swap(0)), touch)
			continue
		}
		box := touch(in.replica)
		box.add(in)
		h.received.Add(-int64(in.bytes))
	}
	return touched
}

func (b *inbox) add(in *input) {
	if in.message != nil {
		b.messages = append(b.messages, in.message)
	}
	if in.note != nil {
		b.notes = append(b.notes, in.note)
	}
	if in.proposal != nil {
		b.proposals = append(b.proposals, in.proposal)
	}
	if in.read != nil {
		b.reads = append(b.reads, in.read)
	}
	if in.transfer != 0 {
		b.transfer = in.transfer
	}
	if in.change != nil {
		b.changes = append(b.changes, in.change)
	}
	if in.members != nil && (b.members == nil || b.members.Index < in.members.Index) {
		b.members = in.members
	}
	if in.snapshot != nil {
		b.snapshots = append(b.snapshots, in.snapshot)
	}
	if in.report != nil {
		b.reports = append(b.reports, in.report)
	}
	b.campaign = b.campaign || in.campaign
	b.stop = b.stop || in.stop
	b.stored = append(b.stored, in.stored...)
	b.applied = append(b.applied, in.applied...)
}

// carryOut does what follows from what a replica was given.
func (h *Host) carryOut(r *Replica, out effects) {
	for _, m := range out.store {
		s := storing{replica: r, message: m}
		if m.GetSnapshot() != nil {
			s.received = out.received
		}
		h.stores.put(s)
	}
	if out.trim != 0 {
		h.stores.put(storing{replica: r, trim: out.trim})
	}
	for _, m := range out.apply {
		h.applys.put(applying{r, m})
	}
	for _, x := range out.snapshots {
		h.sender.begin(r, x)
	}
	for _, m := range out.send {
		h.send(r, m)
	}
	for _, m := range out.notes {
		h.o.Send(m)
	}
}

func (h *Host) send(r *Replica, m *raftpb.Message) {
	message, err := encode(r.id, m)
	if err != nil {
		h.o.Log.Error("a message can't be encoded", "shard", r.id, "err", err)
		return
	}
	h.o.Send(message)
}

// store writes what replicas want on disk, until the host is closed.
func (h *Host) store() {
	for {
		all, open := h.stores.take()
		if !open {
			return
		}
		all, begin := h.installs.divert(all)
		h.writing.Store(1)
		stageAll(all)
		all, err := h.write(all)
		for try := 0; errors.Is(err, holdfast.Full); try++ {
			// Until there is space, the node is one whose disk hangs.
			if try == 0 {
				h.o.Log.Warn("the logs of replicas can't be written", "err", err)
			}
			if <-h.retry; h.stores.isClosed() {
				return
			}
			all, err = h.write(all)
		}
		h.writing.Store(0)
		if err != nil {
			h.fail(err)
			return
		}
		h.respond(all)
		h.installs.begin(begin)
	}
}

// stageAll changes the replicas' logs in memory as their messages say.
func stageAll(all []storing) {
	for i := range all {
		s := &all[i]
		log := s.replica.core.log
		switch {
		case s.installed:
		case s.message != nil:
			s.write = log.stage(s.message)
		case !log.trim(s.trim):
			s.trim = 0
		}
	}
}

// write writes what is to be stored, but for replicas that are being stopped, as one batch, which
// it syncs if there are responses. It returns what it has tried to write.
func (h *Host) write(all []storing) ([]storing, error) {
	h.writes.take()
	defer h.writes.leave()
	all = slices.DeleteFunc(all, func(s storing) bool { return s.replica.stopping.Load() })
	if len(all) == 0 {
		return nil, nil
	}
	b, sync := shard.NewLogBatch(h.o.Store), false
	for i := range all {
		s := &all[i]
		s.write.addTo(b, s.replica.log)
		b.Trim(s.replica.log, s.trim)
		sync = sync || len(s.message.GetResponses()) > 0
	}
	return all, b.Commit(sync)
}

// addTo adds what is to be written of a log to a batch.
func (w *write) addTo(b *shard.LogBatch, log *shard.GroupLog) {
	raw := make([][]byte, len(w.entries))
	for i, e := range w.entries {
		raw[i] = appendStored(nil, e)
	}
	b.Append(log, w.from, raw)
	if w.state != nil {
		b.SetState(log, w.state)
	}
}

// respond delivers the responses to what was written.
func (h *Host) respond(all []storing) {
	for _, s := range all {
		var own []*raftpb.Message
		for _, m := range s.message.GetResponses() {
			if m.GetTo() == uint64(h.o.Node) {
				own = append(own, m)
			} else {
				h.send(s.replica, m)
			}
		}
		if len(own) > 0 {
			h.inputs.put(input{replica: s.replica, stored: own})
		}
	}
}

// apply has shards apply what is committed, until the host is closed.
func (h *Host) apply() {
	for {
		all, open := h.applys.take()
		if !open {
			return
		}
		// What is there of one replica becomes one batch of its shard.
		slices.SortStableFunc(all, func(a, b applying) int {
			return cmp.Compare(a.replica.id, b.replica.id)
		})
		for len(all) > 0 {
			n := 1
			for n < len(all) && all[n].replica == all[0].replica {
				n++
			}
			if err := h.applyTo(all[0].replica, all[:n]); err != nil {
				h.fail(err)
				return
			}
			all = all[n:]
		}
	}
}

// applyTo has a replica's shard apply entries, and says so to the replica, unless that is being
// stopped. Those that a snapshot has are passed over, also if it isn't installed yet.
func (h *Host) applyTo(r *Replica, all []applying) error {
	h.applies.take()
	defer h.applies.leave()
	if !r.passes(all) {
		r.exchange.take()
		defer r.exchange.leave()
	}
	if r.stopping.Load() {
		return nil
	}
	base := r.base.Load()
	var entries []shard.Committed
	var members []byte
	var responses []*raftpb.Message
	for _, a := range all {
		for _, e := range a.message.GetEntries() {
			if e.GetIndex() <= base {
				continue
			}
			if changesMembers(e) {
				if err := r.core.log.change(e, &members); err != nil {
					return err
				}
			} else if _, raw, _ := parseEntry(e.GetData()); raw != nil {
				tx := holdfast.TxID{Shard: r.id, Term: termOf(e), Index: e.GetIndex()}
				entries = append(entries, shard.Committed{Tx: tx, Raw: string(raw)})
			}
		}
		responses = append(responses, a.message.GetResponses()...)
	}
	if err := r.shard.ApplyChanged(entries, members); err != nil {
		return err
	}
	h.inputs.put(input{replica: r, applied: responses})
	return nil
}

// passes reports whether a snapshot has all of what the shard is to apply, so that it needn't wait until
// the snapshot is installed.
func (r *Replica) passes(all []applying) bool {
	base := r.base.Load()
	return !slices.ContainsFunc(all, func(a applying) bool {
		entries := a.message.GetEntries()
		return len(entries) > 0 && entries[len(entries)-1].GetIndex() > base
	})
}
