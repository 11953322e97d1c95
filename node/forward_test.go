package node

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
)

// A step is what a forwarder finds at one try: who leads, and what that node says.
type step struct {
	leader holdfast.NodeID
	leads  bool // this node's tables do
	err    error
}

// script returns a forwarder of node 1 whose tries find one step after another, the last one again and
// again. sent counts the requests that a node was asked to execute.
func script(steps ...step) (f *forwarder, sent *[]holdfast.NodeID) {
	sent = new([]holdfast.NodeID)
	at := steps[0]
	next := func(to holdfast.NodeID) ([]byte, error) {
		*sent = append(*sent, to)
		if at.err != nil {
			return nil, at.err
		}
		return []byte("done"), nil
	}
	return &forwarder{
		self:    1,
		members: func() []holdfast.NodeID { return []holdfast.NodeID{1, 2, 3} },
		leads:   func() bool { return at.leads },
		leader: func() holdfast.NodeID {
			at = steps[0]
			if len(steps) > 1 {
				steps = steps[1:]
			}
			return at.leader
		},
		call: func(_ context.Context, to holdfast.NodeID, _ []byte) ([]byte, error) { return next(to) },
		answer: func(_ context.Context, request []byte) ([]byte, error) {
			clear(request) // it is owned
			return next(1)
		},
	}, sent
}

func TestForward(t *testing.T) {
	of := func(k holdfast.Kind) error { return holdfast.Errorf(k, "so it is") }
	ids := func(all ...holdfast.NodeID) []holdfast.NodeID { return all }
	for _, test := range []struct {
		what  string
		steps []step
		sent  []holdfast.NodeID
		want  error // nil: it was done
	}{
		{"a leader", []step{{leader: 2}}, ids(2), nil},
		{"nobody leads yet", []step{{}, {}, {leader: 3}}, ids(3), nil},
		{"the leader isn't active yet", []step{{leader: 2, err: of(holdfast.NotLeader)}, {leader: 2}}, ids(2, 2), nil},
		{"another leader", []step{{leader: 2, err: of(holdfast.NotLeader)}, {leader: 3}}, ids(2, 3), nil},
		{"no connection", []step{{leader: 2, err: of(holdfast.Refused)}, {leader: 3}}, ids(2, 3), nil},
		{"the leader stops", []step{{leader: 2, err: of(holdfast.Closed)}, {leader: 3}}, ids(2, 3), nil},
		{"this node leads by now", []step{{leader: 1}, {leader: 1, leads: true}}, ids(1), nil},
		{"it does, and doesn't any more",
			[]step{{leader: 1, leads: true, err: of(holdfast.NotLeader)}, {leader: 2}}, ids(1, 2), nil},
		// What may have been executed isn't sent again, whoever leads by then.
		{"an outcome that isn't known", []step{{leader: 2, err: of(holdfast.Unavailable)}, {leader: 3}}, ids(2),
			holdfast.Unavailable},
		{"an error without a kind", []step{{leader: 2, err: errors.New("?")}, {leader: 3}}, ids(2), nil},
		{"a response that is too long", []step{{leader: 2, err: of(holdfast.Limit)}, {leader: 3}}, ids(2),
			holdfast.Limit},
		{"too much to do", []step{{leader: 2, err: of(holdfast.Overloaded)}, {leader: 3}}, ids(2), holdfast.Overloaded},
		{"nobody leads", []step{{}}, nil, holdfast.Refused},
	} {
		synctest.Test(t, func(t *testing.T) {
			f, sent := script(test.steps...)
			request := []byte("request")
			began := time.Now()
			response, err := f.Forward(context.Background(), request)
			done := test.want == nil && test.steps[0].err == nil || err == nil
			switch {
			case test.want != nil && !errors.Is(err, test.want):
				t.Errorf("%s: got %v; want %v", test.what, err, test.want)
			case done && string(response) != "done":
				t.Errorf("%s: got %q, %v; want it done", test.what, response, err)
			case !slices.Equal(*sent, test.sent):
				t.Errorf("%s: got it sent to %v; want %v", test.what, *sent, test.sent)
			case string(request) != "request":
				t.Errorf("%s: got %q; want the request as it was, since it may be sent again", test.what, request)
			}
			if took := time.Since(began); took > forwardPatience+forwardEvery {
				t.Errorf("%s: it took %v; want at most %v", test.what, took, forwardPatience)
			}
		})
	}
}

func TestForwardEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := script(step{})
		ctx, cancel := context.WithTimeout(context.Background(), 5*forwardEvery)
		defer cancel()
		began := time.Now()
		if _, err := f.Forward(ctx, nil); !errors.Is(err, holdfast.Refused) || time.Since(began) != 5*forwardEvery {
			t.Errorf("got %v after %v; want Refused when the context ends", err, time.Since(began))
		}
	})
}

// hanging returns a forwarder of node 1 whose calls wait until their context ends, and what sets
// the node that leads.
func hanging() (f *forwarder, lead func(holdfast.NodeID)) {
	var leader atomic.Uint64
	leader.Store(2)
	f = &forwarder{self: 1, leads: func() bool { return false }, members: func() []holdfast.NodeID { return nil },
		leader: func() holdfast.NodeID { return holdfast.NodeID(leader.Load()) }}
	f.call = func(ctx context.Context, _ holdfast.NodeID, _ []byte) ([]byte, error) {
		<-ctx.Done()
		return nil, holdfast.Errorf(holdfast.Unavailable, "outcome unknown: %w", context.Cause(ctx))
	}
	return f, func(id holdfast.NodeID) {
		leader.Store(uint64(id))
		f.observe(id)
	}
}

// A node that was asked, and has lost its leadership, may have stopped with its connections open:
// it isn't waited for long.
func TestForwardGivesUpAFormerLeader(t *testing.T) {
	for _, next := range []holdfast.NodeID{0, 3} {
		synctest.Test(t, func(t *testing.T) {
			f, lead := hanging()
			lead(2)
			result := make(chan error, 1)
			go func() {
				_, err := f.Forward(context.Background(), nil)
				result <- err
			}()
			time.Sleep(time.Minute)
			synctest.Wait()
			began := time.Now()
			lead(next)
			if err := <-result; !errors.Is(err, holdfast.Unavailable) || !errors.Is(err, errFormer) {
				t.Errorf("got %v; want that the outcome isn't known", err)
			}
			if took := time.Since(began); took != formerPatience {
				t.Errorf("node %d leads: it gives up after %v; want %v", next, took, formerPatience)
			}
		})
	}
}

// A leader that was out of reach for a moment is waited for.
func TestForwardWaitsForALeaderThatIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, lead := hanging()
		lead(2)
		result := make(chan error, 1)
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			_, err := f.Forward(ctx, nil)
			result <- err
		}()
		for range 3 {
			lead(0)
			time.Sleep(formerPatience / 2)
			lead(2)
			time.Sleep(2 * formerPatience)
		}
		select {
		case err := <-result:
			t.Fatalf("got %v; want it to wait", err)
		default:
		}
		cancel()
		<-result
	})
}

// Requests wait for an election, but not again and again for one that a node without a majority
// waits for in vain.
func TestForwardWithoutALeaderForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, lead := hanging()
		lead(2)
		lead(0)
		for _, test := range []struct{ after, want time.Duration }{
			{0, leaderlessPatience + forwardEvery}, {time.Hour, 0},
		} {
			time.Sleep(test.after)
			began := time.Now()
			if _, err := f.Forward(context.Background(), nil); !errors.Is(err, holdfast.Refused) {
				t.Errorf("got %v; want Refused", err)
			}
			if took := time.Since(began); took != test.want {
				t.Errorf("after %v: refused after %v; want %v", test.after, took, test.want)
			}
		}
	})
}
