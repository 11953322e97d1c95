package session

import (
	"cmp"
	"container/list"
	"context"
	"strings"
	"sync"
	"time"

	"holdfast"
)

// Lease is for how long a node may use what it keeps, from when it asked for that.
const Lease = time.Second

// renewals is how often a lease is renewed while it lasts.
const renewals = 4

// The defaults of Options.
const (
	defaultSessions = 100_000
	defaultBytes    = 32 << 20
	defaultIdle     = 10 * time.Minute
)

// The sizes that are counted against Options.MaxBytes: of a session without its name and its token's
// transactions, and of one of these.
const (
	sessionBytes     = 256
	transactionBytes = 24
)

// Options are those of a Keeper.
type Options struct {
	Peers       Peers         // nil: the node is alone, and always knows what its clients have seen of it
	MaxSessions int           // that are kept; default 100,000. Those that were used longest ago go.
	MaxBytes    int64         // of all that are kept, about; default 32 MiB
	Idle        time.Duration // after which a session is forgotten; default ten minutes
	Now         func() time.Time
}

// Peers are the leading node, wherever it is.
type Peers interface {
	// Lease has Grants.Lease of the leading node give this node a lease.
	Lease(ctx context.Context) error

	// Claim has Grants.Claim of the leading node make all other nodes forget a session. It may be
	// repeated. If there is an error, nothing is known.
	Claim(ctx context.Context, name string) error
}

// Stats are counts since the start, and what is kept now.
type Stats struct {
	Kept    int
	Bytes   int64 // about
	Known   uint64
	Unknown uint64 // requests of sessions that the node didn't know
	Moved   uint64 // requests whose session wasn't bound to the node any more when they were answered

	DroppedFull, DroppedIdle, DroppedElsewhere, DroppedLease uint64 // sessions, by why
}

// A Keeper keeps the sessions that are bound to a node.
type Keeper struct {
	o      Options
	asking chan struct{} // has an element while a lease is asked for
	filled chan struct{} // has an element if Run waits and something is kept

	mu    sync.Mutex // guards what follows
	named map[string]*list.Element
	used  list.List // of *kept, the one that was used longest ago first
	until time.Time // of the lease; a node alone needs none
	stats Stats
}

// A kept is a session that is bound to this node.
type kept struct {
	name  string
	token holdfast.Token
	known bool // a request of it was answered here since it was claimed
	last  time.Time
	bytes int64
}

// New returns a Keeper that keeps nothing yet.
func New(o Options) *Keeper {
	o.MaxSessions = cmp.Or(o.MaxSessions, defaultSessions)
	o.MaxBytes = cmp.Or(o.MaxBytes, defaultBytes)
	o.Idle = cmp.Or(o.Idle, defaultIdle)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Keeper{o: o, asking: make(chan struct{}, 1), filled: make(chan struct{}, 1),
		named: map[string]*list.Element{}}
}

// A Visit is a request of a session.
type Visit struct {
	of    *Keeper
	name  string
	kept  *kept // nil: it can't be kept
	token holdfast.Token
}

// Visit begins a request of a session. The error is Refused if the node doesn't know the session and
// it can't be claimed: the request must not be executed.
func (k *Keeper) Visit(ctx context.Context, name string) (*Visit, error) {
	v := &Visit{of: k, name: name}
	if k.find(v) {
		return v, nil
	}
	if k.o.Peers == nil {
		k.bind(v)
		return v, nil
	}
	if err := k.lease(ctx, false); err == nil {
		k.bind(v) // before the claim, so that a later one of another node can unbind it
	}
	if err := k.o.Peers.Claim(ctx, name); err != nil {
		return nil, holdfast.Errorf(holdfast.Refused, "nothing was changed: this node doesn't know the session, and "+
			"the other nodes can't be made to forget it: %s", strings.TrimPrefix(err.Error(), "nothing was changed: "))
	}
	return v, nil
}

// Token returns what the node keeps of the session: the shards that it lacks must be read
// consistently. The zero token is that of a session which the node doesn't know.
func (v *Visit) Token() holdfast.Token { return v.token }

// Keep adds what the request's answer has seen, and forgets the shards of which that isn't known. It
// must return before the answer is sent. If it returns an error, the answer must not be sent.
func (v *Visit) Keep(ctx context.Context, seen holdfast.Token, forget []holdfast.ShardID) error {
	if v.of.keep(v, seen, forget) || v.of.o.Peers == nil {
		return nil
	}
	if err := v.of.o.Peers.Claim(ctx, v.name); err != nil {
		return holdfast.Errorf(holdfast.Unavailable,
			"the session was used at another node meanwhile, which can't be made to forget it: %w", err)
	}
	v.of.Forget(v.name) // a concurrent request may have bound it again, and be older
	return nil
}

// Forget has the node forget a session, for another node that has claimed it.
func (k *Keeper) Forget(name string) { k.forget(name, &k.stats.DroppedElsewhere) }

// Stats returns the counts.
func (k *Keeper) Stats() Stats {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.stats
	s.Kept = len(k.named)
	return s
}

// Run drops idle sessions and renews the lease, until ctx ends. While nothing is kept it waits.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(Lease / renewals)
	defer tick.Stop()
	for {
		if k.Stats().Kept == 0 {
			select {
			case <-k.filled:
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		k.dropIdle()
		if k.o.Peers != nil && k.Stats().Kept > 0 {
			in, end := context.WithTimeout(ctx, Lease)
			_ = k.lease(in, true) // until it succeeds, no session is known
			end()
		}
	}
}

// find sets what the visit begins with; false if the node doesn't know the session.
func (k *Keeper) find(v *Visit) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.named[v.name]
	if e == nil || !e.Value.(*kept).known || !k.leased() {
		k.stats.Unknown++
		return false
	}
	k.stats.Known++
	v.kept = k.use(e)
	v.token = v.kept.token
	return true
}

// leased reports whether what is kept may be used. mu is held.
func (k *Keeper) leased() bool { return k.o.Peers == nil || k.o.Now().Before(k.until) }

// use notes that a session is used now. mu is held.
func (k *Keeper) use(e *list.Element) *kept {
	s := e.Value.(*kept)
	s.last = k.o.Now()
	k.used.MoveToBack(e)
	return s
}

// bind binds a session that the node doesn't know. Concurrent requests of it share what is kept.
func (k *Keeper) bind(v *Visit) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.leased() {
		return
	}
	e := k.named[v.name]
	if e == nil {
		e = k.used.PushBack(&kept{name: v.name})
		k.named[v.name] = e
		k.resize(e.Value.(*kept))
		select {
		case k.filled <- struct{}{}:
		default:
		}
	}
	v.kept = k.use(e)
	k.dropOldest()
}

// keep is Visit.Keep; false if the session isn't bound to this node any more.
func (k *Keeper) keep(v *Visit, seen holdfast.Token, forget []holdfast.ShardID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.named[v.name]
	if e == nil || !e.Value.(*kept).bound(v) || !k.leased() {
		k.stats.Moved++
		return false
	}
	s := k.use(e)
	for _, id := range forget {
		s.token.Forget(id)
	}
	s.token.Join(seen)
	s.known = true
	k.resize(s)
	k.dropOldest()
	return true
}

// bound reports whether the session is bound to this node for certain: by the visit's claim, or by one
// whose request was answered. Another request may have bound it again, and not have claimed it yet.
func (s *kept) bound(v *Visit) bool { return s == v.kept || s.known }

// resize counts the bytes of a session. mu is held.
func (k *Keeper) resize(s *kept) {
	k.stats.Bytes -= s.bytes
	s.bytes = sessionBytes + int64(len(s.name)) + transactionBytes*int64(s.token.Len())
	k.stats.Bytes += s.bytes
}

// dropOldest drops sessions while there are too many. mu is held.
func (k *Keeper) dropOldest() {
	for len(k.named) > k.o.MaxSessions || k.stats.Bytes > k.o.MaxBytes {
		k.drop(k.used.Front(), &k.stats.DroppedFull)
	}
}

func (k *Keeper) dropIdle() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		e := k.used.Front()
		if e == nil || k.o.Now().Sub(e.Value.(*kept).last) < k.o.Idle {
			return
		}
		k.drop(e, &k.stats.DroppedIdle)
	}
}

func (k *Keeper) forget(name string, why *uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e := k.named[name]; e != nil {
		k.drop(e, why)
	}
}

// drop drops a session. Its requests in flight find that it isn't bound any more. mu is held.
func (k *Keeper) drop(e *list.Element, why *uint64) {
	s := e.Value.(*kept)
	k.used.Remove(e)
	delete(k.named, s.name)
	k.stats.Bytes -= s.bytes
	*why++
}

// lease returns when the node has a lease; renew: one that begins after the call.
func (k *Keeper) lease(ctx context.Context, renew bool) error {
	select {
	case k.asking <- struct{}{}:
		defer func() { <-k.asking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	k.mu.Lock()
	has := k.leased()
	k.mu.Unlock()
	if has && !renew {
		return nil
	}
	from := k.o.Now()
	if err := k.o.Peers.Lease(ctx); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.leased() {
		for k.used.Len() > 0 { // others may have claimed these while this node couldn't be asked
			k.drop(k.used.Front(), &k.stats.DroppedLease)
		}
	}
	k.until = from.Add(Lease)
	return nil
}
