package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"holdfast"
	"holdfast/config"
	"holdfast/node"
)

// startNodes runs "up --nodes 3" on free ports, and returns where HTTP of the first node listens.
func startNodes(t *testing.T, data string, more ...string) (p *process, http string) {
	t.Helper()
	free := "127.0.0.1:0"
	p = start(t, "holdfast", append([]string{"up", "--nodes", "3", "--data", data, "--cache-listen", free,
		"--tables-listen", free, "--http-listen", free, "--cluster-listen", free}, more...)...)
	http = p.await(`HTTP on http://(\S+), node 1: /healthz /status /metrics`)[1]
	p.await("Ctrl-C stops it")
	return p, http
}

// awaitLeader asks for the status until a node leads, and returns what the command prints.
func awaitLeader(t *testing.T, http string) string {
	t.Helper()
	for {
		if text := start(t, "holdfast", "status", "--http", http).exits(0); strings.Contains(text, " leads\n") {
			return text
		}
	}
}

func TestNodesAreServedAndShown(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	p, http := startNodes(t, data)
	seen := p.seen.String()
	for _, want := range []string{
		"memcached clients on 127.0.0.1:", ", node 1, with their tables in " + data + "/1\n",
		", node 3, with their tables in " + data + "/3\n", ", node 3: /healthz /status /metrics\n",
		"status --http 127.0.0.1:",
	} {
		if !strings.Contains(seen, want) {
			t.Errorf("got %q; want %q in it", seen, want)
		}
	}
	text := awaitLeader(t, http)
	for _, want := range []string{"cluster  holdfast (", "), 3 nodes\n", "node 1   this node", "node 3   heard 0.",
		"   shard  leader", "\n       1       1"} {
		if !strings.Contains(text, want) {
			t.Errorf("status: got\n%s\nwant %q in it", text, want)
		}
	}
	var status node.Status
	text = start(t, "holdfast", "status", "--json", "--http", http).exits(0)
	if err := json.Unmarshal([]byte(text), &status); err != nil || status.Cluster == nil ||
		len(status.Cluster.Members) != 3 || len(status.Shards) == 0 {
		t.Errorf("status --json: got %+v, %v", status, err)
	}
	p.signal(syscall.SIGTERM)
	p.exits(0)

	// It is killed, and starts again.
	p, http = startNodes(t, data)
	awaitLeader(t, http)
	p.signal(syscall.SIGKILL)
	p.cmd.Wait()
	p, http = startNodes(t, data)
	awaitLeader(t, http)
	p.signal(syscall.SIGTERM)
	p.exits(0)
	cluster := []string{"up", "--cache-listen", "127.0.0.1:0", "--tables-listen", "127.0.0.1:0", "--http-listen", ""}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--data", filepath.Join(data, "1")},
			"is the directory of node 1 of the 3 nodes of cluster \"holdfast\""},
		{[]string{"--data", data}, "start it with \"holdfast up --nodes 3 --data " + data + "\""},
		{[]string{"--data", data, "--nodes", "1"}, "start it with --nodes 3"},
		{[]string{"--data", data, "--nodes", "5"}, "start it with --nodes 3"},
		{[]string{"--data", filepath.Join(data, "1"), "--nodes", "3"}, "is the directory of node 1 of the 3 nodes"},
	} {
		got := start(t, "holdfast", append(cluster, test.args...)...).exits(1)
		if !strings.Contains(got, test.want) {
			t.Errorf("%q: got %q; want %q in it", test.args, got, test.want)
		}
	}
	for _, action := range []string{"check", "recover"} {
		code, _, got := command("table", action, data)
		if want := "holdfast table " + action + " " + filepath.Join(data, "1"); code != 1 ||
			!strings.Contains(got, want) {
			t.Errorf("table %s of all: got %d, %q; want %q in it", action, code, got, want)
		}
	}
	if err := os.RemoveAll(filepath.Join(data, "2")); err != nil {
		t.Fatal(err)
	}
	got := start(t, "holdfast", append(cluster, "--data", data, "--nodes", "3")...).exits(1)
	if !strings.Contains(got, filepath.Join(data, "2")+" is empty or missing") {
		t.Errorf("without a directory: got %q; want it refused", got)
	}
}

func TestFlagsOfNodes(t *testing.T) {
	file := writeFile(t, "cluster.yaml", "cluster: {name: a, node: 1, members: [{id: 1, address: 127.0.0.1:7100}]}\n")
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--nodes", "2"}, "--nodes 2: a cluster has 1, 3 or 5 nodes"},
		{[]string{"--nodes", "0"}, "--nodes 0: a cluster has 1, 3 or 5 nodes"},
		{[]string{"--cluster-listen", "127.0.0.1:7100"}, "--cluster-listen is for the nodes of --nodes"},
		{[]string{"--nodes", "3", "--config", file}, file + " can't have a section \"cluster\""},
		{[]string{"--nodes", "3", "--cluster-listen", "0.0.0.0:7100"}, "is not a loopback address"},
		{[]string{"--nodes", "3", "--tables-listen", ""}, "needs tables"},
		{[]string{"--nodes", "3", "--tables-listen", "127.0.0.1:65535"}, "node 2 would have port 65536"},
		{[]string{"--nodes", "3", "--http-listen", "127.0.0.1:18501", "--tables-listen", "127.0.0.1:18500"},
			`tables.listen: node 2 would listen on "127.0.0.1:18501", and http.listen of node 1 is "127.0.0.1:18501"`},
	} {
		data := filepath.Join(t.TempDir(), "data")
		got := start(t, "holdfast", append([]string{"up", "--data", data}, test.args...)...).exits(1)
		if !strings.Contains(got, test.want) {
			t.Errorf("%q: got %q; want %q in it", test.args, got, test.want)
		}
		if _, err := os.Stat(data); !os.IsNotExist(err) {
			t.Errorf("%q: got %v; want no directory made", test.args, err)
		}
	}
}

// With too low a limit of open files, the error says what is needed, what there is, and what to do.
func TestTooFewFiles(t *testing.T) {
	c := config.Default()
	got := tooFewFiles(7500, &c, 3)
	for _, want := range []string{"up to 7500 open files", "allows " + fileLimit(), "ulimit -n 7500",
		"LimitNOFILE=7500", "cache.connections (1024)", "each of 3 nodes, tables.connections (1024)", "--config"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s; want %q in it", got, want)
		}
	}
	c.Tables.Listen = ""
	if got := tooFewFiles(1024, &c, 0); strings.Contains(got, "tables") {
		t.Errorf("got %s; want nothing about tables", got)
	}
}

// A flag without a default shows none, rather than an empty one.
func TestHelpShowsNoEmptyDefaults(t *testing.T) {
	for _, name := range []string{"up", "cache", "replay", "status", "router"} {
		if _, got, _ := command(name, "--help"); !strings.Contains(got, "--") || strings.Contains(got, "(default )") {
			t.Errorf("%s: got %s; want flags, and no \"(default )\"", name, got)
		}
	}
}

func TestStatusText(t *testing.T) {
	ago := 0.25
	s := &node.Status{
		Cluster: &node.ClusterStatus{Name: "shop", ID: "00ff", Node: 1, Leader: 1, Leads: true,
			Members: []node.MemberStatus{
				{ID: 1}, {ID: 2, Heard: &ago}, {ID: 3},
			}},
		Shards: []node.ShardStatus{
			{ID: 1, Leader: 1, Term: 3, Committed: 120, Applied: 118, Behind: map[holdfast.NodeID]uint64{3: 40, 2: 0}},
			{ID: 12, Term: 7, Committed: 9, Applied: 9},
		},
	}
	want := `cluster  shop (00ff), 3 nodes
node 1   this node, leads
node 2   heard 0.2 s ago
node 3   not heard since this node started
shards   2, of which this node leads 1

   shard  leader      term     committed   unapplied  entries that others lack
       1       1         3           120           2  node 2: 0, node 3: 40
      12    none         7             9           0  the leader knows
`
	if got := statusText(s); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	s.Cluster.Leads = false
	if got := statusText(s); !strings.Contains(got, "this node, is about to lead\n") {
		t.Errorf("got\n%s\nwant that the node is about to lead", got)
	}
	s.Cluster.Members[1].Joins = &node.JoinStatus{Replaces: 5, Groups: 1, Of: 2}
	const joins = "heard 0.2 s ago, takes the place of node 5: votes in 1 of 2 groups\n"
	if got := statusText(s); !strings.Contains(got, joins) {
		t.Errorf("got\n%s\nwant %s", got, joins)
	}
	if got := statusText(&node.Status{}); !strings.Contains(got, "belongs to no cluster") {
		t.Errorf("got %q; want that there is no cluster", got)
	}
	got := statusText(&node.Status{Meeting: &node.MeetingStatus{Name: "shop", Address: "a:1", Nodes: 3,
		Known: []string{"a:1", "b:1"}, Met: []string{"b:1"}, Missing: []string{"c:1", "d:1"},
		Unfit: map[string]string{"d:1": "it is another's"}}})
	want = `cluster  shop isn't formed yet: 2 of 3 nodes are known
node at a:1: this node, which waits for the others
node at b:1: met
node at c:1: not met since this node started
node at d:1: it doesn't fit: it is another's
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	got = statusText(&node.Status{Meeting: &node.MeetingStatus{Name: "shop", Address: "e:1", Nodes: 3, Replaces: 2,
		Known: []string{"e:1"}, Unfit: map[string]string{"a:1": "node 2 runs"}}})
	want = `cluster  shop: this node asks to join in the place of node 2
node at a:1: node 2 runs
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := start(t, "holdfast", "status", "--http", "127.0.0.1:1").exits(1); !strings.Contains(got, "127.0.0.1:1") {
		t.Errorf("got %q; want that nothing listens there", got)
	}
}
