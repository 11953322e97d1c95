package shard

import (
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// TokenAge is how long a token makes a commit happen only once.
const TokenAge = 10 * time.Minute

// Errors of commits with a token.
var (
	ErrCommitted   = errors.New("shard: a commit with the token and digest was done before")
	ErrTokenReused = errors.New("shard: the token is that of a commit with another digest")
)

// A decision is what stands in the ledger of a transaction: an ordinary item, whose key is the
// transaction's token, or its ID if it has none. What is put there first holds. Once it can be seen,
// the transaction is committed, or aborted, in all of its shards.
//
// A decision is removed when it has expired, or replaced by that of another transaction with the
// token, but never while a shard may still have locks of its transaction.
type decision struct {
	id        txnID
	committed bool
	at        int64              // the transaction's time, in nanoseconds since 1970
	shards    []holdfast.ShardID // that the transaction changes, rising
	used      time.Time          // when the token was used; to the millisecond
	digest    string             // of the request with the token
	expires   int64              // the second after which it may be removed
}

// The attributes of a decision.
const (
	ledgerKey       = "key" // "t" and the token, or "x" and the ID
	ledgerID        = "id"
	ledgerCommitted = "committed"
	ledgerTime      = "time"
	ledgerShards    = "shards"
	ledgerUsed      = "used"
	ledgerDigest    = "digest"
	ledgerExpires   = "expires"
)

// LedgerSchema returns the schema of the shard that UseLedger takes.
func LedgerSchema() Schema {
	return Schema{Key: item.KeySchema{Hash: item.KeyAttr{Name: ledgerKey, Type: item.S}}, TTL: ledgerExpires}
}

// A Ledger is the decisions of a store's transactions. A nil *Ledger is that of a store without one,
// which is opened for reading only, or where no commit is a transaction.
type Ledger struct {
	store *Store
	shard *Shard
}

// UseLedger sets the shard, opened with LedgerSchema, that keeps the decisions of transactions, and
// returns the ledger. There is one: later calls return that of the first. It is called before the
// first commit over several shards or with a token, and before what interrupted transactions have
// left is resolved. Until then a follower of the shards' groups, which may have got their locks first,
// has nothing that says what becomes of them.
func (s *Store) UseLedger(sh *Shard) *Ledger {
	s.ledger.CompareAndSwap(nil, &Ledger{store: s, shard: sh})
	return s.ledger.Load()
}

// LedgerShard returns the shard that UseLedger was called with; !ok: it wasn't yet.
func LedgerShard(s *Store) (id holdfast.ShardID, ok bool) {
	if l := s.ledger.Load(); l != nil {
		return l.shard.ID(), true
	}
	return 0, false
}

// decisionName returns the name of a decision in the ledger.
func decisionName(token string, id txnID) string {
	if token != "" {
		return "t" + token
	}
	return "x" + id.String()
}

// decisionKey returns the key of a decision.
func decisionKey(name string) (item.Key, error) {
	return LedgerSchema().Key.Key(item.New(item.Attr{Name: ledgerKey, Value: item.Text(name)}))
}

// item returns the decision as it stands in the ledger.
func (d *decision) item(name string) item.Item {
	var shards []byte
	for _, id := range d.shards {
		shards = binary.AppendUvarint(shards, uint64(id))
	}
	numeric := func(n int64) item.Value { return item.Value{Type: item.N, Text: strconv.FormatInt(n, 10)} }
	return item.New(
		item.Attr{Name: ledgerKey, Value: item.Text(name)},
		item.Attr{Name: ledgerID, Value: item.Bytes(string(d.id[:]))},
		item.Attr{Name: ledgerCommitted, Value: item.Bool(d.committed)},
		item.Attr{Name: ledgerTime, Value: numeric(d.at)},
		item.Attr{Name: ledgerShards, Value: item.Bytes(string(shards))},
		item.Attr{Name: ledgerUsed, Value: numeric(d.used.UnixMilli())},
		item.Attr{Name: ledgerDigest, Value: item.Bytes(d.digest)},
		item.Attr{Name: ledgerExpires, Value: numeric(d.expires)})
}

// decodeDecision decodes an item of the ledger.
func decodeDecision(it item.Item) (d decision, err error) {
	bad := false
	get := func(name string, of item.Type) item.Value {
		v, ok := it.Get(name)
		bad = bad || !ok || v.Type != of
		return v
	}
	whole := func(name string) int64 {
		n, err := strconv.ParseInt(get(name, item.N).Text, 10, 64)
		bad = bad || err != nil
		return n
	}
	bad = copy(d.id[:], get(ledgerID, item.B).Text) != len(d.id)
	d.committed = get(ledgerCommitted, item.BOOL).Bool
	d.at, d.used, d.expires = whole(ledgerTime), time.UnixMilli(whole(ledgerUsed)), whole(ledgerExpires)
	d.digest = get(ledgerDigest, item.B).Text
	for r := (reader{rest: get(ledgerShards, item.B).Text}); r.rest != ""; {
		d.shards = append(d.shards, holdfast.ShardID(r.uvarint()))
		bad = bad || r.bad
	}
	if bad {
		return decision{}, holdfast.Errorf(holdfast.Corrupt, "a transaction's decision can't be decoded")
	}
	return d, nil
}

// read returns the decision at a key in what can be seen through from; !ok: there is none.
func (l *Ledger) read(from pebble.Reader, key item.Key) (d decision, was image, ok bool, err error) {
	was, err = l.shard.items.image(from, key)
	if err != nil || was.item == nil {
		return decision{}, was, false, err
	}
	if d, err = decodeDecision(was.item); err != nil {
		return decision{}, was, false, l.shard.engine.damaged(l.shard.id, key, err)
	}
	return d, was, true, nil
}

// remembered reports whether a decision is of a token that still makes its commit happen only once.
func (d *decision) remembered(now time.Time) bool {
	return d.committed && d.digest != "" && now.Sub(d.used) < TokenAge
}

// held returns a shard that still has locks of a decision's transaction, and those; nil: none has.
func (l *Ledger) held(d *decision) (*Shard, *prepared) {
	for _, sh := range l.changes(d) {
		if p := sh.locks.of(d.id); p != nil {
			return sh, p
		}
	}
	return nil, nil
}

// A UsedToken is a token of a commit that was done.
type UsedToken struct {
	Token  string
	Digest []byte
	At     time.Time // when it was used
}

// Remember adds tokens to the ledger that were kept elsewhere, unless they are there.
func (l *Ledger) Remember(ctx context.Context, tokens []UsedToken) error {
	var c Commit
	for _, u := range tokens {
		name := decisionName(u.Token, txnID{})
		key, err := decisionKey(name)
		if err != nil {
			return err
		}
		d := decision{
			committed: true, at: u.At.UnixNano(), used: u.At, digest: string(u.Digest), expires: expiresAt(u.At),
		}
		c.Writes = append(c.Writes, Write{Shard: l.shard, Key: key, Change: func(before item.Item) (item.Item, error) {
			if before != nil {
				return before, nil
			}
			return d.item(name), nil
		}})
	}
	_, err := l.store.Commit(ctx, c)
	return err
}

// expiresAt returns the second after which the decision of a token that was used at a time may be
// removed.
func expiresAt(used time.Time) int64 { return used.Add(TokenAge).Unix() + 1 }

// Expire removes up to n decisions that have expired, and returns how many it has removed. Locks
// that are left of their transactions are resolved first. seeks is as for Shard.Expired.
func (l *Ledger) Expire(ctx context.Context, now time.Time, n, seeks int) (removed int, err error) {
	if _, err := l.shard.group.leads(); err != nil {
		return 0, err
	}
	keys, err := l.shard.Expired(now, n, seeks)
	if err != nil || len(keys) == 0 {
		return 0, err
	}
	ended, err := l.end(ctx, keys)
	if err != nil {
		return 0, err
	}
	c := Commit{Removal: true}
	for _, key := range keys {
		c.Writes = append(c.Writes, Write{Shard: l.shard, Key: key, Origin: holdfast.ByExpiry,
			Change: func(before item.Item) (item.Item, error) {
				if before == nil {
					return nil, nil
				}
				d, err := decodeDecision(before)
				if err != nil {
					return nil, err
				}
				if _, p := l.held(&d); p != nil || !ended[d.id] || d.expires >= now.Unix() {
					return before, nil
				}
				return nil, nil
			}})
	}
	results, err := l.store.Commit(ctx, c)
	for _, r := range results {
		if r.Before != nil && r.After == nil {
			removed++
		}
	}
	return removed, err
}

// end resolves what is left of the transactions whose decisions are at some keys, and returns those
// that have nothing left: their IDs.
func (l *Ledger) end(ctx context.Context, keys []item.Key) (ended map[txnID]bool, err error) {
	var all []*decision
	for _, key := range keys {
		d, _, ok, err := l.read(l.store.engine.db, key)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, &d)
		}
	}
	if err := l.confirm(ctx, all...); err != nil {
		return nil, err
	}
	ended = make(map[txnID]bool, len(all))
	for _, d := range all {
		for sh, p := l.held(d); p != nil; sh, p = l.held(d) {
			if err := l.resolve(ctx, sh, p); err != nil {
				return nil, err
			}
		}
		ended[d.id] = true
	}
	return ended, nil
}

// confirm returns when the replicas here have all that the transactions of some decisions have locked:
// those of another leader may be on their way. Afterwards held knows.
func (l *Ledger) confirm(ctx context.Context, decisions ...*decision) error {
	confirmed := map[*Shard]bool{}
	for _, d := range decisions {
		for _, sh := range l.changes(d) {
			if confirmed[sh] || !sh.group.grouped() {
				continue
			}
			if err := sh.group.read(ctx); err != nil && !sh.isDropped() {
				return err
			}
			confirmed[sh] = true
		}
	}
	return nil
}

// changes returns the shards that a decision's transaction changes. One that isn't open is to be
// removed.
func (l *Ledger) changes(d *decision) (all []*Shard) {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	for _, id := range d.shards {
		if sh := l.store.shards[id]; sh != nil {
			all = append(all, sh)
		}
	}
	return all
}
