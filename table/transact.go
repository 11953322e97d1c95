package table

import (
	"context"
	"errors"

	"holdfast"
	"holdfast/item"
	"holdfast/shard"
)

// transactionBytes is how much a TransactGet may return, and how much the request of a
// TransactWrite may have: its items, keys, and what its expressions have. How large the items are
// that a TransactWrite changes or removes doesn't matter.
const transactionBytes = 4 << 20

const (
	repeated     = "Transaction request cannot include multiple operations on one item"
	tooLarge     = "The aggregate size of the items in the transaction cannot exceed 4 MB"
	largePayload = "Transaction payload size cannot exceed 4MB"
)

// TransactGet returns several items of one snapshot, in order. The error is a *CanceledError if one
// of gets is invalid by itself or there is no throughput for it. Other errors are Invalid,
// NotFound, and those of package shard.
func (s *Store) TransactGet(ctx context.Context, gets []Get) ([]Got, error) {
	tables := make([]*live, len(gets))
	reads := make([]shard.Get, len(gets))
	reasons := newReasons(len(gets))
	for i, g := range gets {
		var err error
		if tables[i], err = s.tables.serving(g.Table); err != nil {
			return nil, err
		}
	}
	for i, g := range gets {
		key, err := tables[i].locateTransactGet(g)
		if err == nil {
			err = tables[i].throughput.admitRead(nil)
		}
		if err != nil {
			if reasons.set(i, err); !errors.Is(err, holdfast.Overloaded) {
				break // DynamoDB checks no further, either
			}
			continue
		}
		reads[i] = shard.Get{Shard: tables[i].shard(key), Key: key}
	}
	if err := reasons.err(); err != nil {
		return nil, err
	}
	if repeats(reads) {
		return nil, invalid(repeated)
	}
	session := sessionOf(ctx)
	if err := confirmGets(ctx, s, reads); err != nil {
		return nil, err
	}
	for i, r := range reads {
		if err := session.check(ctx, tables[i], r.Shard); err != nil {
			return nil, err
		}
	}
	items, err := s.disk.GetAll(ctx, reads)
	for _, r := range reads {
		session.see(r.Shard)
	}
	if err != nil {
		for _, t := range tables {
			if outlived := s.tables.outlived(t, err); outlived != err {
				return nil, outlived
			}
		}
		return nil, err
	}
	return transactGot(gets, tables, items)
}

// confirmGets returns when what is read is at least as new as all that was acknowledged before. In a
// cluster only the active node reads a transaction.
func confirmGets(ctx context.Context, s *Store, reads []shard.Get) error {
	if s.installer.cluster == nil {
		return nil
	}
	shards := make([]*shard.Shard, len(reads))
	for i, r := range reads {
		shards[i] = r.Shard
	}
	if err := s.leads(); err != nil {
		return err
	}
	return confirmAll(ctx, shards)
}

func (t *live) locateTransactGet(g Get) (item.Key, error) {
	key, err := t.schema.Key.Exact(g.Key)
	if err != nil {
		return nil, err
	}
	return key, t.checkNested(g.Project.Nested())
}

// transactGot returns the responses for items that were read, and charges for them.
func transactGot(gets []Get, tables []*live, items []item.Item) ([]Got, error) {
	got, bytes := make([]Got, len(gets)), 0
	for i, it := range items {
		bytes += it.Size()
		got[i] = Got{Item: gets[i].Project.Apply(it), Capacity: readCapacity(gets[i].Table,
			readUnits(it.Size(), true)).doubled()}
		tables[i].throughput.spend(got[i].Capacity)
	}
	if bytes > transactionBytes {
		return nil, invalid(tooLarge)
	}
	return got, nil
}

// repeats reports whether an item is named twice.
func repeats(reads []shard.Get) bool {
	type place struct {
		shard *shard.Shard
		key   string
	}
	seen := make(map[place]bool, len(reads))
	for _, r := range reads {
		at := place{r.Shard, string(r.Key)}
		if seen[at] {
			return true
		}
		seen[at] = true
	}
	return false
}

// TransactWrite does all of several writes or none. Written is in order, with what each consumed,
// which is twice what it costs alone. With a token that was used within ten minutes it does
// nothing, and returns what reading would have consumed; the error is ErrTokenReused if the token
// was that of another request. If an action can't be done, the error is a *CanceledError with the
// reasons of all actions. TransactionConflict is never among them, since transactions wait for each
// other. Other errors are Invalid, NotFound, and those of package shard.
func (s *Store) TransactWrite(ctx context.Context, t Transaction) ([]Written, error) {
	changes, err := s.locateActions(t.Actions)
	if err != nil {
		return nil, err
	}
	d := newDecision(changes)
	commit := shard.Commit{Writes: make([]shard.Write, len(changes)), Acknowledge: acknowledgeOf(changes)}
	for i, c := range changes {
		commit.Writes[i] = c.write(func(before item.Item) (item.Item, error) { return d.make(i, before) })
	}
	if t.Token != "" {
		commit.Token, commit.Digest = t.Token, t.Digest[:]
	}
	if err := s.leads(); err != nil {
		return nil, err
	}
	session := sessionOf(ctx)
	if err := session.checkChanges(ctx, changes...); err != nil {
		return nil, err
	}
	results, err := s.disk.Commit(ctx, commit)
	session.seeChanges(changes...)
	session.seeWritten(results)
	switch {
	case errors.Is(err, shard.ErrCommitted):
		return replayed(t.Actions), nil
	case errors.Is(err, shard.ErrTokenReused):
		return nil, ErrTokenReused
	case err != nil:
		return nil, s.tables.outlivedAny(changes, err)
	}
	return transacted(changes, results), nil
}

// replayed returns the response to a transaction that was committed before: it consumes what
// reading its items does.
func replayed(actions []Action) []Written {
	all := make([]Written, len(actions))
	for i := range actions {
		bytes := 0
		if p := actions[i].Put; p != nil {
			bytes = p.Item.Size()
		}
		all[i].Capacity = readCapacity(actions[i].table(), readUnits(bytes, true)).doubled()
	}
	return all
}

// locateActions checks all actions of a transaction as far as that is possible without their items.
func (s *Store) locateActions(actions []Action) ([]*change, error) {
	tables, bytes := make([]*live, len(actions)), 0
	for i := range actions {
		var err error
		if tables[i], err = s.tables.serving(actions[i].table()); err != nil {
			return nil, err
		}
		bytes += actions[i].size()
	}
	if bytes > transactionBytes {
		return nil, invalid(largePayload)
	}
	changes, reads := make([]*change, len(actions)), make([]shard.Get, len(actions))
	reasons := newReasons(len(actions))
	for i := range actions {
		c, err := tables[i].action(&actions[i])
		if err == nil {
			err = tables[i].throughput.admitWrite()
		}
		if err != nil {
			if reasons.set(i, err); !errors.Is(err, holdfast.Overloaded) {
				break // DynamoDB checks no further, either
			}
			continue
		}
		changes[i], reads[i] = c, shard.Get{Shard: c.t.shard(c.key), Key: c.key}
	}
	if err := reasons.err(); err != nil {
		return nil, err
	}
	if repeats(reads) {
		return nil, invalid(repeated)
	}
	return changes, nil
}

func (a *Action) table() string {
	switch {
	case a.Put != nil:
		return a.Put.Table
	case a.Delete != nil:
		return a.Delete.Table
	case a.Update != nil:
		return a.Update.Table
	}
	return a.Check.Table
}

// size returns the bytes of an action in its request.
func (a *Action) size() int {
	switch {
	case a.Put != nil:
		return a.Put.Item.Size() + a.Put.If.Size()
	case a.Delete != nil:
		return a.Delete.Key.Size() + a.Delete.If.Size()
	case a.Update != nil:
		return a.Update.Key.Size() + a.Update.Change.Size() + a.Update.If.Size()
	}
	return a.Check.Key.Size() + a.Check.If.Size()
}

// action checks one action.
func (t *live) action(a *Action) (*change, error) {
	switch {
	case a.Put != nil:
		if err := checkItemSize(a.Put.Item); err != nil {
			return nil, err
		}
		return t.put(*a.Put)
	case a.Delete != nil:
		return t.delete(*a.Delete)
	case a.Update != nil:
		return t.update(*a.Update)
	}
	return t.check(*a.Check)
}

// transacted returns the result of a transaction, and charges for it.
func transacted(changes []*change, results []shard.Result) []Written {
	all := make([]Written, len(changes))
	for i, c := range changes {
		all[i] = c.written(results[i])
		all[i].Capacity = all[i].Capacity.doubled()
		c.t.throughput.spend(all[i].Capacity)
	}
	return all
}

// A decision is whether a transaction is committed. The commit calls each of its changes, one after
// the other. The last one ends the commit if any of them can't be made, so that the reasons of all
// are known by then; until then, changes that can't be made return their item unchanged.
type decision struct {
	changes []*change
	reasons reasons
	called  []bool
	left    int // changes that haven't been called
}

func newDecision(changes []*change) *decision {
	d := &decision{changes: changes}
	d.begin()
	return d
}

func (d *decision) begin() {
	d.reasons = newReasons(len(d.changes))
	d.called = make([]bool, len(d.changes))
	d.left = len(d.changes)
}

// make is the Change of the i-th write.
func (d *decision) make(i int, before item.Item) (item.Item, error) {
	if d.called[i] {
		d.begin() // the commit has begun again
	}
	d.called[i] = true
	d.left--
	after, err := d.changes[i].make(before)
	if err != nil {
		d.reasons.set(i, err)
		after = before
	}
	if d.left > 0 {
		return after, nil
	}
	if err := d.reasons.err(); err != nil {
		return nil, err
	}
	return after, nil
}

// Reasons are those of a transaction's actions.
type reasons []Reason

func newReasons(n int) reasons {
	all := make(reasons, n)
	for i := range all {
		all[i].Code = "None"
	}
	return all
}

// set sets why an action can't be done.
func (all reasons) set(i int, err error) {
	var failed *ConditionError
	switch {
	case errors.As(err, &failed):
		all[i] = Reason{Code: "ConditionalCheckFailed", Message: err.Error(), Item: failed.Item}
	case errors.Is(err, holdfast.Overloaded):
		all[i] = Reason{Code: "ProvisionedThroughputExceeded", Message: err.Error()}
	default:
		all[i] = Reason{Code: "ValidationError", Message: err.Error()}
	}
}

// err returns a *CanceledError if any action can't be done.
func (all reasons) err() error {
	for _, r := range all {
		if r.Code != "None" {
			return &CanceledError{Reasons: all}
		}
	}
	return nil
}
