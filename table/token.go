package table

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"holdfast/shard"
)

// A transaction's token is kept in a record, token/MINUTE/TOKEN, where MINUTE counts from 1970 and
// is that in which the transaction was committed. Its value is the millisecond since 1970, 8 bytes
// big-endian, and the digest of the request. So a look-up tries eleven names, and expired
// tokens are found by their minute. The record tokens-kept-from has the minute before
// which all tokens were removed; the first transaction that finds it out of date removes what is
// due.
const (
	tokenAge        = 10 * time.Minute
	tokenPrefix     = "token/"
	tokensKeptFrom  = "tokens-kept-from"
	tokenMinutes    = int64(tokenAge / time.Minute)
	tokensPerCommit = 1000 // that are removed
)

// errTokenKnown is the error of a transaction that was committed before.
var errTokenKnown = errors.New("table: the token's transaction was committed before")

// errTokensRemoved is the error of a claim on tokens that another request has claimed.
var errTokensRemoved = errors.New("table: the tokens were removed before")

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

func tokenMinute(minute int64) string { return fmt.Sprintf("%s%010d/", tokenPrefix, minute) }

// Tokens are the client request tokens of the transactions of the last ten minutes. They are
// records of the disk, written by the commits of their transactions.
type tokens struct {
	disk *shard.Store
	log  *slog.Logger
	now  func() time.Time
}

// A tokenGuard lets a transaction with a token be committed once.
type tokenGuard struct {
	token string
	value []byte // of its record
	now   time.Time
	due   bool // there are older tokens to remove
}

// guard makes a commit depend on the token of its transaction not having been used, and record the
// token.
func (k *tokens) guard(c *shard.Commit, t Transaction) *tokenGuard {
	g := &tokenGuard{token: t.Token, now: k.now()}
	g.value = append(binary.BigEndian.AppendUint64(nil, uint64(g.now.UnixMilli())), t.Digest[:]...)
	c.Records = append(c.Records, shard.Record{Name: tokenMinute(minuteOf(g.now)) + t.Token, Value: g.value})
	c.Guards = append(c.Guards, tokenPrefix+t.Token)
	c.Decide = g.decide
	return g
}

// decide is the Decide of the commit.
func (g *tokenGuard) decide(record func(string) ([]byte, bool, error)) error {
	for minute := minuteOf(g.now); minute >= minuteOf(g.now)-tokenMinutes; minute-- {
		kept, ok, err := record(tokenMinute(minute) + g.token)
		if err != nil {
			return err
		}
		if ok && len(kept) == len(g.value) && g.now.Sub(time.UnixMilli(int64(binary.BigEndian.Uint64(kept)))) < tokenAge {
			return checkDigest(kept[8:], g.value[8:])
		}
	}
	// Read here, within the commit, this costs no wait for the disk of its own.
	from, err := keptFrom(record)
	g.due = from < keepFrom(g.now)
	return err
}

func checkDigest(kept, digest []byte) error {
	if string(kept) != string(digest) {
		return ErrTokenReused
	}
	return errTokenKnown
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

// keepFrom returns the minute from which tokens may still be needed.
func keepFrom(now time.Time) int64 { return minuteOf(now) - tokenMinutes - 1 }

// keptFrom returns the minute before which all tokens were removed; 0: none ever were.
func keptFrom(record func(string) ([]byte, bool, error)) (int64, error) {
	value, _, err := record(tokensKeptFrom)
	if err != nil || len(value) != 8 {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(value)), nil
}

// expire removes the tokens that are no longer needed. A failure is retried in the next minute.
func (k *tokens) expire(ctx context.Context, now time.Time) {
	keep := keepFrom(now)
	from, err := k.claim(ctx, keep)
	if err == nil {
		err = k.drop(ctx, from, keep)
	}
	if err != nil && !errors.Is(err, errTokensRemoved) && ctx.Err() == nil {
		k.log.Warn("can't remove old transaction tokens", "err", err)
	}
}

// claim makes this request the only one that removes the tokens of the minutes from the one that it
// returns, and before keep.
func (k *tokens) claim(ctx context.Context, keep int64) (from int64, err error) {
	_, err = k.disk.Commit(ctx, shard.Commit{
		Records: []shard.Record{{Name: tokensKeptFrom, Value: binary.BigEndian.AppendUint64(nil, uint64(keep))}},
		Guards:  []string{tokensKeptFrom},
		Decide: func(record func(string) ([]byte, bool, error)) (err error) {
			if from, err = keptFrom(record); err == nil && from >= keep {
				err = errTokensRemoved
			}
			return err
		},
	})
	return from, err
}

// drop removes the tokens of the minutes before keep. It begins a little before from, since the
// process may have crashed after it claimed those. If no tokens were removed for a long time, it
// searches all of them.
func (k *tokens) drop(ctx context.Context, from, keep int64) error {
	if keep-from > 6*tokenMinutes {
		return k.dropRecords(ctx, tokenPrefix, tokenMinute(keep))
	}
	for minute := from - 2; minute < keep; minute++ {
		if err := k.dropRecords(ctx, tokenMinute(minute), tokenMinute(keep)); err != nil {
			return err
		}
	}
	return nil
}

// dropRecords removes the records with a prefix that come before a name.
func (k *tokens) dropRecords(ctx context.Context, prefix, before string) error {
	records, err := k.disk.Records(prefix)
	if err != nil {
		return err
	}
	for len(records) > 0 {
		c := shard.Commit{Removal: true}
		for len(records) > 0 && len(c.Records) < tokensPerCommit {
			if r := records[0]; r.Name < before {
				c.Records = append(c.Records, shard.Record{Name: r.Name})
			}
			records = records[1:]
		}
		if len(c.Records) == 0 {
			continue
		}
		if _, err := k.disk.Commit(ctx, c); err != nil {
			return err
		}
	}
	return nil
}
