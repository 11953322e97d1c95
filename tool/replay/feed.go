package replay

import (
	"context"
	"fmt"
	"io"
	"math"
	"sync"
	"time"
)

// feed distributes the trace's requests to the connections, in order.
type feed struct {
	mu    sync.Mutex // guards all below
	src   Source
	limit int64 // 0 for none
	speed float64
	start time.Time
	seq   int64   // of the next request
	next  Request // the request that was read and isn't played yet, if has
	has   bool
	err   error // that ended the trace: io.EOF, or its fault
}

// play is one request in flight, and then its result.
type play struct {
	seq        int64
	key        []byte // its own
	valueBytes int
	exptime    int64
	answer     getAnswer
	latency    time.Duration
}

// A TraceError is a fault of a trace, with its place. The requests before it were played.
type TraceError struct{ Err error }

func (e *TraceError) Error() string { return e.Err.Error() }

// Unwrap is for errors.Is.
func (e *TraceError) Unwrap() error { return e.Err }

// fault returns the *TraceError that ended the trace, or nil.
func (f *feed) fault() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil || f.err == io.EOF {
		return nil
	}
	return &TraceError{f.err}
}

// fill appends requests to batch up to its capacity. It returns an empty batch and no error at the
// end of the trace and also at a fault, so that requests in flight on other connections finish
// first. With a speed it waits until the first request is due, and the others are those that are
// due by then.
func (f *feed) fill(ctx context.Context, batch []play, o *Options) ([]play, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(batch) < cap(batch) && f.peek() {
		due, err := f.due(ctx, len(batch) == 0)
		if err != nil {
			return batch, err
		}
		if !due {
			return batch, nil
		}
		batch = batch[:len(batch)+1]
		batch[len(batch)-1].reset(f.seq, f.next, o)
		f.seq++
		f.has = false
	}
	return batch, nil
}

// peek reads the next request into next. It returns false at the end.
func (f *feed) peek() bool {
	if f.has || f.err != nil {
		return f.has
	}
	if f.limit > 0 && f.seq >= f.limit {
		f.err = io.EOF
		return false
	}
	if f.next, f.err = f.src.Next(); f.err != nil {
		return false
	}
	if f.speed > 0 && !f.next.HasTime {
		f.err = fmt.Errorf("request %d of the trace has no time: it can't be played at its own speed", f.seq+1)
		return false
	}
	f.has = true
	return true
}

// due reports whether the next request is due, or waits until it is.
func (f *feed) due(ctx context.Context, wait bool) (bool, error) {
	if f.speed == 0 {
		return true, nil
	}
	at := min(float64(f.next.At)/f.speed, math.MaxInt64/2)
	left := time.Until(f.start.Add(time.Duration(at)))
	if left <= 0 {
		return true, nil
	}
	if !wait {
		return false, nil
	}
	return true, sleep(ctx, left)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reset makes p the request r, and keeps the memory of its key.
func (p *play) reset(seq int64, r Request, o *Options) {
	*p = play{seq: seq, key: append(p.key[:0], r.Key...), valueBytes: r.ValueBytes}
	if o.ValueBytes > 0 {
		p.valueBytes = o.ValueBytes
	} else if r.ValueBytes < 0 {
		p.valueBytes = defaultValueBytes
	}
	ttl := o.TTL
	if ttl == 0 {
		ttl = r.TTL
	}
	p.exptime = exptime(ttl)
}

// exptime returns ttl as on the wire: seconds from now up to 30 days, Unix seconds above.
func exptime(ttl time.Duration) int64 {
	if ttl <= 0 {
		return 0
	}
	seconds := int64((ttl + time.Second - 1) / time.Second)
	if seconds > 30*24*60*60 {
		seconds += time.Now().Unix()
	}
	return seconds
}
