package rpc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast"
)

// A stubConn is a connection that a node has dialled to a stub, after the handshake.
type stubConn struct {
	net.Conn
	in  *frameReader
	way way
}

func (c *stubConn) send(f frame) bool {
	f.way = c.way
	_, err := c.Write(bytesOf(f))
	return err == nil
}

// newStub returns the address of node 2, which does with node 1's connections what serve does,
// after the handshake. It ends with the test.
func newStub(t testing.TB, serve func(c *stubConn)) string {
	t.Helper()
	return newListener(t, func(nc net.Conn) {
		h, err := readHello(nc)
		if err != nil {
			return
		}
		h.way = h.way.back()
		nc.Write(h.bytes())
		serve(&stubConn{Conn: nc, in: newFrameReader(nc, h.way.back(), false, MaxBody), way: h.way})
	})
}

// newListener returns an address whose connections are served until the test ends.
func newListener(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			running.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return l.Addr().String()
}

// testHello is node 1's to node 2.
func testHello() hello {
	return hello{lowest: version, highest: version, kind: helloBare, way: way{cluster: testCluster, from: 1, to: 2}}
}

// A hello in which any byte is another is refused and counted, and so is none at all; the node
// stays open for its peers.
func TestDamagedHellos(t *testing.T) {
	noLeaks(t)
	two := open(t, testOptions(2), testLimits())
	two.SetPeers(map[holdfast.NodeID]Peer{1: {}})
	h := testHello()
	whole := h.bytes()
	for at := range whole {
		c := dialRaw(t, two)
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0x55
		c.Write(damaged)
		awaitEnd(t, c)
		if want := uint64(at + 1); two.count(Garbled) != want {
			t.Fatalf("byte %d: got %d garbled hellos; want %d", at, two.count(Garbled), want)
		}
	}
	for n := range whole { // and then nothing more
		c := dialRaw(t, two)
		c.Write(whole[:n])
		c.(*net.TCPConn).CloseWrite()
		awaitEnd(t, c)
		if want := uint64(n + 1); two.count(Broken) != want {
			t.Fatalf("%d bytes: got %d broken handshakes; want %d", n, two.count(Broken), want)
		}
	}
	for _, other := range []string{"GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html, application/xhtml\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + string(make([]byte, 100))} {
		c := dialRaw(t, two)
		c.Write([]byte(other))
		awaitEnd(t, c)
	}
	one := open(t, testOptions(1), testLimits())
	one.SetPeers(map[holdfast.NodeID]Peer{2: {Addr: two.Addr().String()}})
	awaitCalls(t, one, 2)
}

// A hello that is whole, but not for this node, is refused with a word that both ends count.
func TestRefusedHellos(t *testing.T) {
	noLeaks(t)
	two := open(t, testOptions(2), testLimits())
	two.SetPeers(map[holdfast.NodeID]Peer{1: {}})
	for _, test := range []struct {
		name   string
		change func(h *hello)
		want   Fault
	}{
		{"a later version", func(h *hello) { h.lowest, h.highest = version+1, version+2 }, WrongVersion},
		{"an earlier version", func(h *hello) { h.lowest, h.highest = 0, version-1 }, WrongVersion},
		{"another cluster", func(h *hello) { h.way.cluster[0]++ }, WrongCluster},
		{"another receiver", func(h *hello) { h.way.to = 3 }, WrongReceiver},
		{"a stranger", func(h *hello) { h.way.from = 9 }, WrongSender},
		{"node 0", func(h *hello) { h.way.from = 0 }, WrongSender},
		{"itself", func(h *hello) { h.way.from = 2 }, WrongSender},
	} {
		c := dialRaw(t, two)
		h := testHello()
		test.change(&h)
		c.Write(h.bytes())
		answer, err := readHello(c)
		if err != nil || answer.verdict != verdicts[test.want] {
			t.Errorf("%s: got the verdict %d, %v; want %d", test.name, answer.verdict, err, verdicts[test.want])
		}
		awaitEnd(t, c)
		await(t, test.name+" is counted", func() bool { return two.count(test.want) > 0 })
	}
	c := dialRaw(t, two)
	wide := testHello()
	wide.highest = 200
	c.Write(wide.bytes())
	if answer, err := readHello(c); err != nil || answer.verdict != welcome || answer.highest != version {
		t.Errorf("a node that speaks more versions: got %+v, %v; want it welcome", answer, err)
	}

	other := testOptions(1)
	other.Cluster[3]++
	one := open(t, other, testLimits())
	one.SetPeers(map[holdfast.NodeID]Peer{2: {Addr: two.Addr().String()}, 3: {Addr: two.Addr().String()}})
	await(t, "the dialler counts it", func() bool { return one.count(WrongCluster) > 0 })
}

// What answers a hello with anything but the one it should is left, and counted.
func TestDamagedAnswers(t *testing.T) {
	noLeaks(t)
	good := testHello()
	good.way = good.way.back()
	answers := map[string][]byte{"HTTP": []byte("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\r\n")}
	want := map[string]Fault{"HTTP": Garbled}
	add := func(name string, fault Fault, change func(h *hello)) {
		h := good
		change(&h)
		answers[name], want[name] = h.bytes(), fault
	}
	add("another version", WrongVersion, func(h *hello) { h.lowest, h.highest = version+1, version+1 })
	add("another cluster", WrongCluster, func(h *hello) { h.way.cluster[7]++ })
	add("another node", WrongSender, func(h *hello) { h.way.from = 3 })
	add("for another node", WrongReceiver, func(h *hello) { h.way.to = 3 })
	add("an unknown verdict", Garbled, func(h *hello) { h.verdict = 99 })
	add("another name", WrongName, func(h *hello) { h.verdict = refusedName })
	for at := range good.bytes() {
		b := good.bytes()
		b[at] ^= 0x55
		name := "byte " + string(rune('0'+at/10)) + string(rune('0'+at%10))
		answers[name], want[name] = b, Garbled
	}
	for name, answer := range answers {
		one := open(t, testOptions(1), testLimits())
		address := newListener(t, func(c net.Conn) {
			readHello(c)
			c.Write(answer)
		})
		one.SetPeers(map[holdfast.NodeID]Peer{2: {Addr: address}})
		await(t, name, func() bool { return one.count(want[name]) > 1 })
		if _, err := one.Call(t.Context(), Message{To: 2}); !errors.Is(err, holdfast.Refused) {
			t.Errorf("%s: got %v; want no connection", name, err)
		}
		one.Close()
	}
}

// Who stalls at any byte of the handshake, at either end, is left after a time.
func TestStalledHandshakes(t *testing.T) {
	noLeaks(t)
	l := testLimits()
	l.handshakeTime = 100 * time.Millisecond
	two := open(t, testOptions(2), l)
	two.SetPeers(map[holdfast.NodeID]Peer{1: {}})
	h := testHello()
	for n := range helloBytes {
		c := dialRaw(t, two)
		c.Write(h.bytes()[:n])
		defer awaitEnd(t, c)
	}
	await(t, "all are late", func() bool { return two.count(Late) == helloBytes })

	silent := newListener(t, func(c net.Conn) {
		readHello(c)
		c.Read(make([]byte, 1)) // until the node closes it
	})
	one := open(t, testOptions(1), l)
	one.SetPeers(map[holdfast.NodeID]Peer{2: {Addr: silent}})
	await(t, "it is late, more than once", func() bool { return one.count(Late) > 1 })
}

// Connections whose handshake isn't done are few, and leave space once they are.
func TestTooManyHandshakes(t *testing.T) {
	noLeaks(t)
	l := testLimits()
	l.handshakes = 3
	two := open(t, testOptions(2), l)
	two.SetPeers(map[holdfast.NodeID]Peer{1: {}})
	var open []net.Conn
	for range l.handshakes {
		open = append(open, dialRaw(t, two))
	}
	await(t, "one is refused", func() bool {
		awaitOpenOrEnd(dialRaw(t, two))
		return two.count(Crowded) > 0
	})
	for _, c := range open {
		c.Close()
	}
	await(t, "there is space", func() bool {
		c := dialRaw(t, two)
		return greet(c, way{cluster: testCluster, from: 1, to: 2}) == nil
	})
}

// awaitOpenOrEnd waits a moment for a connection to be closed.
func awaitOpenOrEnd(c net.Conn) {
	c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	c.Read(make([]byte, 1))
}

// A peer that sends a frame that it shouldn't, after a handshake that it should, is dropped.
func TestBadFramesDropTheConnection(t *testing.T) {
	noLeaks(t)
	two := open(t, testOptions(2), testLimits())
	two.SetPeers(map[holdfast.NodeID]Peer{1: {}})
	long := func(length uint32) func(w way) []byte {
		return func(w way) []byte {
			b := bytesOf(frame{typ: frameMessage, way: w})
			binary.LittleEndian.PutUint32(b, length)
			return b
		}
	}
	message := func(change func(*way)) func(way) []byte {
		return func(w way) []byte {
			change(&w)
			return bytesOf(frame{typ: frameMessage, way: w})
		}
	}
	for _, test := range []struct {
		name  string
		bytes func(w way) []byte
		want  Fault
	}{
		{"garbage", func(way) []byte { return bytes.Repeat([]byte{200, 0, 0, 0}, 100) }, WrongChecksum},
		{"4 GiB", long(1<<32 - 1), WrongLength},
		{"nothing", long(0), WrongLength},
		{"another cluster", message(func(w *way) { w.cluster[3]++ }), WrongCluster},
		{"another receiver", message(func(w *way) { w.to++ }), WrongReceiver},
		{"another sender", message(func(w *way) { w.from++ }), WrongSender},
		{"an answer", func(w way) []byte { return bytesOf(frame{typ: frameAnswer, way: w, id: 1}) }, Unexpected},
	} {
		c, w := dialAs(t, two, 1)
		c.Write(test.bytes(w))
		awaitEnd(t, c)
		await(t, test.name+" is counted", func() bool { return two.count(test.want) > 0 })
	}
	one := newStub(t, func(c *stubConn) { // which answers with a request
		c.send(frame{typ: frameRequest, id: 1})
		c.Read(make([]byte, 1))
	})
	three := testOptions(1)
	dialler := open(t, three, testLimits())
	dialler.SetPeers(map[holdfast.NodeID]Peer{2: {Addr: one}})
	await(t, "the dialler counts it", func() bool { return dialler.count(Unexpected) > 0 })
}

// A peer that dials again replaces its connection. Its messages are received one at a time, also
// then.
func TestNewerConnectionReplaces(t *testing.T) {
	noLeaks(t)
	began, free, received := make(chan struct{}), make(chan struct{}), make(chan uint8, 2)
	var active atomic.Int32
	o := testOptions(2)
	o.Receive = func(m Message) {
		if active.Add(1) > 1 {
			t.Error("two messages of a peer are received at once")
		}
		if m.Kind == 1 {
			began <- struct{}{}
			<-free
		}
		active.Add(-1)
		received <- m.Kind
	}
	two := open(t, o, testLimits())
	two.SetPeers(map[holdfast.NodeID]Peer{1: {}})
	for range 20 {
		first, w := dialAs(t, two, 1)
		first.Write(bytesOf(frame{typ: frameMessage, kind: 1, way: w}))
		<-began
		before := two.count(Replaced)
		second, _ := dialAs(t, two, 1)
		second.Write(bytesOf(frame{typ: frameMessage, kind: 2, way: w}))
		await(t, "the first is replaced", func() bool { return two.count(Replaced) > before })
		awaitEnd(t, first)
		// Until it is read, the peer gets pings, or it would soon dial again, and again.
		if f, err := newFrameReader(second, w.back(), true, MaxBody).next(); err != nil || f.typ != framePing {
			t.Errorf("got a %v, %v; want a ping", f.typ, err)
		}
		free <- struct{}{}
		for want := uint8(1); want <= 2; want++ {
			if kind := <-received; kind != want {
				t.Errorf("got message %d; want %d", kind, want)
			}
		}
	}
}

// Nodes that start together dial each other before some of them know their peers: these wait for
// that, and refuse nobody.
func TestPeersThatComeEarly(t *testing.T) {
	noLeaks(t)
	one, two := open(t, testOptions(1), testLimits()), open(t, testOptions(2), testLimits())
	peers := map[holdfast.NodeID]Peer{1: {Addr: one.Addr().String()}, 2: {Addr: two.Addr().String()}}
	early := dialRaw(t, two)
	hello := testHello()
	if _, err := early.Write(hello.bytes()); err != nil {
		t.Fatal(err)
	}
	one.SetPeers(peers)
	two.SetPeers(peers)
	if answer, err := readHello(early); err != nil || answer.verdict != welcome {
		t.Errorf("a node that came early: got %+v, %v; want it welcome", answer, err)
	}
	for _, tr := range []*Transport{one, two} {
		await(t, "both are connected", func() bool {
			_, err := tr.Call(t.Context(), Message{To: 3 - tr.options.Node})
			return err == nil
		})
		if n := tr.count(WrongSender); n != 0 {
			t.Errorf("got %d refused; want none", n)
		}
	}

	late := testLimits()
	late.handshakeTime = 20 * time.Millisecond
	three := open(t, testOptions(3), late)
	c := dialRaw(t, three)
	hello.way.to = 3
	if _, err := c.Write(hello.bytes()); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, c)
	await(t, "it is counted", func() bool { return three.count(Late) > 0 })
}
