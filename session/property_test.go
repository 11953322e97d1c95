package session

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
)

var seeds = flag.Int("seeds", 40, "clusters of the property test")

// A world is a cluster of one shard in virtual time: who leads is decided by a referee, and nodes may
// believe for a while that they still lead, be out of reach, stand still, lag and restart.
type world struct {
	t *testing.T

	mu        sync.Mutex // guards what follows
	rng       *rand.Rand
	term      uint64 // of the node that leads
	leader    holdfast.NodeID
	committed uint64
	seen      map[string]uint64 // by session: the newest that its clients have seen
	nodes     map[holdfast.NodeID]*worldNode
	answers   int
	kept      int // answers whose session the node knew
}

// A worldNode is one that its world's mu guards.
type worldNode struct {
	in      *world
	id      holdfast.NodeID
	keeper  *Keeper
	grants  *Grants
	term    uint64 // in which it believes that it leads; 0: it doesn't
	applied uint64
	cut     bool
	stands  time.Time // still until then
	stop    context.CancelFunc
}

const worldShard = 1

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), seen: map[string]uint64{}, committed: 1,
		nodes: map[holdfast.NodeID]*worldNode{}}
	for id := holdfast.NodeID(1); id <= 3; id++ {
		w.nodes[id] = &worldNode{in: w, id: id, applied: 1}
		w.start(w.nodes[id])
	}
	w.elect(1)
	return w
}

// start begins a life of a node, which keeps nothing of the one before.
func (w *world) start(n *worldNode) {
	ctx, stop := context.WithCancel(w.t.Context())
	n.stop, n.term = stop, 0
	n.keeper = New(Options{Peers: n, MaxSessions: 2, Idle: 20 * time.Second})
	n.grants = NewGrants(GrantOptions{Lead: n.lead, Confirm: n.confirm, Forget: n.forget})
	go n.keeper.Run(ctx)
	go func() {
		for ctx.Err() == nil {
			n.grants.Observe()
			time.Sleep(50 * time.Millisecond)
		}
	}()
}

// elect has a node lead. The one that led may not hear of it.
func (w *world) elect(id holdfast.NodeID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.nodes[id].cut {
		return
	}
	w.term++
	w.leader = id
	w.nodes[id].term = w.term
}

// below returns a number from 0.
func (w *world) below(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n)
}

// pause takes a while on a node, longer while it stands still.
func (n *worldNode) pause() {
	time.Sleep(time.Duration(n.in.below(20)) * time.Millisecond)
	for {
		n.in.mu.Lock()
		left := time.Until(n.stands)
		n.in.mu.Unlock()
		if left <= 0 {
			return
		}
		time.Sleep(left)
	}
}

func (n *worldNode) lead() (uint64, error) {
	n.in.mu.Lock()
	defer n.in.mu.Unlock()
	if n.term == 0 {
		return 0, holdfast.Errorf(holdfast.NotLeader, "another node leads")
	}
	return n.term, nil
}

// confirm is a consistent read: a node hears who leads unless it is cut off.
func (n *worldNode) confirm(context.Context) error {
	n.pause()
	w := n.in
	w.mu.Lock()
	defer w.mu.Unlock()
	if n.cut {
		return holdfast.Errorf(holdfast.Overloaded, "cut off")
	}
	if w.leader != n.id {
		n.term = 0
	}
	n.applied = w.committed
	return nil
}

// to calls f at another node, with a way there and back.
func (n *worldNode) to(id holdfast.NodeID, f func(*worldNode) error) error {
	w := n.in
	n.pause()
	w.mu.Lock()
	other := w.nodes[id]
	reached := n == other || !n.cut && !other.cut
	w.mu.Unlock()
	if !reached {
		return holdfast.Errorf(holdfast.Refused, "no way")
	}
	other.pause()
	err := f(other)
	n.pause()
	w.mu.Lock()
	defer w.mu.Unlock()
	if n != other && (n.cut || other.cut) {
		return holdfast.Errorf(holdfast.Unavailable, "the answer was lost")
	}
	return err
}

// believed returns the node that this one takes for the leading one, which may have been long ago.
func (n *worldNode) believed() holdfast.NodeID {
	w := n.in
	w.mu.Lock()
	defer w.mu.Unlock()
	if n.term != 0 {
		return n.id
	}
	if w.rng.IntN(4) == 0 {
		return holdfast.NodeID(1 + w.rng.IntN(3))
	}
	return w.leader
}

// Lease implements Peers.
func (n *worldNode) Lease(ctx context.Context) error {
	return n.to(n.believed(), func(l *worldNode) error { return l.of().grants.Lease(ctx, n.id) })
}

// Claim implements Peers.
func (n *worldNode) Claim(ctx context.Context, name string) error {
	return n.to(n.believed(), func(l *worldNode) error { return l.of().grants.Claim(ctx, n.id, name) })
}

func (n *worldNode) forget(ctx context.Context, node holdfast.NodeID, name string) error {
	done := make(chan error, 1)
	go func() {
		done <- n.to(node, func(o *worldNode) error { o.of().keeper.Forget(name); return nil })
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A part is what a life of a node has.
type part struct {
	keeper *Keeper
	grants *Grants
}

func (n *worldNode) of() part {
	n.in.mu.Lock()
	defer n.in.mu.Unlock()
	return part{n.keeper, n.grants}
}

// request is one of a session through a node: it reads, or writes, and its answer must be as new as
// what the session's clients had seen when it was sent.
func (n *worldNode) request(name string) {
	w := n.in
	w.mu.Lock()
	must, keeper := w.seen[name], n.keeper
	w.mu.Unlock()
	n.pause()
	ctx, end := context.WithTimeout(w.t.Context(), 5*time.Second)
	defer end()
	v, err := keeper.Visit(ctx, name)
	if err != nil {
		return
	}
	n.pause()
	at, ok := n.answer(ctx, v)
	if !ok {
		return
	}
	n.pause()
	token := holdfast.Token{}
	token.See(holdfast.TxID{Shard: worldShard, Term: 1, Index: at})
	if v.Keep(ctx, token, nil) != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if keeper != n.keeper {
		return // the process that was to send the answer has ended
	}
	w.answers++
	if v.Token().Len() > 0 {
		w.kept++
	}
	if at < must {
		w.t.Errorf("node %d: got %d for session %s, whose clients had seen %d", n.id, at, name, must)
	}
	w.seen[name] = max(w.seen[name], at)
}

// answer executes a request, and returns of which commit its answer is.
func (n *worldNode) answer(ctx context.Context, v *Visit) (at uint64, ok bool) {
	w := n.in
	kept := v.Token()
	token, known := kept.Of(worldShard)
	switch w.below(4) {
	case 0: // a write
		n.pause()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.committed++
		return w.committed, !n.cut
	default:
		w.mu.Lock()
		if known && n.applied >= token.Index {
			defer w.mu.Unlock()
			return n.applied, true
		}
		w.mu.Unlock()
		if err := n.confirm(ctx); err != nil {
			return 0, false
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		return n.applied, true
	}
}

// disturb has something happen to a node.
func (w *world) disturb() {
	id := holdfast.NodeID(1 + w.below(3))
	n := w.nodes[id]
	switch w.below(7) {
	case 0, 1:
		w.elect(id)
	case 2, 3:
		w.mu.Lock()
		n.cut = !n.cut
		w.mu.Unlock()
	case 4:
		w.mu.Lock()
		n.stands = time.Now().Add(time.Duration(w.rng.IntN(3000)) * time.Millisecond)
		w.mu.Unlock()
	case 5:
		w.mu.Lock()
		defer w.mu.Unlock()
		n.stop()
		w.start(n)
	case 6:
		w.mu.Lock()
		defer w.mu.Unlock()
		n.applied = w.committed
	}
}

// Whatever becomes of nodes, leadership and the network: no answer of a session is older than what the
// session's clients had seen through whatever node when they sent the request, also when they use
// several nodes at the same time, and nodes keep fewer sessions than there are.
func TestSessionsNeverGoBack(t *testing.T) {
	answers, kept := 0, 0
	for seed := range uint64(*seeds) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed)
			var clients sync.WaitGroup
			for c := range 6 {
				clients.Go(func() {
					at := holdfast.NodeID(1 + w.below(3))
					for range 150 {
						if w.below(8) == 0 {
							at = holdfast.NodeID(1 + w.below(3))
						}
						w.nodes[at].request(fmt.Sprint("s", c/2))
						time.Sleep(time.Duration(w.below(40)) * time.Millisecond)
					}
				})
			}
			done := make(chan struct{})
			go func() { clients.Wait(); close(done) }()
			for over := false; !over; {
				w.disturb()
				select {
				case <-done:
					over = true
				case <-time.After(time.Duration(w.below(1500)) * time.Millisecond):
				}
			}
			for _, n := range w.nodes {
				n.stop()
			}
			time.Sleep(time.Minute) // in which what was on its way ends
			answers, kept = answers+w.answers, kept+w.kept
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		})
	}
	t.Logf("%d answers, of which %d were of sessions that their node knew", answers, kept)
	if kept < answers/20 {
		t.Errorf("got %d of %d answers of sessions that the node knew; want more", kept, answers)
	}
}
