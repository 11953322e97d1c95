package rpc

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// A queue against a list: within its limits, in order, with nothing lost but what it says.
func TestQueueAgainstAList(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 2))
		maxBytes, maxFrames := 1000+rng.IntN(3000), 1+rng.IntN(20)
		q := newQueue(maxBytes, maxFrames)
		var want []byte
		waiting, number, taken := 0, uint64(0), uint64(0)
		for range 1000 {
			f := frame{typ: frameMessage, way: testWay, body: randomBody(rng, 2000)}
			wire := bytesOf(f)
			fits := waiting == 0 || waiting < maxFrames && len(want)+len(wire) <= maxBytes
			got, how := q.add(&f)
			if fits != (how == queued) || !fits && how != full {
				t.Fatalf("seed %d: %d frames of %d bytes wait, %d more bytes: got %v; want space: %v", seed, waiting,
					len(want), len(wire), how, fits)
			}
			if fits {
				want = append(want, wire...)
				waiting++
				number++
				if got != number || q.wasTaken(number) {
					t.Fatalf("seed %d: got number %d, taken %v; want %d, not taken", seed, got, q.wasTaken(number),
						number)
				}
			}
			if waiting > 0 && rng.IntN(8) == 0 {
				batch, frames, ok := q.take()
				if !ok || frames != waiting || !bytes.Equal(batch, want) {
					t.Fatalf("seed %d: got %d frames of %d bytes, %v; want %d of %d", seed, frames, len(batch), ok,
						waiting, len(want))
				}
				q.giveBack(batch)
				want, waiting, taken = want[:0], 0, number
			}
			if !q.wasTaken(taken) || q.wasTaken(taken+1) {
				t.Fatalf("seed %d: %d were taken; the queue says otherwise", seed, taken)
			}
		}
		if dropped := q.close(); dropped != waiting {
			t.Errorf("seed %d: closing dropped %d frames; want %d", seed, dropped, waiting)
		}
		if _, how := q.add(&frame{typ: framePing}); how != gone || q.addWaiting(&frame{typ: framePing}) {
			t.Errorf("seed %d: a closed queue takes frames", seed)
		}
		if _, _, ok := q.take(); ok {
			t.Errorf("seed %d: a closed queue has frames", seed)
		}
	}
}

// Frames that wait for space are queued when there is some, or given up when the queue is closed.
func TestQueueWaitsForRoom(t *testing.T) {
	const batches = 1000
	q := newQueue(1<<20, 1)
	var given atomic.Int32
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for q.addWaiting(&frame{typ: framePing}) {
				given.Add(1)
			}
		})
	}
	for range batches {
		if _, frames, ok := q.take(); !ok || frames != 1 {
			t.Fatalf("got %d frames, %v; want one", frames, ok)
		}
	}
	await(t, "it is full again, so that the others wait", func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		return q.frames == 1
	})
	q.close()
	running.Wait()
	if n := given.Load(); n != batches+1 {
		t.Errorf("%d frames were queued; want %d", n, batches+1)
	}
}

// A queue takes a ping only where nothing was queued since it was asked last, and the writer waits.
func TestPingsOnlyWhenIdle(t *testing.T) {
	q := newQueue(1<<20, 100)
	ping := &frame{typ: framePing}
	q.addIfIdle(ping)
	if q.frames != 0 {
		t.Error("nobody waits for frames; want no ping")
	}
	batches := make(chan int)
	go func() {
		for {
			_, frames, ok := q.take()
			if !ok {
				close(batches)
				return
			}
			batches <- frames
		}
	}()
	idle := func() bool { q.mu.Lock(); defer q.mu.Unlock(); return q.idle }
	await(t, "the writer waits", idle)
	q.addIfIdle(ping)
	if n := <-batches; n != 1 {
		t.Errorf("got %d frames; want the ping", n)
	}
	await(t, "the writer waits", idle)
	q.add(&frame{typ: frameMessage, way: testWay})
	<-batches
	await(t, "the writer waits", idle)
	q.addIfIdle(ping)
	if !idle() {
		t.Error("a message was just sent; want no ping")
	}
	q.addIfIdle(ping)
	if n := <-batches; n != 1 {
		t.Errorf("got %d frames; want the ping", n)
	}
	q.close()
	<-batches
}
