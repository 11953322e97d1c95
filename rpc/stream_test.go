package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast"
)

// partsOf returns what Stream takes for n numbered parts of random sizes. It uses one buffer for all.
func partsOf(rng *rand.Rand, n uint64, most int) func() ([]byte, error) {
	buffer, at := []byte(nil), uint64(0)
	return func() ([]byte, error) {
		clear(buffer)
		if at == n {
			return nil, io.EOF
		}
		buffer = append(buffer[:0], numbered(at, rng.IntN(1+most>>rng.IntN(12)))...)
		at++
		return buffer, nil
	}
}

// takeParts takes numbered parts to the end of a stream, and returns how many there were.
func takeParts(t testing.TB, next func() ([]byte, error)) (n uint64, err error) {
	for ; ; n++ {
		part, err := next()
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if is, whole := numberOf(part); is != n || !whole {
			t.Errorf("got part %d, whole: %v; want part %d", is, whole, n)
		}
	}
}

// The parts of a stream arrive once, whole and in order, with what the stream is; several streams of
// both directions go on at once, also with TLS.
func TestStreamsArrive(t *testing.T) {
	for _, secure := range []bool{false, true} {
		var authority *ca
		if secure {
			authority = newCA(t)
		}
		var taken [3]atomic.Uint64
		with := func(o *Options) {
			if secure {
				o.TLS = authority.with(authority.sign(t, "node", nil))
			}
			o.Accept = func(_ context.Context, m Message, next func() ([]byte, error)) error {
				if m.From+m.To != 3 || m.To != o.Node || m.Kind != 9 || m.Shard != 77 || string(m.Body) != "what it is" {
					t.Errorf("got the stream %+v", m)
				}
				n, err := takeParts(t, next)
				taken[m.To].Add(n)
				if _, again := next(); again != io.EOF {
					t.Errorf("behind the end: got %v; want EOF", again)
				}
				return err
			}
		}
		one, two := pair(t, testLimits(), with, with)
		var wg sync.WaitGroup
		for i := range 6 {
			from, to := one, two
			if i%2 == 1 {
				from, to = two, one
			}
			wg.Go(func() {
				m := Message{From: 55, To: to.options.Node, Kind: 9, Shard: 77, Body: []byte("what it is")}
				rng := rand.New(rand.NewPCG(uint64(i), 40))
				if err := from.Stream(t.Context(), m, partsOf(rng, 60, 300<<10)); err != nil {
					t.Errorf("stream %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		if taken[1].Load() != 180 || taken[2].Load() != 180 {
			t.Errorf("got %d and %d parts; want 180 each", taken[1].Load(), taken[2].Load())
		}
	}
}

// What either end says of why a stream fails arrives at the other, also when it comes in the middle,
// and no stream succeeds that wasn't read to its end.
func TestStreamsThatFail(t *testing.T) {
	var take func(ctx context.Context, next func() ([]byte, error)) error
	ended := make(chan error, 1)
	one, _ := pair(t, testLimits(), nil, func(o *Options) {
		o.Accept = func(ctx context.Context, _ Message, next func() ([]byte, error)) error {
			err := take(ctx, next)
			ended <- err
			return err
		}
	})
	send := func(next func() ([]byte, error)) error { return one.Stream(t.Context(), Message{To: 2}, next) }
	rng := rand.New(rand.NewPCG(1, 41))

	full := holdfast.Errorf(holdfast.Full, "the disk is full")
	for _, after := range []int{0, 1, 20, 1000} {
		take = func(_ context.Context, next func() ([]byte, error)) error {
			for range after {
				if _, err := next(); err != nil {
					break
				}
			}
			return full
		}
		if err := send(partsOf(rng, 100, 100<<10)); !errors.Is(err, holdfast.Full) || err.Error() != full.Error() {
			t.Errorf("refused after %d parts: got %v; want %v", after, err, full)
		}
		<-ended
	}

	take = func(context.Context, func() ([]byte, error)) error { return nil }
	wantKind(t, send(partsOf(rng, 100, 100)), holdfast.Unavailable)
	<-ended

	take = func(ctx context.Context, next func() ([]byte, error)) error {
		_, err := takeParts(t, next)
		<-ctx.Done()
		if _, again := next(); again == nil || again == io.EOF {
			t.Errorf("behind a break: got %v; want an error", again)
		}
		return err
	}
	gone, n := errors.New("the shard is gone"), 0
	if err := send(func() ([]byte, error) {
		if n++; n > 10 {
			return nil, gone
		}
		return numbered(uint64(n-1), 100), nil
	}); err != gone {
		t.Errorf("got %v; want %v", err, gone)
	}
	if err := <-ended; err == nil {
		t.Error("the receiver took a stream whose sender has failed for a whole one")
	}
	wantKind(t, send(func() ([]byte, error) { return nil, nil }), holdfast.Invalid)
	<-ended
}

// A receiver that reads nothing stops its stream after a bounded number of bytes; messages, requests
// and other streams between the same nodes go on.
func TestASlowStreamSlowsNothingElse(t *testing.T) {
	const most = 32 << 20 // what a system's buffers may have
	goOn := make(chan struct{})
	one, two := pair(t, testLimits(), nil, func(o *Options) {
		o.Accept = func(_ context.Context, m Message, next func() ([]byte, error)) error {
			if m.Kind != 1 {
				_, err := takeParts(t, next)
				return err
			}
			<-goOn
			for {
				if _, err := next(); err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
			}
		}
	})
	var sent atomic.Int64
	slow := make(chan error, 1)
	go func() {
		part := make([]byte, 256<<10)
		slow <- one.Stream(t.Context(), Message{To: 2, Kind: 1}, func() ([]byte, error) {
			if sent.Load() > 2*most {
				return nil, io.EOF
			}
			sent.Add(int64(len(part)))
			return part, nil
		})
	}()
	for before := int64(-1); ; {
		awaitCalls(t, one, 2)
		awaitCalls(t, two, 1)
		if err := one.Stream(t.Context(), Message{To: 2}, partsOf(rand.New(rand.NewPCG(2, 42)), 20, 1000)); err != nil {
			t.Fatal(err)
		}
		now := sent.Load()
		if now > 0 && now == before {
			break
		}
		before = now
		time.Sleep(20 * time.Millisecond)
	}
	if sent.Load() > most {
		t.Errorf("%d bytes were sent to a receiver that reads nothing; want less than %d", sent.Load(), most)
	}
	close(goOn)
	if err := <-slow; err != nil {
		t.Error(err)
	}
}

// A peer has so many streams at once, each way, and no more.
func TestStreamsAreLimited(t *testing.T) {
	noLeaks(t)
	few, many := testLimits(), testLimits()
	few.streams = 2
	goOn := make(chan struct{})
	accept := func(_ context.Context, _ Message, next func() ([]byte, error)) error {
		<-goOn
		_, err := takeParts(t, next)
		return err
	}
	o := testOptions(1)
	o.Accept = accept
	one := open(t, o, many)
	o = testOptions(2)
	o.Accept = accept
	two := open(t, o, few)
	introduce(t, one, two)
	var wg sync.WaitGroup
	for _, way := range []struct {
		from *Transport
		to   holdfast.NodeID
		held func() int
	}{
		{one, 2, func() int { return len((*two.peers.Load())[1].receiving) }},
		{two, 1, func() int { return len((*two.peers.Load())[1].sending) }},
	} {
		send := func() error {
			return way.from.Stream(t.Context(), Message{To: way.to}, partsOf(rand.New(rand.NewPCG(1, 43)), 3, 10))
		}
		for range 2 {
			wg.Go(func() {
				if err := send(); err != nil {
					t.Error(err)
				}
			})
		}
		await(t, "two streams", func() bool { return way.held() == 2 })
		wantKind(t, send(), holdfast.Overloaded)
	}
	close(goOn)
	wg.Wait()
	wantKind(t, one.Stream(t.Context(), Message{To: 9}, nil), holdfast.NotFound)
}

// A stream that is cut or garbled anywhere is never taken for a whole one, and its parts are those
// that were sent.
func TestBrokenStreams(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 44))
	for range 20 {
		whole := false
		var mu sync.Mutex
		at, garble, began := rng.IntN(150<<10), rng.IntN(2) == 0, false
		noLeaks(t)
		o := testOptions(2)
		o.Accept = func(_ context.Context, _ Message, next func() ([]byte, error)) error {
			n, err := takeParts(t, next)
			whole = err == nil
			if whole && n != 40 {
				t.Errorf("a stream of %d parts; want 40", n)
			}
			return err
		}
		two := open(t, o, testLimits())
		p := newProxy(t, two.Addr().String(), func(b []byte) ([]byte, bool) {
			mu.Lock()
			defer mu.Unlock()
			if !began {
				return b, true
			}
			if at -= len(b); at >= 0 {
				return b, true
			}
			at = 1 << 60
			if garble {
				b = bytes.Clone(b)
				b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
				return b, true
			}
			return b[:rng.IntN(len(b))], false
		})
		one := open(t, testOptions(1), testLimits())
		one.SetPeers(map[holdfast.NodeID]Peer{2: p.peer()})
		two.SetPeers(map[holdfast.NodeID]Peer{1: {}})
		awaitCalls(t, one, 2)
		mu.Lock()
		began = true
		mu.Unlock()
		err := one.Stream(t.Context(), Message{To: 2}, partsOf(rand.New(rand.NewPCG(2, 44)), 40, 50<<10))
		one.Close()
		p.close()
		two.Close()
		if err == nil && !whole {
			t.Error("a broken stream was acknowledged")
		}
		if err != nil && !errors.Is(err, holdfast.Unavailable) {
			t.Errorf("got %v; want one of kind Unavailable", err)
		}
	}
}

// When the other end of a stream falls silent, both give the stream up.
func TestSilentStreams(t *testing.T) {
	noLeaks(t)
	l := testLimits()
	l.streamSilence = 3 * time.Second // more than a busy machine may take to send a ping
	o := testOptions(2)
	began, ended := make(chan struct{}), make(chan error, 1)
	o.Accept = func(_ context.Context, _ Message, next func() ([]byte, error)) error {
		_, err := next()
		close(began)
		for err == nil {
			_, err = next()
		}
		ended <- err
		return err
	}
	two := open(t, o, l)
	p := newProxy(t, two.Addr().String(), nil)
	one := open(t, testOptions(1), l)
	one.SetPeers(map[holdfast.NodeID]Peer{2: p.peer()})
	two.SetPeers(map[holdfast.NodeID]Peer{1: {}})
	awaitCalls(t, one, 2)
	sent := make(chan error, 1)
	go func() {
		n := 0
		sent <- one.Stream(t.Context(), Message{To: 2}, func() ([]byte, error) {
			if n++; n > 1 { // pings have to do for the rest
				<-began
				p.hold(true)
				return nil, io.EOF
			}
			return []byte("part"), nil
		})
	}()
	wantKind(t, <-sent, holdfast.Unavailable)
	if err := <-ended; err == nil || err == io.EOF {
		t.Errorf("the receiver got %v; want an error", err)
	}
	await(t, "the silence is counted", func() bool { return one.count(Silent) > 0 && two.count(Silent) > 0 })
}

// Streams end with the transport, or when the other end is no peer any more.
func TestStreamsEndWithTheirPeer(t *testing.T) {
	for _, end := range []func(one *Transport){
		func(one *Transport) { one.Close() },
		func(one *Transport) { one.SetPeers(nil) },
	} {
		began := make(chan struct{})
		one, _ := pair(t, testLimits(), nil, func(o *Options) {
			o.Accept = func(ctx context.Context, _ Message, next func() ([]byte, error)) error {
				close(began)
				_, err := takeParts(t, next)
				<-ctx.Done()
				return err
			}
		})
		go func() {
			<-began
			end(one)
		}()
		err := one.Stream(t.Context(), Message{To: 2}, func() ([]byte, error) {
			<-began
			return nil, io.EOF
		})
		wantKind(t, err, holdfast.Unavailable)
	}
}

// A stream of a node whose life is refused is refused, and so are frames out of place.
func TestStreamsThatArentHeard(t *testing.T) {
	noLeaks(t)
	o := testOptions(2)
	var refuses atomic.Bool
	o.Judge = func(holdfast.NodeID, []byte) error {
		if refuses.Load() {
			return holdfast.Errorf(holdfast.Refused, "it is an older copy")
		}
		return nil
	}
	o.Accept = func(_ context.Context, _ Message, next func() ([]byte, error)) error {
		_, err := takeParts(t, next)
		return err
	}
	two := open(t, o, testLimits())
	o = testOptions(1)
	var refused atomic.Int64
	o.Life = func() []byte { return []byte("life") }
	o.Refused = func(holdfast.NodeID, error) { refused.Add(1) }
	one := open(t, o, testLimits())
	introduce(t, one)
	introduce(t, two)
	two.SetPeers(map[holdfast.NodeID]Peer{1: {}})
	one.SetPeers(map[holdfast.NodeID]Peer{2: {Addr: two.Addr().String()}})
	awaitCalls(t, one, 2)
	send := func() error {
		return one.Stream(t.Context(), Message{To: 2}, partsOf(rand.New(rand.NewPCG(1, 45)), 3, 10))
	}
	if err := send(); err != nil {
		t.Error(err)
	}
	refuses.Store(true)
	if err := send(); err == nil || refused.Load() == 0 {
		t.Errorf("got %v, and %d refusals; want one", err, refused.Load())
	}
	refuses.Store(false)

	way := way{cluster: testCluster, from: 1, to: 2}
	for name, frames := range map[string][]frame{
		"a part first":        {{typ: framePart, body: []byte("part")}},
		"a stream within one": {{typ: frameStream}, {typ: frameStream}},
		"an empty part":       {{typ: frameStream}, {typ: framePart}},
		"a message":           {{typ: frameMessage, body: []byte("message")}},
		"an ID":               {{typ: frameStream, id: 1}},
	} {
		before := two.count(Unexpected)
		nc := dialRaw(t, two)
		if err := one.greetLiving(nc, helloStream, way); err != nil {
			t.Fatal(err)
		}
		for _, f := range frames {
			f.way = way
			if _, err := nc.Write(bytesOf(f)); err != nil && !errors.Is(err, net.ErrClosed) {
				break
			}
		}
		awaitEnd(t, nc)
		await(t, "the fault is counted", func() bool { return two.count(Unexpected) == before+1 })
		if t.Failed() {
			t.Fatal(name)
		}
	}
}
