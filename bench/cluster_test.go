package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A fakeCluster is three nodes in memory that count what they are asked.
type fakeCluster struct {
	mu     sync.Mutex     // guards what follows
	lead   int            // the node that leads
	moves  int            // how often another node begins to lead, once it was asked who does
	asked  map[string]int // requests, by node and kind
	opened []string       // the node of each connection
	closed int
	values map[int]string // by item; the last put of each
	lost   bool           // node "c" has no items
	fault  error          // of each request

	takes time.Duration     // a request
	proc  map[string]string // by node: where the system describes its process; nil: there is none
}

// What each request costs its node, where the system describes nodes.
const (
	fakeMicros = 2e6 / ticksPerSecond
	fakeBytes  = 4711
)

type fakeConn struct {
	*fakeCluster
	node string
}

func (f *fakeCluster) run() *clusterRun {
	f.asked, f.values = map[string]int{}, map[int]string{}
	r := &clusterRun{figures: map[string]clusterFigures{}, spread: spreadOver(1000)}
	r.clusterSetup = clusterSetup{name: "fake", addresses: []string{"a", "b", "c"}, tokens: true}
	r.dial = func(address string) (kvClient, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.opened = append(f.opened, address)
		return &fakeConn{f, address}, nil
	}
	r.clusterSetup.leads = func(node int) (bool, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		leads := node == f.lead
		if leads && f.moves > 0 {
			f.moves--
			f.lead = (f.lead + 1) % 3
		}
		return leads, nil
	}
	return r
}

func (c *fakeConn) ping() error    { return nil }
func (c *fakeConn) prepare() error { return nil }

// ask counts a request, and what it costs. mu is held.
func (c *fakeConn) ask(kind requestKind) {
	key := c.node + " " + kind.String()
	c.asked[key]++
	if dir := c.proc[c.node]; dir != "" {
		n := c.asked[key]
		os.WriteFile(filepath.Join(dir, "io"), fmt.Appendf(nil, "wchar: 1\nwrite_bytes: %d\n", fakeBytes*n), 0o600)
		os.WriteFile(filepath.Join(dir, "stat"),
			fmt.Appendf(nil, "1 (a b) S%s %d %d 0", strings.Repeat(" 0", 10), n, n),
			0o600)
	}
}

func (c *fakeConn) put(item, n int) error {
	time.Sleep(c.takes)
	c.mu.Lock()
	defer c.mu.Unlock()
	if value := clusterValue(n); c.values[item] == value {
		return fmt.Errorf("the %d-th put changes nothing", n)
	} else {
		c.values[item] = value
	}
	c.ask(putting)
	return c.fault
}

func (c *fakeConn) get(item int, kind requestKind) error {
	time.Sleep(c.takes)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ask(kind)
	if c.lost && c.node == "c" {
		return errMissing
	}
	return c.fault
}

func (c *fakeConn) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed++
	return nil
}

// A load asks the nodes that it should for what it should, on as many connections, and each request
// but the first of each connection counts once: in the rate, and in what a request costs the nodes.
func TestClusterLoads(t *testing.T) {
	for _, l := range clusterLoads() {
		synctest.Test(t, func(t *testing.T) { clusterLoadIsAsAsked(t, l) })
	}
}

func clusterLoadIsAsAsked(t *testing.T, l clusterLoad) {
	const each = 10 // requests of a connection that count
	f := &fakeCluster{lead: 1, takes: time.Millisecond, proc: map[string]string{}}
	r := f.run()
	for _, node := range r.addresses {
		f.proc[node] = t.TempDir()
		r.servers = append(r.servers, &server{proc: f.proc[node]})
	}
	if err := r.measure(t.Context(), l, 2, each*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	nodes := map[string]int{}
	for _, node := range f.opened {
		nodes[node]++
	}
	want := map[string]int{"c": (l.connections + 2) / 3, "a": (l.connections + 1) / 3, "b": l.connections / 3}
	if l.atLeader {
		want = map[string]int{"b": l.connections}
	}
	requests, total := 0, 0
	for node, n := range want {
		if nodes[node] != n {
			t.Errorf("%s: got %d connections to node %s; want %d", l.name, nodes[node], node, n)
		}
		got := f.asked[node+" "+l.kind.String()]
		if got == 0 && n > 0 {
			t.Errorf("%s: got %v; want some of node %s", l.name, f.asked, node)
		}
		requests += got
	}
	for _, n := range f.asked {
		total += n
	}
	if total != requests || len(f.opened) != l.connections || f.closed != l.connections {
		t.Errorf("%s: got %v, %d connections, %d closed; want no others", l.name, f.asked, len(f.opened), f.closed)
	}
	if total != (each+1)*l.connections {
		t.Errorf("%s: got %d requests; want %d of each connection", l.name, total, each+1)
	}
	got := r.figures[l.name]
	if len(got.client) != 1 || got.client[0] < 0 {
		t.Errorf("%s: got %v as the client's time; want that of a round", l.name, got.client)
	}
	got.client = nil
	figures := clusterFigures{rate: []float64{1000 * float64(l.connections)}, cpu: []float64{fakeMicros},
		written: []float64{fakeBytes}, p50: []float64{1000}, p99: []float64{1000}}
	if fmt.Sprint(got) != fmt.Sprint(figures) {
		t.Errorf("%s: got %v; want %v", l.name, got, figures)
	}
	if !strings.HasPrefix(l.name, l.kind.String()+", ") || !strings.Contains(l.name, fmt.Sprint(l.connections)) {
		t.Errorf("got name %q", l.name)
	}
}

func TestClusterComparesLoadsThatAreThere(t *testing.T) {
	names := map[string]bool{}
	for _, l := range clusterLoads() {
		names[l.name] = true
	}
	for _, w := range withinCluster {
		if !names[w.load] || !names[w.of] {
			t.Errorf("%s: a load isn't there: %q, %q", w.name, w.load, w.of)
		}
	}
}

// A load in whose middle another node began to lead is measured again, a bounded number of times. A
// fault of another kind isn't.
func TestClusterMeasuresAgain(t *testing.T) {
	l := clusterLoads()[1]
	fault := errors.New("a fault of its own")
	for _, test := range []struct {
		moves, tries, figures int
		fault                 error
		want                  string
	}{
		{0, 1, 1, nil, ""}, {1, 2, 1, nil, ""}, {3, 3, 1, nil, ""}, {1000, clusterTries, 0, nil, errLeader.Error()},
		{0, 1, 0, fault, fault.Error()},
	} {
		f := &fakeCluster{moves: test.moves, fault: test.fault}
		r := f.run()
		m := clusterMeasurement{runs: []*clusterRun{r}, loads: []clusterLoad{l}, length: time.Millisecond}
		err := m.round(t.Context(), 0)
		if test.want == "" && err != nil || test.want != "" &&
			(err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%+v: got %v", test, err)
		}
		if tries, got := len(f.opened)/l.connections, len(r.figures[l.name].rate); tries != test.tries ||
			got != test.figures {
			t.Errorf("%+v: got %d rounds after %d tries; want %d after %d", test, got, tries, test.figures, test.tries)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := (&fakeCluster{}).run()
	m := clusterMeasurement{runs: []*clusterRun{r}, loads: []clusterLoad{l}, length: time.Hour}
	wantError(t, "canceled", m.round(ctx, 0), context.Canceled.Error())
}

// A server without tokens isn't asked for reads with one.
func TestClusterWithoutTokens(t *testing.T) {
	f := &fakeCluster{}
	r := f.run()
	r.tokens = false
	m := clusterMeasurement{runs: []*clusterRun{r}, loads: clusterLoads()[8:], length: time.Millisecond}
	if err := m.round(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if len(f.asked) != 2*3 { // two kinds at three nodes
		t.Errorf("got %v; want no reads with a token", f.asked)
	}
}

// Fill puts every item, and waits until each node has each of them.
func TestClusterFill(t *testing.T) {
	const items = 150
	f := &fakeCluster{}
	r := f.run()
	if err := r.fill(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	if len(f.values) != items {
		t.Errorf("got %d items put; want %d", len(f.values), items)
	}
	for _, node := range r.addresses {
		if got := f.asked[node+" "+eventualRead.String()]; got < items {
			t.Errorf("node %s: got %d reads; want each of %d items read", node, got, items)
		}
	}
	f.lost = true
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	f.values = map[int]string{}
	wantError(t, "a node without the items", r.fill(ctx, items), errMissing.Error())
}

// The figures are medians over the rounds; a ratio is that of the first server to the row's, and the
// median of the rounds' ratios. A load that a server didn't get has no row.
func TestClusterRows(t *testing.T) {
	put, token := loadName(putting, 64, false), loadName(tokenRead, readConnections, false)
	ours, theirs := (&fakeCluster{}).run(), (&fakeCluster{}).run()
	theirs.name = "peer"
	ours.figures[put] = clusterFigures{rate: []float64{20, 60, 80}, cpu: []float64{1, 2, 9}, client: []float64{8, 8, 8},
		written: []float64{5, 6, 7}, p50: []float64{3, 4, 5}, p99: []float64{33, 44, 55}}
	ours.figures[loadName(putting, 64, true)] = clusterFigures{rate: []float64{10, 10, 10}, cpu: []float64{4, 4, 4}}
	ours.figures[token] = clusterFigures{rate: []float64{7}, cpu: []float64{1}, client: []float64{1},
		written: []float64{9}, p50: []float64{1}, p99: []float64{2}}
	theirs.figures[put] = clusterFigures{rate: []float64{10, 20, 40}, cpu: []float64{4, 4, 4},
		client:  []float64{9, 9, 9},
		written: []float64{1, 1, 1}, p50: []float64{1, 1, 1}, p99: []float64{2, 2, 2}}
	m := clusterMeasurement{runs: []*clusterRun{ours, theirs}}
	for _, l := range clusterLoads() {
		if l.name == put || l.name == token {
			m.loads = append(m.loads, l)
		}
	}
	want := [][]string{
		{put, "fake", "60", "1.00", "2", "1.00", "6", "4", "44", "8"},
		{put, "peer", "20", "2.00", "4", "0.50", "1", "1", "2", "9"},
		{token, "fake", "7", "1.00", "1", "1.00", "–", "1", "2", "1"},
	}
	if got := m.rows(); fmt.Sprintf("%q", got[1:]) != fmt.Sprintf("%q", want) || len(got[0]) != len(want[0]) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	want = [][]string{{withinCluster[0].name, "fake", "6.00", "0.50"}}
	if got := m.within(); fmt.Sprintf("%q", got[1:]) != fmt.Sprintf("%q", want) || len(got[0]) != len(want[0]) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	for _, of := range [][2][]float64{{nil, {1}}, {nil, nil}, {{1}, nil}} {
		if got := ratioOf(of[0], of[1]); got != "–" {
			t.Errorf("%v: got %s; want none", of, got)
		}
	}
}

// The processor time is that of all processes.
func TestClusterProcessorTime(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip(err)
	}
	for start := time.Now(); ownMicros() == 0; { // until the first tick of the clock
		if time.Since(start) > 10*time.Second {
			t.Fatal("the processor time doesn't grow")
		}
	}
	r := &clusterRun{}
	for range 3 {
		r.servers = append(r.servers, &server{proc: "/proc/self"})
	}
	least, cpu := 3*ownMicros(), r.cpuMicros()
	if most := 3 * ownMicros(); cpu < least || cpu > most {
		t.Errorf("got %v; want %v to %v", cpu, least, most)
	}
}

// A client that reads with a token sends the first one, and then what the last response had; one
// that doesn't sends none.
func TestHoldfastClient(t *testing.T) {
	var asked []string
	item := `{"Item":{}}`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !json.Valid(body) {
			t.Errorf("got %s; want JSON", body)
		}
		token := r.Header.Get("X-Holdfast-Token")
		asked = append(asked, fmt.Sprintf("%s consistent=%v token=%s", strings.TrimPrefix(r.Header.Get("X-Amz-Target"),
			"DynamoDB_20120810."), strings.Contains(string(body), `"ConsistentRead":true`), token))
		if token != "" {
			w.Header().Set("X-Holdfast-Token", token+"x")
		}
		io.WriteString(w, item)
	}))
	defer s.Close()
	c, err := dialHoldfast(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for _, err := range []error{c.put(1, 2), c.get(1, consistentRead), c.get(1, eventualRead), c.get(1, tokenRead),
		c.get(1, tokenRead), c.put(1, 3)} {
		if err != nil {
			t.Error(err)
		}
	}
	item = "{}"
	wantError(t, "no item", c.get(1, tokenRead), errMissing.Error())
	want := `PutItem consistent=false token=
GetItem consistent=true token=
GetItem consistent=false token=
GetItem consistent=false token=1
GetItem consistent=false token=1x
PutItem consistent=false token=1xx
GetItem consistent=false token=1xxx`
	if got := strings.Join(asked, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Without a cluster, or with something else at its address, a node's status is an error.
func TestHoldfastLeads(t *testing.T) {
	for text, want := range map[string]string{
		`{"cluster":{"leads":true}}`: "true <nil>", `{"cluster":{"leads":false}}`: "false <nil>",
		`{"cluster":null}`: "has no cluster", `404`: "/status of",
	} {
		s := httptest.NewServer(
			http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, text) }))
		leads, err := holdfastLeads(s.Listener.Addr().String())
		if got := fmt.Sprint(leads, " ", err); !strings.Contains(got, want) {
			t.Errorf("%s: got %s; want %s", text, got, want)
		}
		s.Close()
	}
}

func TestFreeAddresses(t *testing.T) {
	addresses, err := freeAddresses(9)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, address := range addresses {
		seen[address] = true
	}
	if len(seen) != 9 {
		t.Errorf("got %q; want nine different ones", addresses)
	}
	if row, err := freeInRow(3); err != nil || len(row) != 3 {
		t.Errorf("got %q, %v; want three", row, err)
	}
}

// A file that was written for one node names it and all members.
func TestNodeFile(t *testing.T) {
	got := nodeFile(1, "/data", "127.0.0.1:1", "127.0.0.1:2", []string{"127.0.0.1:3", "127.0.0.1:4", "127.0.0.1:5"}, 8)
	want := `cluster: {name: holdfast, node: 2, members: [{id: 1, address: "127.0.0.1:3"}, ` +
		`{id: 2, address: "127.0.0.1:4"}, {id: 3, address: "127.0.0.1:5"}]}
tables: {data: "/data/2", new_shards: 8, listen: "127.0.0.1:1"}
http: {listen: "127.0.0.1:2"}
cache: {listen: ["127.0.0.1:0"]}
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Without etcd, Holdfast is measured alone.
func TestClusterSetups(t *testing.T) {
	for _, test := range []struct {
		holdfast, etcd string
		want           string
	}{
		{"h", "sh", "holdfast, 3 nodes; etcd, 3 nodes; holdfast, 1 node"}, // sh only has to be there
		{"h", "/nowhere/etcd", "holdfast, 3 nodes; holdfast, 1 node"},
		{"h", none, "holdfast, 3 nodes; holdfast, 1 node"},
		{none, "sh", "etcd, 3 nodes"},
		{none, none, ""},
	} {
		var setups []clusterSetup
		var err error
		dir := t.TempDir()
		printed := captured(t, func() {
			setups, err = clusterSetups(&binaries{holdfast: test.holdfast}, dir, test.etcd)
		})
		if missing := strings.HasPrefix(printed, "without etcd"); missing != (test.etcd == "/nowhere/etcd") {
			t.Errorf("%+v: got %q printed", test, printed)
		}
		var names []string
		for _, s := range setups {
			names = append(names, s.name)
		}
		if got := strings.Join(names, "; "); err != nil || got != test.want {
			t.Errorf("%+v: got %q, %v", test, got, err)
		}
	}
}
