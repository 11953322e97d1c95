package shard

import (
	"sync"
	"testing"
	"time"
)

// eventually returns when a condition holds that other goroutines bring about, and ends the test if
// they don't.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	look := time.NewTicker(100 * time.Microsecond)
	defer look.Stop()
	late := time.After(time.Minute)
	for !holds() {
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// whileReading calls each reader in a goroutine, again and again: at least once before do begins,
// and until it has ended.
func whileReading(do func(), readers ...func()) {
	done := make(chan struct{})
	var first, all sync.WaitGroup
	first.Add(len(readers))
	for _, read := range readers {
		all.Go(func() {
			begun := sync.OnceFunc(first.Done)
			defer begun() // also if the reader ends the test
			for read(); !isClosed(done); read() {
				begun()
			}
		})
	}
	first.Wait()
	defer all.Wait()
	defer close(done)
	do()
}
