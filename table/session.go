package table

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast"
	"holdfast/shard"
)

// A Session is what a client has seen. The requests whose context carries it answer nothing older,
// and add what they show and write. It is for one request at a time. A nil *Session has seen
// nothing, and isn't kept.
//
// On a node alone, answers are always as new as a token that the node itself gave, since what was
// seen is on disk. That is checked all the same: the tables' directory may have been put back from
// a copy. A replica of a cluster may lag: a request waits for what was seen, but not for long, and
// then the replica that leads is asked, which knows what was lost.
//
// What a client has seen may be known of some shards only. Reads of the others are consistent, so
// that they are as new as anything that was ever shown.
type Session struct {
	seen holdfast.Token
	part bool           // what the client has seen is known of some shards only
	sure holdfast.Token // these; used if part
}

// NewSession returns a session that has seen what a token has.
func NewSession(seen holdfast.Token) *Session { return &Session{seen: seen} }

// ResumeSession returns a session that has seen what both tokens have. It may have seen more, but not
// of the shards that sure has.
func ResumeSession(seen, sure holdfast.Token) *Session {
	seen.Join(sure)
	return &Session{seen: seen, part: true, sure: sure}
}

// Token returns what the session has seen.
func (s *Session) Token() holdfast.Token { return s.seen }

// sessionKey is the key of a *Session among the values of a context.
type sessionKey struct{}

// WithSession returns a context that carries a session.
func WithSession(ctx context.Context, s *Session) context.Context {
	return context.WithValue(ctx, sessionKey{}, s)
}

func sessionOf(ctx context.Context) *Session {
	s, _ := ctx.Value(sessionKey{}).(*Session)
	return s
}

// check returns when the shard of a table has what the session has seen of it. The error is Lost if
// it never will, and Behind if it hasn't for too long.
func (s *Session) check(ctx context.Context, t *live, sh *shard.Shard) error {
	return s.checkShard(t.desc.Name, sh.ID(), func(tx holdfast.TxID) error {
		err := await(ctx, sh, tx, t.tokenWait)
		if t.acknowledge.Mode == holdfast.Async && errors.Is(err, holdfast.Lost) {
			return &lostWrite{tx, t.desc.Name}
		}
		return err
	})
}

// A lostWrite is the error of a token that has seen a transaction of a table that acknowledges async,
// and that isn't there any more.
type lostWrite struct {
	tx    holdfast.TxID
	table string
}

// Error names the term as Raft counts it, which is how people know it from logs.
func (e *lostWrite) Error() string {
	return fmt.Sprintf("write %d/%d/%d of table %s was lost when its leader failed: the table acknowledges async",
		e.tx.Shard, holdfast.RaftTerm(e.tx.Term), e.tx.Index, e.table)
}

// Is reports that the error is holdfast.Lost.
func (e *lostWrite) Is(target error) bool { return target == holdfast.Lost }

// await returns when what a log keeps has reached a transaction, or the error of Reached. A shard
// that will have it is waited for, so long at most. The replica that leads knows whether it will.
func await(ctx context.Context, log streamLog, tx holdfast.TxID, wait time.Duration) error {
	err := log.Reached(tx)
	sh, ok := log.(*shard.Shard)
	if !ok || !errors.Is(err, holdfast.Behind) {
		return err
	}
	if shard.Leads(sh) {
		if err = shard.Verify(ctx, sh, tx); !errors.Is(err, holdfast.Behind) {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return shard.Await(ctx, sh, tx)
}

// checkLog is check for what a stream is read from, which is confirmed if the session is unsure of it.
func (s *Session) checkLog(ctx context.Context, table string, log streamLog, wait time.Duration) error {
	id := log.Descriptor().ID
	sh, ok := log.(*shard.Shard)
	unsure := ok && s.unsure(id)
	if unsure {
		if err := confirmSoon(ctx, sh, wait); err != nil {
			return err
		}
	}
	err := s.checkShard(table, id, func(tx holdfast.TxID) error { return await(ctx, log, tx, wait) })
	if err == nil && unsure {
		s.see(sh)
	}
	return err
}

// checkShard is check by what says whether the shard has reached a transaction.
func (s *Session) checkShard(table string, id holdfast.ShardID, reached func(holdfast.TxID) error) error {
	if s == nil {
		return nil
	}
	tx, ok := s.seen.Of(id)
	if !ok {
		return nil
	}
	err := reached(tx)
	switch {
	case errors.Is(err, holdfast.Behind):
		return holdfast.Errorf(holdfast.Behind, "table %s doesn't have yet what the token has seen: %w", table, err)
	case errors.Is(err, holdfast.Lost):
		if s.part { // the client hears of it once: next time the shard is one that it isn't known of
			s.seen.Forget(id)
			s.sure.Forget(id)
		}
		if write := (*lostWrite)(nil); errors.As(err, &write) {
			return &holdfast.Error{Kind: holdfast.Lost, Text: write.Error()}
		}
		return holdfast.Errorf(holdfast.Lost, "table %s no longer has what the token has seen: %w", table, err)
	}
	return err
}

// unsure reports whether the session may have seen more of a shard than is known. A read must then be
// consistent. It may be called on nil.
func (s *Session) unsure(id holdfast.ShardID) bool {
	if s == nil || !s.part {
		return false
	}
	_, ok := s.sure.Of(id)
	return !ok
}

// see adds what a shard has now, which is at least what was read or written before. What is read must
// have been checked, and be consistent if the session is unsure of it.
func (s *Session) see(sh *shard.Shard) {
	if s == nil {
		return
	}
	at := sh.At(sh.End().Index - 1)
	s.seen.See(at)
	if s.part {
		s.sure.See(at)
	}
}

// catchUp has the session be sure of a shard that it is unsure of, and that was confirmed. The error
// is that of check.
func (s *Session) catchUp(ctx context.Context, t *live, sh *shard.Shard) error {
	if !s.unsure(sh.ID()) {
		return nil
	}
	if err := s.check(ctx, t, sh); err != nil {
		return err
	}
	s.see(sh)
	return nil
}

// checkChanges is check for the shards of changes.
func (s *Session) checkChanges(ctx context.Context, changes ...*change) error {
	for _, c := range changes {
		if s == nil {
			return nil
		}
		if err := s.check(ctx, c.t, c.t.shard(c.key)); err != nil {
			return err
		}
	}
	return nil
}

// seeChanges adds what changes did, or what they were refused by.
func (s *Session) seeChanges(changes ...*change) {
	for _, c := range changes {
		if s == nil {
			return
		}
		s.see(c.t.shard(c.key))
	}
}

// seeWritten adds the transactions of a commit, which a shard that acknowledges async may not show yet.
func (s *Session) seeWritten(results []shard.Result) {
	if s == nil {
		return
	}
	for _, r := range results {
		if r.Tx.Index == 0 {
			continue
		}
		s.seen.See(r.Tx)
		if s.part {
			s.sure.See(r.Tx)
		}
	}
}

// seeRecords adds changes that were read from a shard's log.
func (s *Session) seeRecords(changes []shard.Change) {
	if s != nil && len(changes) > 0 {
		s.seen.See(changes[len(changes)-1].Tx)
	}
}

// checkIndex returns an error unless the read's global index has applied what the session has seen
// of the table: Behind if it will, and Lost if the table hasn't got it. It adds what the index has
// applied.
func (s *Session) checkIndex(ctx context.Context, r *read) error {
	if s == nil {
		return nil
	}
	for _, sh := range r.t.shards {
		if err := s.check(ctx, r.t, sh); err != nil {
			return err
		}
	}
	for _, at := range r.t.followers.Applied(r.index.ID) {
		if tx, ok := s.seen.Of(at.Shard); ok && tx.Index > at.Index {
			return holdfast.Errorf(holdfast.Behind, "index %s of table %s doesn't have yet what the token has seen: "+
				"it is at transaction %v, and the token at %v", r.index.Name, r.t.desc.Name, at, tx)
		}
		s.seen.See(at)
	}
	return nil
}
