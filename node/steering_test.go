package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast"
)

// A load is clients that put people through all nodes, as SDKs do: what was refused, so that nothing
// was changed, they repeat.
type load struct {
	stop    context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex // guards what follows
	acked   map[int]bool
	refused int // requests that were repeated
	failed  []string
	last    time.Time     // when a request was answered
	longest time.Duration // between two answers
}

// put starts so many clients for each of the nodes.
func (c *testCluster) put(each int) *load {
	ctx, stop := context.WithCancel(context.Background())
	l := &load{stop: stop, acked: map[int]bool{}, last: time.Now()}
	for n := range each * len(c.nodes) {
		address := c.address(n % len(c.nodes))
		l.running.Go(func() {
			for id := 100_000 * (n + 1); ctx.Err() == nil; id++ {
				l.putOne(ctx, address, id)
			}
		})
	}
	c.t.Cleanup(func() { l.end() })
	return l
}

func (l *load) putOne(ctx context.Context, address string, id int) {
	for ctx.Err() == nil {
		status, text, err := request(address, "PutItem", person(id, "Ulm"))
		l.mu.Lock()
		now := time.Now()
		if l.longest = max(l.longest, now.Sub(l.last)); status == http.StatusOK {
			l.last = now
		}
		switch {
		case err != nil:
			l.failed = append(l.failed, err.Error())
		case status == http.StatusOK:
			l.acked[id] = true
		case status == http.StatusServiceUnavailable && strings.Contains(text, "nothing was changed"):
			l.refused++
		default:
			l.failed = append(l.failed, fmt.Sprint(status, " ", text))
		}
		l.mu.Unlock()
		if status != http.StatusServiceUnavailable {
			return
		}
	}
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// await waits until so many more people were put.
func (l *load) await(t *testing.T, more int) {
	t.Helper()
	from := l.count()
	for began := time.Now(); l.count() < from+more; time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("got %d puts more within a minute; want %d", l.count()-from, more)
		}
	}
}

// reset forgets the longest time without an answer, and returns it.
func (l *load) reset() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.longest
	l.longest = 0
	return was
}

func (l *load) end() map[int]bool {
	l.stop()
	l.running.Wait()
	return l.acked
}

// transfer has a node lead, asked at node i+1, and returns what that says.
func (c *testCluster) transfer(i int, to holdfast.NodeID) (*Transfer, error) {
	is := new(Transfer)
	return is, c.nodes[i].tables.member.steering.ask(c.t.Context(), steerForm{Transfer: to}, is)
}

// Each node in turn is given the lead while clients write through all: no request fails, but for some
// that are refused and repeated, and each is there.
func TestTransfersUnderLoad(t *testing.T) {
	c := openCluster(t, 3)
	c.create(0, "people", createPeople)
	l := c.put(4)
	l.await(t, 100)
	l.reset()
	for n, to := range []holdfast.NodeID{2, 3, 1, 3, 2, 1} {
		from := c.leader()
		is, err := c.transfer(n%3, to)
		if err != nil {
			t.Fatal(err)
		}
		if int(is.From) != from+1 || is.To != to || is.Groups == 0 {
			t.Errorf("got %+v; want that node %d has handed over to node %d", *is, from+1, to)
		}
		if got := c.leader(); got != int(to)-1 {
			t.Errorf("got node %d as the leader; want node %d", got+1, to)
		}
		l.await(t, 100)
		if got := c.leader(); got != int(to)-1 {
			t.Errorf("got node %d as the leader some puts later; want still node %d", got+1, to)
		}
		t.Logf("%+v: %v without an answer", *is, l.reset())
		again, err := c.transfer((n+1)%3, to)
		if err != nil || again.From != to || again.To != to {
			t.Errorf("asked again: got %+v, %v; want that node %d leads", again, err, to)
		}
	}
	acked := l.end()
	if len(l.failed) > 0 {
		t.Errorf("got %d failures, of which the first is %s; want none", len(l.failed), l.failed[0])
	}
	t.Logf("%d puts, %d refused", len(acked), l.refused)
	some := map[int]bool{}
	for id := range acked {
		if some[id] = true; len(some) == 100 {
			break
		}
	}
	c.expectPeople(2, some)
}

// What isn't done, and why: nothing changes then.
func TestTransfersThatAreRefused(t *testing.T) {
	c := meetCluster(t, nil)
	c.create(0, "people", createPeople)
	leader := c.leader()
	refused := func(to holdfast.NodeID, kind holdfast.Kind, wants ...string) {
		t.Helper()
		for i, n := range c.nodes {
			if n == nil {
				continue
			}
			_, err := c.transfer(i, to)
			for began := time.Now(); errors.Is(err, holdfast.NotLeader) && time.Since(began) < time.Minute; {
				_, err = c.transfer(i, to) // it knows no leader yet
			}
			if !errors.Is(err, kind) {
				t.Errorf("to node %d, asked at node %d: got %v; want that it is %v", to, i+1, err, kind)
				continue
			}
			for _, want := range append(wants, "nothing was changed") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("to node %d, asked at node %d: got %v; want %q in it", to, i+1, err, want)
				}
			}
		}
		if got := c.leader(); got != leader {
			t.Fatalf("got node %d as the leader; want still node %d", got+1, leader+1)
		}
	}
	refused(9, holdfast.NotFound, "no node 9", "[1 2 3]")
	down := slices.IndexFunc(c.nodes, func(n *Node) bool { return n != c.nodes[leader] })
	c.vanish(down)
	c.awaitSilence(leader, down)
	refused(holdfast.NodeID(down+1), holdfast.Conflict, fmt.Sprintf("node %d can't lead now", down+1), "heard")
}

// awaitSilence waits until node i+1 takes node j+1 for one that isn't heard.
func (c *testCluster) awaitSilence(i, j int) {
	c.t.Helper()
	for began := time.Now(); time.Since(c.nodes[i].tables.member.transport.Heard(holdfast.NodeID(j+1))) < heardLately; {
		if time.Since(began) > time.Minute {
			c.t.Fatalf("node %d is heard, although it has ended", j+1)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
