package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast"
)

// fakePeers is a leading node that grants everything unless it fails.
type fakePeers struct {
	fails          error
	leases, claims int
}

func (p *fakePeers) Lease(context.Context) error {
	p.leases++
	return p.fails
}

func (p *fakePeers) Claim(context.Context, string) error {
	p.claims++
	return p.fails
}

// seen is a token that has seen an entry of shard 1.
func seen(index uint64) (t holdfast.Token) {
	t.See(holdfast.TxID{Shard: 1, Term: 1, Index: index})
	return t
}

// visits is a Keeper with a clock and a leading node.
type visits struct {
	*Keeper
	t     *testing.T
	peers *fakePeers
	now   time.Time
}

func newVisits(t *testing.T, o Options) *visits {
	v := &visits{t: t, peers: &fakePeers{}, now: time.Unix(1e9, 0)}
	if o.Peers = v.peers; t.Name() == "TestNodeAlone" {
		o.Peers = nil
	}
	o.Now = func() time.Time { return v.now }
	v.Keeper = New(o)
	return v
}

func (v *visits) begin(name string) *Visit {
	v.t.Helper()
	visit, err := v.Visit(context.Background(), name)
	if err != nil {
		v.t.Fatal(err)
	}
	return visit
}

func (v *visits) keep(visit *Visit, seen holdfast.Token) {
	v.t.Helper()
	if err := visit.Keep(context.Background(), seen, nil); err != nil {
		v.t.Fatal(err)
	}
}

// want expects what a visit begins with, and how often a session was claimed so far.
func (v *visits) want(name string, token holdfast.Token, claims int) {
	v.t.Helper()
	if got := v.begin(name).Token(); got.String() != token.String() || v.peers.claims != claims {
		v.t.Errorf("session %s: got the token %v after %d claims; want %v after %d", name, got, v.peers.claims, token,
			claims)
	}
}

// What is answered is known afterwards, and joined with what is answered by then; a request that
// begins meanwhile claims the session itself.
func TestVisits(t *testing.T) {
	v := newVisits(t, Options{})
	first, second := v.begin("a"), v.begin("a")
	v.want("b", holdfast.Token{}, 3)
	v.keep(first, seen(5))
	v.want("a", seen(5), 3)
	v.keep(second, seen(3))
	v.want("a", seen(5), 3)
	third := v.begin("a")
	if err := third.Keep(context.Background(), holdfast.Token{}, []holdfast.ShardID{1}); err != nil {
		t.Fatal(err)
	}
	v.want("a", holdfast.Token{}, 3)
	if got := v.Stats(); got.Known != 4 || got.Unknown != 3 || got.Moved != 0 || got.Kept != 2 || v.peers.leases != 1 {
		t.Errorf("got %+v and %d leases; want 4 known, 3 unknown, and one lease", got, v.peers.leases)
	}
}

// A session that another node claims while its request is executed isn't kept, and is claimed again
// before the answer is sent; if that can't be, the answer isn't.
func TestVisitMoves(t *testing.T) {
	v := newVisits(t, Options{})
	v.keep(v.begin("a"), seen(1))
	visit := v.begin("a")
	v.Forget("a")
	again := v.begin("a") // it has claimed the session, and isn't answered yet
	v.keep(visit, seen(9))
	if v.peers.claims != 3 || v.Stats().Kept != 0 {
		t.Errorf("got %d claims, and %d kept; want three and none", v.peers.claims, v.Stats().Kept)
	}
	v.keep(again, seen(2))
	v.want("a", holdfast.Token{}, 5)

	v.peers.fails = errors.New("no leader")
	v.Forget("a")
	if err := again.Keep(context.Background(), seen(3), nil); !errors.Is(err, holdfast.Unavailable) {
		t.Errorf("got %v; want that the session can't be claimed", err)
	}
	_, err := v.Visit(context.Background(), "a")
	if !errors.Is(err, holdfast.Refused) || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("got %v; want the request refused", err)
	}
	if got := v.Stats(); got.Moved != 3 || got.DroppedElsewhere == 0 {
		t.Errorf("got %+v; want three requests whose session had moved", got)
	}
}

// Without a lease nothing is known, and nothing is kept; the next one begins without sessions.
func TestLeaseEnds(t *testing.T) {
	v := newVisits(t, Options{})
	v.keep(v.begin("a"), seen(1))
	v.now = v.now.Add(Lease - 1)
	visit := v.begin("a")
	v.want("a", seen(1), 1)
	v.now = v.now.Add(1)
	v.keep(visit, seen(2))
	if v.peers.claims != 2 {
		t.Errorf("got %d claims; want that an answer without a lease is claimed for", v.peers.claims)
	}
	v.want("a", holdfast.Token{}, 3)
	if got := v.Stats(); got.Kept != 1 || v.peers.leases != 2 {
		t.Errorf("got %+v and %d leases; want a second lease", got, v.peers.leases)
	}

	v.keep(v.begin("b"), seen(1))
	v.now = v.now.Add(Lease / 2)
	if err := v.lease(context.Background(), true); err != nil {
		t.Fatal(err)
	}
	v.now = v.now.Add(Lease / 2)
	v.want("b", seen(1), 4)
	v.now = v.now.Add(Lease)
	if err := v.lease(context.Background(), true); err != nil {
		t.Fatal(err)
	}
	v.want("b", holdfast.Token{}, 5)
	if got := v.Stats().DroppedLease; got != 2 {
		t.Errorf("got %d sessions that ended with their lease; want two", got)
	}

	v.peers.fails = errors.New("no leader")
	v.now = v.now.Add(Lease)
	if _, err := v.Visit(context.Background(), "b"); !errors.Is(err, holdfast.Refused) {
		t.Errorf("got %v; want the request refused", err)
	}
}

// Sessions above a limit, and idle ones, are forgotten: the node doesn't know them then.
func TestLimits(t *testing.T) {
	v := newVisits(t, Options{MaxSessions: 3, Idle: Lease / 2})
	for i := range 4 {
		v.keep(v.begin(fmt.Sprint(i)), seen(1))
	}
	v.want("1", seen(1), 4)
	v.want("0", holdfast.Token{}, 5) // in the place of 2, the one that was used longest ago
	v.want("2", holdfast.Token{}, 6)
	v.now = v.now.Add(Lease / 4)
	v.want("1", seen(1), 6)
	v.now = v.now.Add(Lease / 4)
	v.dropIdle()
	v.want("1", seen(1), 6)
	if got := v.Stats(); got.Kept != 1 || got.DroppedFull != 3 || got.DroppedIdle != 2 {
		t.Errorf("got %+v; want one kept, three dropped for space, and two idle ones", got)
	}

	v = newVisits(t, Options{MaxBytes: 10_000})
	large := holdfast.Token{}
	for id := range holdfast.ShardID(100) {
		large.See(holdfast.TxID{Shard: id + 1, Term: 1, Index: 1})
	}
	for i := range 20 {
		v.keep(v.begin(fmt.Sprint(i)), large)
	}
	if got := v.Stats(); got.Kept != 3 || got.Bytes > 10_000 || got.Bytes < 3*100*transactionBytes {
		t.Errorf("got %+v; want three large sessions, in 10,000 bytes", got)
	}
	for i := range 20 {
		v.Forget(fmt.Sprint(i))
	}
	if got := v.Stats(); got.Kept != 0 || got.Bytes != 0 {
		t.Errorf("got %+v; want nothing", got)
	}
}

// A node alone needs no leases.
func TestNodeAlone(t *testing.T) {
	v := newVisits(t, Options{MaxSessions: 1})
	visit := v.begin("a")
	v.keep(visit, seen(1))
	v.now = v.now.Add(time.Minute)
	v.want("a", seen(1), 0)
	v.keep(v.begin("b"), seen(2))
	v.keep(visit, seen(2)) // it was dropped meanwhile
	v.want("a", holdfast.Token{}, 0)
}

// A connection keeps what it has seen, and nothing of another.
func TestConnection(t *testing.T) {
	var a, b Connection
	a.Keep(seen(5), nil)
	a.Keep(seen(3), nil)
	if got, other := a.Token(), b.Token(); got.String() != seen(5).String() || other.Len() != 0 {
		t.Errorf("got %v and %v; want what the first has seen, and nothing", got, other)
	}
	a.Keep(holdfast.Token{}, []holdfast.ShardID{1})
	if got := a.Token(); got.Len() != 0 {
		t.Errorf("got %v; want nothing", got)
	}
}
