package shard

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// Who waits for a lock gets it in turn, readers at once, and virtual time knows that they wait.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l turnLock
		var mu sync.Mutex
		got, wants := "", "" // those that have come; and by the last look
		leave := map[string]chan struct{}{}
		come := func(name string, lock, unlock func()) {
			leave[name] = make(chan struct{})
			go func() {
				lock()
				mu.Lock()
				got += name + " "
				mu.Unlock()
				<-leave[name]
				unlock()
			}()
			synctest.Wait()
		}
		want := func(more string) {
			t.Helper()
			synctest.Wait()
			names := strings.Fields(strings.TrimPrefix(got, wants)) // several readers come at once
			slices.Sort(names)
			if now := strings.Join(names, " "); now != more {
				t.Fatalf("got %q; then %q; want %q", wants, now, more)
			}
			wants = got
		}
		read := func(name string) { come(name, l.RLock, l.RUnlock) }
		write := func(name string) { come(name, l.Lock, l.Unlock) }
		read("r1")
		read("r2")
		write("w1")
		read("r3")
		read("r4")
		write("w2")
		write("w3")
		read("r5")
		want("r1 r2")
		close(leave["r1"])
		want("")
		close(leave["r2"])
		want("w1")
		if l.TryLock() {
			t.Fatal("got a lock that another has")
		}
		close(leave["w1"])
		want("r3 r4")
		close(leave["r3"])
		close(leave["r4"])
		want("w2")
		close(leave["w2"])
		want("w3")
		close(leave["w3"])
		want("r5")
		close(leave["r5"])
		synctest.Wait()
		if !l.TryLock() {
			t.Fatal("nobody has the lock; want it")
		}
		l.Unlock()
		write("w4")
		want("w4")
		close(leave["w4"])
	})
}

// A writer is alone, however many goroutines come and go.
func TestTurnsOfMany(t *testing.T) {
	var l turnLock
	var all sync.WaitGroup
	sum := 0 // the race detector sees writes beside reads
	for n := range 8 {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(n)))
			for range 2000 {
				if rng.IntN(3) > 0 {
					l.RLock()
					_ = fmt.Sprint(sum)
					l.RUnlock()
					continue
				}
				l.Lock()
				sum++
				was := sum
				_ = fmt.Sprint(was)
				if sum != was {
					t.Error("two have written at once")
				}
				l.Unlock()
			}
		})
	}
	all.Wait()
}
