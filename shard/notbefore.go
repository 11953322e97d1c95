package shard

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// notBefore returns when no entry of the shard's log that is decided from now on gets a time before
// that, whichever replica decides it and whatever its clock says.
func notBefore(ctx context.Context, sh *Shard, at time.Time) error {
	nanos := at.UnixNano()
	if !sh.group.grouped() {
		sh.sequencer.mu.Lock()
		defer sh.sequencer.mu.Unlock()
		sh.floor = max(sh.floor, nanos)
		return nil
	}
	sh.schemas.RLock()
	defer sh.schemas.RUnlock()
	p, err := decide(ctx, sh, func() (body, error) {
		if !sh.Time().Before(at) {
			return nil, nil
		}
		return &timeBody{nanos}, nil
	}, sh.engine.db)
	if err != nil || p == nil {
		return err
	}
	if err := p.propose(true); err != nil {
		return err
	}
	return p.wait()
}

// Time returns the time of the shard's last entry, which none after it is before. It is the zero
// time if there is none.
func (sh *Shard) Time() time.Time {
	sh.sequencer.mu.Lock()
	defer sh.sequencer.mu.Unlock()
	if sh.tally.at == 0 {
		return time.Time{}
	}
	return time.Unix(0, sh.tally.at)
}

// A timeBody is an entry that no later one has an earlier time than, and does nothing else. Its
// form for a log is that time in nanoseconds since 1970, 8 bytes.
//
// The time of the entry itself wouldn't do: it is the clock's.
type timeBody struct{ at int64 }

func decodeTime(r *reader) (body, error) { return &timeBody{int64(r.fixed())}, nil }

func (x *timeBody) kind() entryKind { return entryTime }

func (x *timeBody) appendTo(dst []byte) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(x.at))
}

func (x *timeBody) stage(*entry, *pebble.Batch, pebble.Reader) error { return nil }

func (x *timeBody) apply(e *entry, _ *pebble.Batch) error {
	e.next.at = max(e.next.at, x.at)
	return nil
}

func (x *timeBody) install(*entry) {}
