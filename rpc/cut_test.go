package rpc

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"holdfast"
)

// On connections that are cut at any byte, or carry changed ones, messages arrive whole, at most
// once and in order; each request is carried out at most once, an answered one once, and one that
// was refused never.
func TestCutConnections(t *testing.T) {
	for _, garble := range []bool{false, true} {
		noLeaks(t)
		testCutConnections(t, garble)
	}
}

func testCutConnections(t *testing.T, garble bool) {
	var mu sync.Mutex // guards the random numbers and all that is recorded
	rng := rand.New(rand.NewPCG(5, 5))
	done, last := make(map[uint64]int), uint64(0)
	o := testOptions(2)
	o.Receive = func(m Message) {
		mu.Lock()
		defer mu.Unlock()
		n, whole := numberOf(m.Body)
		if !whole || n <= last {
			t.Errorf("got message %d (whole: %v) behind %d", n, whole, last)
		}
		last = n
	}
	o.Answer = func(_ context.Context, m Message) ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		n, whole := numberOf(m.Body)
		if !whole {
			t.Errorf("request %d isn't whole", n)
		}
		done[n]++
		return m.Body, nil
	}
	one, two := open(t, testOptions(1), testLimits()), open(t, o, testLimits())
	p := newProxy(t, two.Addr().String(), func(b []byte) ([]byte, bool) {
		mu.Lock()
		defer mu.Unlock()
		switch n := rng.IntN(60); {
		case n == 0 && len(b) > 0 && garble:
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		case n == 0 && len(b) > 0:
			return b[:rng.IntN(len(b))], false
		}
		return b, true
	})
	one.SetPeers(map[holdfast.NodeID]Peer{2: p.peer()})
	two.SetPeers(map[holdfast.NodeID]Peer{1: {}})

	var refused []uint64
	var unknown, answered int
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { // messages
		for n := uint64(1); ; n++ {
			select {
			case <-stop:
				return
			default:
				one.Send(Message{To: 2, Body: numbered(n, int(n%3000))})
				time.Sleep(10 * time.Microsecond) // a pace, not a wait
			}
		}
	})
	for caller := range uint64(8) {
		running.Go(func() {
			for n := caller; ; n += 8 {
				select {
				case <-stop:
					return
				default:
				}
				got, err := one.Call(t.Context(), Message{To: 2, Body: numbered(n, int(n%200))})
				mu.Lock()
				is, whole := numberOf(got)
				switch {
				case err == nil && is == n && whole && done[n] == 1:
					answered++
				case errors.Is(err, holdfast.Refused) && done[n] == 0:
					refused = append(refused, n)
				case errors.Is(err, holdfast.Unavailable) && done[n] <= 1:
					unknown++
				default:
					t.Errorf("request %d: got the answer %d (whole: %v), %v; it was carried out %d times", n, is, whole,
						err, done[n])
				}
				mu.Unlock()
				if err != nil {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	await(t, "connections break often enough", func() bool {
		mu.Lock()
		defer mu.Unlock()
		c := one.Counts()
		bad := c.Faults[WrongChecksum] + two.count(WrongChecksum)
		return answered > 2000 && unknown > 20 && c.Faults[Broken] > 20 && (bad > 20 || !garble) || t.Failed()
	})
	close(stop)
	running.Wait()
	one.Close()
	two.Close() // after which no request is carried out
	for _, n := range refused {
		if done[n] != 0 {
			t.Errorf("request %d was refused and carried out", n)
		}
	}
	t.Logf("answered %d, refused %d, unknown %d; last message %d; %+v; %+v", answered, len(refused), unknown, last,
		one.Counts(), two.Counts())
}
