package dynamodb

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast"
	"holdfast/table"
)

// The longest requests and responses are forwarded whole, also responses whose JSON is longer than
// what may be forwarded.
func TestLongestForwarded(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a minute under the race detector, and sends one request at a time")
	}
	follower, leader, p := twoNodes(t, Options{Tables: tablesWith(t, table.Options{ShardsPerTable: 64})})
	createTables(t, leader)
	var longest, answered atomic.Int64
	p.answer = func(ctx context.Context, request []byte) ([]byte, error) {
		sent, err := leader.Answer(ctx, request)
		longest.Store(max(longest.Load(), int64(len(request))))
		answered.Store(max(answered.Load(), int64(len(sent))))
		if len(request) > MaxForwarded || len(sent) > MaxForwarded {
			t.Errorf("got a request of %d and a response of %d bytes; want at most %d", len(request), len(sent),
				MaxForwarded)
		}
		return sent, err
	}
	addresses := map[*Handler]string{follower: listening(t, follower, nil), leader: listening(t, leader, nil)}
	long := strings.Repeat("v", 399<<10)
	nulls := strings.Repeat(`{"NULL":true},`, 130_000) + `{"NULL":true}`
	var keys, nullKeys []string
	for batch := range 2 {
		var puts []string
		for n := range 25 {
			key := fmt.Sprintf(`"id":{"S":"%d"}`, batch*25+n)
			keys = append(keys, `{`+key+`}`)
			puts = append(puts, `{"PutRequest":{"Item":{`+key+`,"v":{"S":"`+long+`"}}}}`)
		}
		body := `{"RequestItems":{"things":[` + strings.Join(puts, ",") + `]}}`
		body += strings.Repeat(" ", maxBodyBytes-len(body))
		if got := exchanged(t, addresses[follower], "BatchWriteItem", body); got.body != `{"UnprocessedItems":{}}` {
			t.Fatalf("got %d %.300s; want all written", got.status, got.body)
		}
	}
	if longest.Load() < maxBodyBytes {
		t.Errorf("got a forwarded request of %d bytes; want more than %d", longest.Load(), maxBodyBytes)
	}
	for n := range 12 {
		key := fmt.Sprintf(`"id":{"S":"null%d"}`, n)
		nullKeys = append(nullKeys, `{`+key+`}`)
		body := `{"TableName":"things","Item":{` + key + `,"v":{"L":[` + nulls + `]}}}`
		if got := exchanged(t, addresses[follower], "PutItem", body); got.body != `{}` {
			t.Fatalf("got %d %.300s; want it written", got.status, got.body)
		}
	}
	for name, test := range map[string]struct {
		keys  []string
		least int // bytes of the response
	}{"16 MB": {keys, 16_000_000}, "JSON that is longer": {nullKeys, MaxForwarded + 1}} {
		answered.Store(0)
		body := `{"RequestItems":{"things":{"ConsistentRead":true,"Keys":[` + strings.Join(test.keys, ",") + `]}}}`
		got := exchanged(t, addresses[follower], "BatchGetItem", body)
		want := exchanged(t, addresses[leader], "BatchGetItem", body)
		if got != want || len(want.body) < test.least || want.status != http.StatusOK || answered.Load() == 0 {
			t.Errorf("%s: got %d and %d bytes; want %d and %d, the same, and at least %d", name, got.status,
				len(got.body),
				want.status, len(want.body), test.least)
		}
	}
	checkReleased(t, follower, "all")
	checkReleased(t, leader, "all")
}

// Large requests that are forwarded wait for the memory budget of the node that accepts them, and for
// that of the node that executes them.
func TestManyLargeForwarded(t *testing.T) {
	const small, bodyBytes = 8 << 20, 300 << 10
	most := int64(small / bodyShare / (bodyFactor * bodyBytes))
	for name, budgets := range map[string][2]int64{"accepting": {small, 0}, "executing": {0, small}} {
		tables := memoryTables(t)
		leader := New(Options{Tables: tables, RequestBytes: budgets[1]})
		createTables(t, leader)
		var running, highest atomic.Int64
		op := leader.operations[tablesTarget]["PutItem"]
		put := op.run
		op.run = func(ctx context.Context, req node, w *writer) error {
			if n := running.Add(1); n > highest.Load() {
				highest.Store(n) // may miss one, which another time shows
			}
			defer running.Add(-1)
			return put(ctx, req, w)
		}
		leader.operations[tablesTarget]["PutItem"] = op
		p := &peers{answer: leader.Answer}
		follower := New(Options{Tables: tables, Peers: p, RequestBytes: budgets[0]})
		address := listening(t, follower, nil)
		var clients sync.WaitGroup
		for n := range 30 {
			clients.Go(func() {
				body := fmt.Sprintf(`{"TableName":"things","Item":{"id":{"S":"%d"},"v":{"S":%q}}}`, n,
					strings.Repeat("v", bodyBytes))
				if status, err := post(address, "PutItem", body); status != http.StatusOK || err != nil {
					t.Errorf("%s: got %d, %v; want 200", name, status, err)
				}
			})
		}
		clients.Wait()
		if n := highest.Load(); n > most || n == 0 {
			t.Errorf("%s: got %d at once; want at most %d", name, n, most)
		}
		checkReleased(t, follower, name)
		checkReleased(t, leader, name)
	}
}

// A forwarded request beyond each part of the leading node's memory waits, and is refused if it waits
// in vain.
func TestForwardedWaitForMemory(t *testing.T) {
	dense := `{"TableName":"things","Item":{"id":{"S":"a"},"v":{"L":[` +
		strings.Repeat(`{"N":"1"},`, 5000) + `{"N":"1"}]}}}`
	for name, c := range map[string]struct {
		op, body string
		take     func(*memory) (release func())
	}{
		"bodies": {"PutItem",
			`{"TableName":"things","Item":{"id":{"S":"` + strings.Repeat("i", 1000) + `"},"v":{"S":"` +
				strings.Repeat("v", 50<<10) + `"}}}`, func(m *memory) func() {
				m.bodies.TryAcquire(m.bodyBytes)
				return func() { m.bodies.Release(m.bodyBytes) }
			}},
		"values": {"PutItem", dense, func(m *memory) func() {
			m.values.TryAcquire(m.valueBytes)
			return func() { m.values.Release(m.valueBytes) }
		}},
		"pages": {"Scan", `{"TableName":"things","ConsistentRead":true}`, func(m *memory) func() {
			m.pages.TryAcquire(m.pageCount)
			return func() { m.pages.Release(m.pageCount) }
		}},
	} {
		for _, stop := range []bool{false, true} {
			follower, leader, p := twoNodes(t, Options{})
			createTables(t, leader)
			address := listening(t, follower, nil)
			release := c.take(leader.memory)
			statuses := make(chan int, 1)
			go func() {
				status, err := post(address, c.op, c.body)
				if err != nil {
					t.Error(err)
				}
				statuses <- status
			}()
			eventually(t, name+": the request was forwarded", func() bool { return p.forwards.Load() == 1 })
			select {
			case status := <-statuses:
				t.Errorf("%s: got %d without memory; want the request to wait", name, status)
				statuses <- status
			default:
			}
			want := http.StatusOK
			if stop {
				leader.Stop()
				want = http.StatusServiceUnavailable
			} else {
				release()
			}
			if got := <-statuses; got != want {
				t.Errorf("%s, stopped %v: got %d; want %d", name, stop, got, want)
			}
			if stop {
				release()
			}
			checkReleased(t, follower, name)
			checkReleased(t, leader, name)
		}
	}
}

// A forwarded request that waits for memory in vain is refused before the node that has forwarded
// it stops waiting for an answer: nothing was changed, and the response says so.
func TestForwardedIsRefusedInTime(t *testing.T) {
	follower, leader, p := twoNodes(t, Options{})
	createTables(t, leader)
	p.answer = func(ctx context.Context, request []byte) ([]byte, error) {
		ctx, end := context.WithTimeout(ctx, 400*time.Millisecond)
		defer end()
		response, err := leader.Answer(ctx, request)
		if ctx.Err() != nil {
			return nil, holdfast.Errorf(holdfast.Unavailable, "outcome unknown: it has no answer in time")
		}
		return response, err
	}
	if !leader.memory.pages.TryAcquire(leader.memory.pageCount) {
		t.Fatal("got no memory")
	}
	defer leader.memory.pages.Release(leader.memory.pageCount)
	got := call(t, follower, "Scan", `{"TableName":"things","ConsistentRead":true}`)
	if want := "ServiceUnavailableException: " + errNoMemory.message; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

// blocking has a node's PutItem wait until go is closed, or until its context ends.
func blocking(h *Handler) (begun, proceed chan struct{}) {
	begun, proceed = make(chan struct{}), make(chan struct{})
	op := h.operations[tablesTarget]["PutItem"]
	put := op.run
	op.run = func(ctx context.Context, req node, w *writer) error {
		close(begun)
		select {
		case <-proceed:
			return put(ctx, req, w)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	h.operations[tablesTarget]["PutItem"] = op
	return begun, proceed
}

// A client that leaves while its request is forwarded changes nothing: the operation runs to its end.
func TestClientsThatLeave(t *testing.T) {
	follower, leader, _ := twoNodes(t, Options{})
	createTables(t, leader)
	begun, proceed := blocking(leader)
	conn := dialRaw(t, listening(t, follower, nil))
	conn.write(withLength("PutItem", putThing))
	<-begun
	conn.Close()
	close(proceed)
	checkReleased(t, follower, "a client that has left")
	checkReleased(t, leader, "a client that has left")
	eventually(t, "the item was put", func() bool { return call(t, leader, "GetItem", getThing) != `{}` })
}

// An operation ends when the node that has forwarded it no longer waits, and when either node stops.
func TestForwardedOperationsEnd(t *testing.T) {
	for name, end := range map[string]func(follower, leader *Handler, cancel func()){
		"the other node has given up": func(_, _ *Handler, cancel func()) { cancel() },
		"the other node stops":        func(follower, _ *Handler, _ func()) { follower.Stop() },
		"this node stops":             func(_, leader *Handler, _ func()) { leader.Stop() },
	} {
		follower, leader, p := twoNodes(t, Options{})
		createTables(t, leader)
		begun, _ := blocking(leader)
		connection, cancel := context.WithCancel(t.Context())
		p.answer = func(ctx context.Context, request []byte) ([]byte, error) {
			ctx, stop := context.WithCancel(ctx)
			defer stop()
			defer context.AfterFunc(connection, stop)()
			return leader.Answer(ctx, request)
		}
		got := make(chan string)
		go func() { got <- call(t, follower, "PutItem", putThing) }()
		<-begun
		end(follower, leader, cancel)
		if got := <-got; got != "InternalServerError: The request was canceled before it completed" {
			t.Errorf("%s: got %s; want that it was canceled", name, got)
		}
		cancel()
		checkReleased(t, follower, name)
		checkReleased(t, leader, name)
	}
}
