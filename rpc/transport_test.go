package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast"
)

// numbered is a body that says its number, and fits to it.
func numbered(n uint64, size int) []byte {
	b := make([]byte, 8+size)
	binary.LittleEndian.PutUint64(b, n)
	for i := range size {
		b[8+i] = byte(n * uint64(i+1))
	}
	return b
}

// numberOf is the number of a body, and whether the rest fits.
func numberOf(b []byte) (uint64, bool) {
	if len(b) < 8 {
		return 0, false
	}
	n := binary.LittleEndian.Uint64(b)
	return n, bytes.Equal(b, numbered(n, len(b)-8))
}

// Messages arrive once, whole, in order, with all that they name; their senders may reuse the body.
func TestMessagesArrive(t *testing.T) {
	const messages = 3000
	var next atomic.Uint64
	one, _ := pair(t, testLimits(), nil, func(o *Options) {
		o.Receive = func(m Message) {
			n, whole := numberOf(m.Body)
			if want := next.Load(); n != want || !whole || m.From != 1 || m.To != 2 || m.Kind != uint8(n) ||
				m.Shard != holdfast.ShardID(n*n) {
				t.Errorf("got message %d (whole: %v) of node %d to %d, kind %d, shard %d; want number %d", n, whole,
					m.From, m.To, m.Kind, m.Shard, want)
			}
			next.Add(1)
		}
	})
	before := one.Counts()
	rng := rand.New(rand.NewPCG(1, 3))
	for n := range uint64(messages) {
		size := rng.IntN(500)
		switch rng.IntN(300) {
		case 0:
			size = rng.IntN(MaxBody - 8)
		case 1, 2, 3:
			size = rng.IntN(200 << 10)
		}
		body := numbered(n, size)
		await(t, "space in the queue", func() bool { return n-next.Load() < 100 })
		one.Send(Message{From: 77, To: 2, Kind: uint8(n), Shard: holdfast.ShardID(n * n), Body: body})
		clear(body)
	}
	await(t, "all messages arrive", func() bool { return next.Load() == messages })
	c := one.Counts()
	if c.DroppedFull+c.DroppedLost != 0 || c.DroppedAway != before.DroppedAway || c.FramesSent < messages {
		t.Errorf("got %+v; want nothing dropped", c)
	}
}

// Many calls at once get their own answers, in whatever order those come.
func TestCallsGetTheirAnswers(t *testing.T) {
	one, two := pair(t, testLimits(), nil, func(o *Options) {
		var last atomic.Pointer[chan struct{}]
		o.Answer = func(ctx context.Context, m Message) ([]byte, error) {
			// Some wait for the one that comes after them, so that answers overtake each other.
			mine := make(chan struct{})
			if former := last.Swap(&mine); former != nil {
				close(*former)
			}
			if len(m.Body)%3 == 0 {
				select {
				case <-mine:
				case <-ctx.Done():
				case <-time.After(time.Millisecond):
				}
			}
			return fmt.Appendf(m.Body, "/%d %d %d %d", m.From, m.To, m.Kind, m.Shard), nil
		}
	})
	var wg sync.WaitGroup
	for n := range 64 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(n), 4))
			for range 50 {
				body := randomBody(rng, 100<<10)
				was := bytes.Clone(body)
				m := Message{To: 2, Kind: uint8(rng.Uint32()), Shard: holdfast.ShardID(rng.Uint64()), Body: body}
				got, err := one.Call(t.Context(), m)
				clear(body)
				if want := fmt.Appendf(was, "/1 2 %d %d", m.Kind, m.Shard); err != nil || !bytes.Equal(got, want) {
					t.Errorf("got an answer of %d bytes, %v; want the one of %d", len(got), err, len(want))
				}
			}
		})
	}
	wg.Wait()
	awaitCalls(t, two, 1)
	if n := len((*one.peers.Load())[2].out.Load().calls.wait); n != 0 {
		t.Errorf("%d calls still wait", n)
	}
}

// Errors of the other node arrive with their kinds, and texts only where they are for callers.
func TestErrorsArrive(t *testing.T) {
	var answer error
	one, _ := pair(t, testLimits(), nil, func(o *Options) {
		o.Answer = func(_ context.Context, m Message) ([]byte, error) {
			if m.Kind == 1 {
				return nil, answer
			}
			return make([]byte, MaxBody+int(m.Shard)), nil
		}
	})
	for k := holdfast.Kind(1); k.Error() != fmt.Sprintf("kind %d", uint8(k)); k++ {
		answer = fmt.Errorf("log: %w", holdfast.Errorf(k, "text for %v: %w", k, errors.New("cause")))
		_, err := one.Call(t.Context(), Message{To: 2, Kind: 1})
		wantKind(t, err, k)
		if want := fmt.Sprintf("text for %v: cause", k); err.Error() != want {
			t.Errorf("got %q; want %q", err, want)
		}
		answer = k
		_, err = one.Call(t.Context(), Message{To: 2, Kind: 1})
		wantKind(t, err, k)
		if err.Error() != k.Error() {
			t.Errorf("got %q; want %q", err, k.Error())
		}
	}
	answer = errors.New("secret")
	_, err := one.Call(t.Context(), Message{To: 2, Kind: 1})
	wantKind(t, err, holdfast.Unavailable)
	if bytes.Contains([]byte(err.Error()), []byte("secret")) {
		t.Errorf("got %q; want it without the text", err)
	}
	wantKind(t, errorOf(255, "of a newer node"), holdfast.Unavailable)

	if body, err := one.Call(t.Context(), Message{To: 2}); err != nil || len(body) != MaxBody {
		t.Errorf("got %d bytes, %v; want the longest answer", len(body), err)
	}
	_, err = one.Call(t.Context(), Message{To: 2, Shard: 1})
	wantKind(t, err, holdfast.Limit)
	_, err = one.Call(t.Context(), Message{To: 2, Body: make([]byte, MaxBody+1)})
	wantKind(t, err, holdfast.Invalid)
	_, err = one.Call(t.Context(), Message{To: 3})
	wantKind(t, err, holdfast.NotFound)
	_, err = one.Call(t.Context(), Message{To: 1})
	wantKind(t, err, holdfast.NotFound)
	if body, err := one.Call(t.Context(), Message{To: 2, Kind: 1, Body: nil}); err == nil {
		t.Errorf("got %d bytes; want an error", len(body))
	}
}

// A call ends with its context, and so does the context of its answer; before it is sent, it isn't.
func TestCallsEndWithTheirContext(t *testing.T) {
	ended, began := make(chan error, 1), make(chan struct{}, 1)
	one, _ := pair(t, testLimits(), nil, func(o *Options) {
		o.Answer = func(ctx context.Context, m Message) ([]byte, error) {
			if m.Kind == 0 {
				return nil, nil
			}
			_, has := ctx.Deadline()
			if has != (m.Kind == 2) {
				t.Errorf("kind %d: the context has a deadline: %v", m.Kind, has)
			}
			began <- struct{}{}
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, ctx.Err()
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-began
		cancel()
	}()
	_, err := one.Call(ctx, Message{To: 2, Kind: 1})
	wantKind(t, err, holdfast.Unavailable)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v; want it canceled", err)
	}
	if err := <-ended; err != context.Canceled {
		t.Errorf("the answer's context ended with %v; want it canceled", err)
	}
	_, err = one.Call(ctx, Message{To: 2, Kind: 1})
	wantKind(t, err, holdfast.Refused)

	go func() { // the connection is lost
		<-began
		(*one.peers.Load())[2].out.Load().drop(faultf(Broken, "by the test"))
	}()
	_, err = one.Call(t.Context(), Message{To: 2, Kind: 1})
	wantKind(t, err, holdfast.Unavailable)
	if err := <-ended; err != context.Canceled {
		t.Errorf("the answer's context ended with %v; want it canceled", err)
	}
	awaitCalls(t, one, 2)

	ctx, cancel = context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err = one.Call(ctx, Message{To: 2, Kind: 2})
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, holdfast.Unavailable) {
		t.Errorf("got %v; want it late", err)
	}
	if !errors.Is(err, holdfast.Refused) {
		<-ended
	}
	awaitCalls(t, one, 2)
	if n := len((*one.peers.Load())[2].out.Load().calls.wait); n != 0 {
		t.Errorf("%d calls still wait", n)
	}
}

// Two nodes that dial each other at once, often, end with one connection for each direction.
func TestDiallingAtOnce(t *testing.T) {
	l := testLimits()
	one, two := pair(t, l, nil, nil)
	for range 30 {
		var both sync.WaitGroup
		for _, tr := range []*Transport{one, two} {
			both.Go(func() {
				for _, p := range *tr.peers.Load() {
					if c := p.out.Load(); c != nil {
						c.drop(faultf(Broken, "by the test"))
					}
				}
			})
		}
		both.Wait()
		awaitCalls(t, one, 2)
		awaitCalls(t, two, 1)
	}
	for _, tr := range []*Transport{one, two} {
		for _, p := range *tr.peers.Load() {
			await(t, "two connections", func() bool { return len(p.conns()) == 2 })
			if heard := tr.Heard(p.id); heard.Before(tr.start) || heard.After(time.Now()) {
				t.Errorf("node %d was heard at %v", p.id, heard)
			}
		}
	}
}

// A peer that is gone, or has changed its address, is dialled until it is there again.
func TestPeersComeAndGo(t *testing.T) {
	noLeaks(t)
	one := open(t, testOptions(1), testLimits())
	if _, err := one.Call(t.Context(), Message{To: 2}); !errors.Is(err, holdfast.NotFound) {
		t.Errorf("got %v; want no peer", err)
	}
	var was *Transport
	for range 3 {
		two := open(t, testOptions(2), testLimits())
		if was != nil { // on the same address, as a restart
			two.Close()
			o := testOptions(2)
			o.Listen = was.Addr().String()
			two = open(t, o, testLimits())
		}
		introduce(t, one, two)
		two.Close()
		was = two
		await(t, "the connection is gone", func() bool {
			_, err := one.Call(t.Context(), Message{To: 2})
			if err != nil && !errors.Is(err, holdfast.Refused) && !errors.Is(err, holdfast.Unavailable) {
				t.Errorf("got %v; want refused, or unavailable", err)
			}
			return errors.Is(err, holdfast.Refused)
		})
		_, err := two.Call(t.Context(), Message{To: 1})
		wantKind(t, err, holdfast.Closed)
	}
	two := open(t, testOptions(2), testLimits()) // elsewhere
	introduce(t, one, two)

	// A node that isn't a peer any more is refused.
	one.SetPeers(nil)
	await(t, "it is refused", func() bool { return one.count(WrongSender) > 0 })
	if _, err := one.Call(t.Context(), Message{To: 2}); !errors.Is(err, holdfast.NotFound) {
		t.Errorf("got %v; want no peer", err)
	}
	if heard := one.Heard(2); !heard.IsZero() {
		t.Errorf("got %v; want never", heard)
	}
	before := one.Counts().DroppedAway
	one.Send(Message{To: 2})
	if n := one.Counts().DroppedAway - before; n != 1 {
		t.Errorf("got %d dropped messages; want 1", n)
	}
	await(t, "the other sees it, too", func() bool { return two.count(WrongSender) > 0 })
	introduce(t, one, two)
}

// A full queue drops and counts messages, and refuses calls; its memory is bounded.
func TestFullQueue(t *testing.T) {
	noLeaks(t)
	l := testLimits()
	l.queueBytes, l.queueFrames = 64<<10, 20
	one, two := open(t, testOptions(1), l), open(t, testOptions(2), testLimits())
	p := newProxy(t, two.Addr().String(), nil)
	one.SetPeers(map[holdfast.NodeID]Peer{2: p.peer()})
	two.SetPeers(map[holdfast.NodeID]Peer{1: {}})
	awaitCalls(t, one, 2)
	p.hold(true)
	body := make([]byte, 50<<10)
	c := (*one.peers.Load())[2].out.Load()
	await(t, "the queue is full", func() bool {
		one.Send(Message{To: 2, Body: body})
		return one.Counts().DroppedFull > 100
	})
	if n := cap(c.out.pending); n > 4*l.queueBytes {
		t.Errorf("the queue has %d bytes of memory; want about %d", n, l.queueBytes)
	}
	_, err := one.Call(t.Context(), Message{To: 2, Body: body})
	wantKind(t, err, holdfast.Overloaded)
	if n := len(c.calls.wait); n != 0 {
		t.Errorf("%d calls still wait", n)
	}
	p.hold(false)
	await(t, "there is space", func() bool {
		_, err := one.Call(t.Context(), Message{To: 2, Body: body})
		return err == nil
	})
}

// More calls than the limit are refused here, and more requests than the limit there.
func TestTooManyCalls(t *testing.T) {
	free := make(chan struct{})
	l := testLimits()
	l.calls, l.requestBytes = 8, 1000
	one, _ := pair(t, l, nil, func(o *Options) {
		o.Answer = func(ctx context.Context, m Message) ([]byte, error) {
			if m.Kind == 1 {
				<-free
			}
			return nil, nil
		}
	})
	var wg sync.WaitGroup
	for range l.calls {
		wg.Go(func() {
			if _, err := one.Call(t.Context(), Message{To: 2, Kind: 1}); err != nil {
				t.Error(err)
			}
		})
	}
	c := (*one.peers.Load())[2].out.Load()
	await(t, "all wait", func() bool {
		c.calls.mu.Lock()
		defer c.calls.mu.Unlock()
		return len(c.calls.wait) == l.calls
	})
	_, err := one.Call(t.Context(), Message{To: 2})
	wantKind(t, err, holdfast.Overloaded)
	free <- struct{}{}
	awaitCalls(t, one, 2)
	for range 2*l.calls - (l.calls - 1) { // that the caller gives up, and the other still answers
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		one.Call(ctx, Message{To: 2, Kind: 1})
	}
	await(t, "the other refuses", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := one.Call(ctx, Message{To: 2, Kind: 1})
		return errors.Is(err, holdfast.Overloaded)
	})
	close(free)
	wg.Wait()
	awaitCalls(t, one, 2)
}

// Requests of a peer that are in flight take a bounded number of bytes.
func TestRequestsTakeBoundedMemory(t *testing.T) {
	l := testLimits()
	l.requestBytes = 1000
	var r requests
	for id, test := range []struct {
		size int
		fits bool
	}{{600, true}, {401, false}, {400, true}, {1, false}} {
		if fits, err := r.add(uint64(id), test.size, &l, func() {}); fits != test.fits || err != nil {
			t.Errorf("%d bytes: got %v, %v; want %v", test.size, fits, err, test.fits)
		}
	}
	if _, err := r.add(0, 0, &l, func() {}); err == nil {
		t.Error("a second request with an ID is taken")
	}
	r.remove(2, 400)
	r.hold(300) // the answer to 0
	if fits, _ := r.add(8, 101, &l, func() {}); fits {
		t.Error("a request fits beside an answer that leaves no space")
	}
	r.remove(0, 900)
	if fits, _ := r.add(9, 5000, &l, func() {}); !fits {
		t.Error("one request fits, however long it is")
	}
}

// A peer that is silent is dropped in both directions, and dialled again when it is back.
func TestSilentPeer(t *testing.T) {
	noLeaks(t)
	l := testLimits()
	l.silence = 300 * time.Millisecond
	one, two := open(t, testOptions(1), l), open(t, testOptions(2), l)
	p, q := newProxy(t, two.Addr().String(), nil), newProxy(t, one.Addr().String(), nil)
	one.SetPeers(map[holdfast.NodeID]Peer{2: p.peer()})
	two.SetPeers(map[holdfast.NodeID]Peer{1: q.peer()})
	awaitCalls(t, one, 2)
	awaitCalls(t, two, 1)
	p.hold(true)
	q.hold(true)
	before := time.Now()
	for _, tr := range []*Transport{one, two} {
		await(t, "both connections are dropped", func() bool { return tr.count(Silent) >= 2 })
	}
	p.hold(false)
	q.hold(false)
	awaitCalls(t, one, 2)
	awaitCalls(t, two, 1)
	await(t, "it is heard", func() bool { return one.Heard(2).After(before) })
}

// An idle connection carries pings both ways.
func TestIdleConnectionsPing(t *testing.T) {
	one, two := pair(t, testLimits(), nil, nil)
	c := (*one.peers.Load())[2].out.Load()
	before := [...]Counts{one.Counts(), two.Counts()}
	for n, tr := range []*Transport{one, two} {
		await(t, "many pings", func() bool { return tr.Counts().FramesReceived > before[n].FramesReceived+50 })
		heard := tr.Heard(holdfast.NodeID(2 - n))
		await(t, "it is heard again", func() bool { return tr.Heard(holdfast.NodeID(2 - n)).After(heard) })
	}
	if (*one.peers.Load())[2].out.Load() != c {
		t.Errorf("the connection didn't stay: %+v, %+v", one.Counts(), two.Counts())
	}
}

// A peer that sends pings, but reads nothing, is dropped.
func TestStalledPeer(t *testing.T) {
	noLeaks(t)
	l := testLimits()
	l.silence = 300 * time.Millisecond
	one := open(t, testOptions(1), l)
	stop := make(chan struct{})
	defer close(stop)
	two := newStub(t, func(c *stubConn) {
		for c.send(frame{typ: framePing}) {
			select {
			case <-stop:
				return
			case <-time.After(l.ping):
			}
		}
	})
	one.SetPeers(map[holdfast.NodeID]Peer{2: {Addr: two}})
	body := make([]byte, 1<<20)
	await(t, "it is dropped", func() bool {
		one.Send(Message{To: 2, Body: body})
		return one.count(Stalled) > 0
	})
}

// Silence is what a reader that waits doesn't hear. It isn't when its message takes long, nor when
// this process was stopped.
func TestWhatIsSilence(t *testing.T) {
	free, received := make(chan struct{}), make(chan struct{})
	l := testLimits()
	l.ping, l.silence = time.Hour, time.Minute // the test ticks itself
	one, two := pair(t, l, nil, func(o *Options) {
		o.Receive = func(Message) {
			received <- struct{}{}
			<-free
		}
	})
	p := (*two.peers.Load())[1]
	waits := func(reads bool) {
		await(t, "readers and writers wait", func() bool {
			in, out := p.in, p.out.Load()
			return in.reading.Load() != 0 == reads && out.reading.Load() != 0 &&
				in.writing.Load() == 0 && out.writing.Load() == 0
		})
	}
	one.Send(Message{To: 2})
	<-received
	waits(false)
	now := two.now()
	p.in.check(now + 10*int64(l.silence))
	close(free)
	waits(true)
	two.tick(now, now+3*int64(l.ping)) // as after a SIGSTOP
	two.tick(now, two.now()+int64(l.silence)/2)
	if n := two.count(Silent); n != 0 {
		t.Fatalf("the peer was called silent, %d times", n)
	}
	two.tick(now, two.now()+2*int64(l.silence))
	if n := two.count(Silent); n != 2 {
		t.Errorf("the peer was called silent %d times; want both connections", n)
	}
}

// Close ends calls, their answers and everything else, also in the middle of handshakes.
func TestCloseEndsAll(t *testing.T) {
	began := make(chan struct{})
	one, two := pair(t, testLimits(), nil, func(o *Options) {
		o.Answer = func(ctx context.Context, m Message) ([]byte, error) {
			if len(m.Body) > 0 {
				began <- struct{}{}
				<-ctx.Done()
			}
			return nil, ctx.Err()
		}
	})
	dialRaw(t, two)
	errs := make(chan error)
	for range 5 {
		go func() {
			_, err := one.Call(t.Context(), Message{To: 2, Body: []byte("x")})
			errs <- err
		}()
		<-began
	}
	var both sync.WaitGroup
	both.Go(func() { two.Close() })
	both.Go(func() { one.Close() })
	for range 5 {
		wantKind(t, <-errs, holdfast.Unavailable)
	}
	both.Wait()
	one.SetPeers(map[holdfast.NodeID]Peer{2: {Addr: two.Addr().String()}})
	one.Send(Message{To: 2})
	_, err := one.Call(t.Context(), Message{To: 2})
	wantKind(t, err, holdfast.Closed)
}

func TestWrongOptions(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"no ID":          func(o *Options) { o.Node = 0 },
		"no Receive":     func(o *Options) { o.Receive = nil },
		"no Log":         func(o *Options) { o.Log = nil },
		"half a TLS":     func(o *Options) { o.TLS = &TLS{} },
		"no port":        func(o *Options) { o.Listen = "127.0.0.1" },
		"every address":  func(o *Options) { o.Listen = ":0" },
		"IPv4's any":     func(o *Options) { o.Listen = "0.0.0.0:0" },
		"not a loopback": func(o *Options) { o.Listen = "192.0.2.1:0" },
	} {
		o := testOptions(1)
		change(&o)
		tr, err := Listen(o)
		if !errors.Is(err, holdfast.Invalid) {
			t.Errorf("%s: got %v; want it invalid", name, err)
		}
		if err == nil {
			tr.Close()
		}
	}
	one := open(t, testOptions(1), testLimits())
	o := testOptions(2)
	o.Listen = one.Addr().String()
	_, err := Listen(o)
	wantKind(t, err, holdfast.Failed)
}

// A node without Answer refuses requests.
func TestNoAnswers(t *testing.T) {
	noLeaks(t)
	o := testOptions(2)
	o.Answer = nil
	one, two := open(t, testOptions(1), testLimits()), open(t, o, testLimits())
	one.SetPeers(map[holdfast.NodeID]Peer{2: {Addr: two.Addr().String()}})
	two.SetPeers(map[holdfast.NodeID]Peer{1: {}})
	await(t, "it is refused", func() bool {
		_, err := one.Call(t.Context(), Message{To: 2})
		return errors.Is(err, holdfast.Invalid)
	})
}
