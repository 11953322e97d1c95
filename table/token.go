package table

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"strings"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/shard"
)

// Before there was a ledger, a transaction's token was kept in a record token/MINUTE/TOKEN, whose
// value is the millisecond since 1970, 8 bytes big-endian, and the digest of the request. The record
// tokens-kept-from had the minute before which all tokens were removed.
const (
	tokenPrefix    = "token/"
	tokensKeptFrom = "tokens-kept-from"
	tokenBatch     = 1000 // that are taken over at once
)

// openLedger opens the ledger of transactions, when all shards of tables are open, and resolves what
// a crash has left of transactions, before any request.
func (i *installer) openLedger(ctx context.Context, now time.Time, log *slog.Logger) (*shard.Ledger, error) {
	i.catalog.Lock()
	defer i.catalog.Unlock()
	r, err := i.catalog.OpenLedger(ctx)
	if err != nil {
		return nil, err
	}
	shards, err := openAll(i.disk, catalog.Descriptors(r.Space, r.Shards), shard.LedgerSchema())
	if err != nil {
		return nil, err
	}
	l := i.disk.UseLedger(shards[0])
	if err = l.ResolveAll(ctx); err == nil {
		err = i.takeOverTokens(ctx, l, now)
	}
	if errors.Is(err, holdfast.Full) {
		log.Warn("transactions that were interrupted, or old tokens, wait until there is disk space", "err", err)
		err = nil
	}
	return l, err
}

// takeOverTokens moves tokens from their records into the ledger, and removes the records. If it is
// interrupted, the next start goes on: a token that is in the ledger stays as it is there.
func (i *installer) takeOverTokens(ctx context.Context, l *shard.Ledger, now time.Time) error {
	records, err := i.disk.Records(tokenPrefix)
	if err != nil {
		return err
	}
	if _, ok, err := i.disk.Record(tokensKeptFrom); err != nil || !ok && len(records) == 0 {
		return err
	}
	for len(records) > 0 {
		some := records[:min(len(records), tokenBatch)]
		records = records[len(some):]
		if err := l.Remember(ctx, usedTokens(some, now)); err != nil {
			return err
		}
		for n := range some {
			some[n].Value = nil
		}
		if err := i.disk.SaveRecords(ctx, some, true); err != nil {
			return err
		}
	}
	return i.disk.SaveRecords(ctx, []shard.Record{{Name: tokensKeptFrom}}, true)
}

// usedTokens returns the tokens of records that haven't expired.
func usedTokens(records []shard.Record, now time.Time) (all []shard.UsedToken) {
	for _, r := range records {
		_, token, ok := strings.Cut(strings.TrimPrefix(r.Name, tokenPrefix), "/")
		if !ok || len(r.Value) <= 8 {
			continue
		}
		at := time.UnixMilli(int64(binary.BigEndian.Uint64(r.Value)))
		if now.Sub(at) < shard.TokenAge {
			all = append(all, shard.UsedToken{Token: token, Digest: r.Value[8:], At: at})
		}
	}
	return all
}
