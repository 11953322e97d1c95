package node

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/config"
)

// A sessionClient sends requests of a session, or of a connection if it has no name.
type sessionClient struct {
	of      *testCluster
	name    string
	http    *http.Client
	stalled func() // is called if a request gets no answer for long; nil: nothing is
}

// soon repeats a request until it has an answer.
func (c *sessionClient) soon(i int, do func() (ok bool)) {
	c.of.t.Helper()
	for began := time.Now(); !do(); {
		switch took := time.Since(began); {
		case took > time.Minute:
			c.of.t.Fatalf("node %d: got no answer within a minute", i+1)
		case took > stallTime && c.stalled != nil:
			c.stalled()
		}
	}
}

// stallTime is after how long a node that is held has lost its leader, and answers no more.
const stallTime = 3 * time.Second

// inSession sends a request through node i+1. ok is false if it wasn't answered, or with an error that
// says so: a node restarts, or is cut off.
func (c *sessionClient) inSession(i int, operation, body string) (text string, ok bool) {
	c.of.t.Helper()
	req, err := requestTo(c.of.address(i), operation, body)
	if err != nil {
		c.of.t.Fatal(err)
	}
	if c.name != "" {
		req.Header.Set("X-Holdfast-Session", c.name)
	}
	status, text, _, err := answerTo(c.http, req)
	if err == nil && status < http.StatusInternalServerError && status != http.StatusOK {
		c.of.t.Errorf("node %d: %s: got %d %s; want 200, or an error of the node", i+1, operation, status, text)
	}
	return text, err == nil && status == http.StatusOK
}

const counterKey = `{"TableName":"counters","Key":{"id":{"S":"a"}}}`

// read returns the counter, as node i+1 answers; !ok: it has no answer.
func (c *sessionClient) read(i int) (n int, ok bool) {
	c.of.t.Helper()
	text, ok := c.inSession(i, "GetItem", counterKey)
	return counted(c.of.t, text), ok
}

// counted returns the counter of a response; 0 if it has none.
func counted(t *testing.T, text string) int {
	t.Helper()
	var answer struct {
		Item struct{ N struct{ N string } }
	}
	if text == "" || json.Unmarshal([]byte(text), &answer) != nil || answer.Item.N.N == "" {
		return 0
	}
	n, err := strconv.Atoi(answer.Item.N.N)
	if err != nil {
		t.Error(err)
	}
	return n
}

// readSoon repeats a read until it has an answer.
func (c *sessionClient) readSoon(i int) (n int) {
	c.of.t.Helper()
	c.soon(i, func() (ok bool) { n, ok = c.read(i); return ok })
	return n
}

// writeSoon sets the counter to n.
func (c *sessionClient) writeSoon(i, n int) {
	c.of.t.Helper()
	body := fmt.Sprintf(`{"TableName":"counters","Key":{"id":{"S":"a"}},"UpdateExpression":"SET N = :n",`+
		`"ExpressionAttributeValues":{":n":{"N":"%d"}}}`, n)
	c.soon(i, func() bool { _, ok := c.inSession(i, "UpdateItem", body); return ok })
}

func (c *testCluster) session(name string) *sessionClient {
	return &sessionClient{of: c, name: name, http: &http.Client{Transport: &http.Transport{},
		Timeout: 20 * time.Second}}
}

func (c *testCluster) createCounters() {
	c.t.Helper()
	c.create(0, "counters", `{"TableName":"counters","BillingMode":"PAY_PER_REQUEST",
		"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
		"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}`)
	for i := range c.nodes {
		for _, ok := c.session("").read(i); !ok; _, ok = c.session("").read(i) {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// hold has node i+1 get nothing of its groups until it is released, so that its replicas lag.
func (c *testCluster) hold(i int) (release func()) {
	m := c.nodes[i].tables.member
	host := m.host.Swap(nil)
	return sync.OnceFunc(func() { m.host.Store(host) })
}

// A session goes from a node to another and back, where the replicas lag: it sees what it has written
// and read, also if a node has been restarted in between. Others see what the node has.
func TestSessionsGoFromNodeToNode(t *testing.T) {
	c := openCluster(t, 3)
	c.createCounters()
	leads := c.leader()
	late, other := (leads+1)%3, (leads+2)%3
	s, plain := c.session("wanders"), c.session("")
	kept := func(i int) int { return c.nodes[i].tables.sessions.keeper.Stats().Kept }

	s.writeSoon(late, 1)
	if got := s.readSoon(late); got != 1 || kept(late) != 1 {
		t.Errorf("got %d, and %d sessions kept; want 1 and one", got, kept(late))
	}
	release := c.hold(late)
	s.stalled = release
	s.writeSoon(other, 2)
	if kept(late) != 0 {
		t.Errorf("got %d sessions kept at the node that the session has left; want none", kept(late))
	}
	if got := plain.readSoon(late); got > 1 {
		t.Errorf("got %d without a session; want at most 1, since the replica lags", got)
	}
	if got := s.readSoon(late); got != 2 {
		t.Errorf("got %d at the first node again; want 2", got)
	}
	if got := s.readSoon(leads); got != 2 {
		t.Errorf("got %d at the third node; want 2", got)
	}
	release()

	s.readSoon(late)
	c.close(late)
	c.open(late)
	plain.writeSoon(late, 3)
	s.stalled = c.hold(late)
	s.writeSoon(other, 4)
	if got := plain.readSoon(late); got > 3 {
		t.Errorf("got %d without a session; want at most 3, since the replica lags", got)
	}
	if got := s.readSoon(late); got != 4 {
		t.Errorf("got %d at a node that was restarted; want 4", got)
	}
	s.stalled()
}

// Sessions wander at random while another client writes, replicas lag, and nodes are restarted: none
// ever sees less than before.
func TestSessionsOfAClusterNeverGoBack(t *testing.T) {
	c := openCluster(t, 3)
	c.createCounters()
	var ended atomic.Bool
	var gate [3]sync.RWMutex // of nodes: a restart waits for requests
	var all sync.WaitGroup
	all.Go(func() {
		for n := 1; !ended.Load(); n++ {
			i := rand.IntN(3)
			gate[i].RLock()
			c.session("").writeSoon(i, n)
			gate[i].RUnlock()
		}
	})
	var answers atomic.Int64
	for k := range 4 {
		s := c.session(fmt.Sprint("s", k))
		all.Go(func() {
			at, seen := rand.IntN(3), 0
			for !ended.Load() {
				if rand.IntN(10) == 0 {
					at = rand.IntN(3)
				}
				gate[at].RLock()
				got, ok := s.read(at)
				gate[at].RUnlock()
				if !ok {
					continue
				}
				if got < seen {
					t.Errorf("session %s at node %d: got %d after %d", s.name, at+1, got, seen)
					ended.Store(true)
				}
				seen = got
				answers.Add(1)
			}
		})
	}
	known := func() (n uint64) {
		for i := range c.nodes {
			gate[i].RLock()
			n += c.nodes[i].tables.sessions.keeper.Stats().Known
			gate[i].RUnlock()
		}
		return n
	}
	began := time.Now()
	for round := 0; round < 8 || answers.Load() < 100 || known() < 20; round++ {
		if time.Since(began) > time.Minute {
			t.Errorf("got %d answers, %d of sessions that the node knew; want more", answers.Load(), known())
			break
		}
		i := rand.IntN(3)
		if round == 3 || round == 6 {
			gate[i].Lock()
			c.close(i)
			c.open(i)
			gate[i].Unlock()
		}
		gate[i].RLock()
		release := c.hold(i)
		time.Sleep(300 * time.Millisecond) // a fault lasts, no state is waited for
		release()
		gate[i].RUnlock()
	}
	ended.Store(true)
	all.Wait()
	t.Logf("%d answers; the nodes have known the sessions of %d requests", answers.Load(), known())
}

// If connections are sessions, each sees what it has written and read, and no other does for it.
func TestConnectionsAreSessions(t *testing.T) {
	c := openCluster(t, 3)
	for i := range c.configs {
		c.configs[i].Tables.Sessions = config.SessionsConnection
		c.close(i)
		c.open(i)
	}
	c.createCounters()
	late := (c.leader() + 1) % 3
	writes, reads := c.session(""), c.session("")
	writes.writeSoon(late, 1)
	if got := reads.readSoon(late); got != 1 {
		t.Errorf("got %d on a new connection; want 1, as all is read consistently first", got)
	}
	release := c.hold(late)
	writes.stalled, reads.stalled = release, release
	writes.writeSoon(late, 2)
	if got := reads.readSoon(late); got < 1 {
		t.Errorf("got %d on a connection that has seen 1", got)
	}
	if got := writes.readSoon(late); got != 2 {
		t.Errorf("got %d on the connection that has written 2", got)
	}
	fresh := c.session("")
	fresh.stalled = release
	if got := fresh.readSoon(late); got != 2 {
		t.Errorf("got %d on a new connection; want 2", got)
	}
	release()
	if got := c.nodes[late].tables.sessions.keeper.Stats(); got.Kept != 0 {
		t.Errorf("got %+v; want no sessions that are named", got)
	}
}

// A connection's session is below TLS, and its own.
func TestSessionsOfConnections(t *testing.T) {
	one, two := &tablesConn{}, &tablesConn{}
	plain, other := sessionOfConn(one), sessionOfConn(two)
	if plain == nil || plain == other || plain != &one.session {
		t.Errorf("got %p and %p; want one for each connection", plain, other)
	}
	listener := secureListener{Listener: oneListener{one}}
	secure, err := listener.Accept()
	if err != nil || sessionOfConn(secure) != plain {
		t.Errorf("got another session with TLS, or %v; want that of the connection below", err)
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if got := sessionOfConn(a); got != nil {
		t.Errorf("got a session of a connection of another listener")
	}
}

// A oneListener accepts one connection.
type oneListener struct{ conn net.Conn }

func (l oneListener) Accept() (net.Conn, error) { return l.conn, nil }
func (l oneListener) Addr() net.Addr            { return nil }
func (l oneListener) Close() error              { return nil }
