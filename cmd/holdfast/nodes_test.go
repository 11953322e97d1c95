package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

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
	for _, want := range []string{"cluster  holdfast (", "), 3 nodes\n", "  this node", "  heard 0.",
		"\nshard  leader", "  catalog  "} {
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

func TestStatusIsRefused(t *testing.T) {
	if got := start(t, "holdfast", "status", "--http", "127.0.0.1:1").exits(1); !strings.Contains(got, "127.0.0.1:1") {
		t.Errorf("got %q; want that nothing listens there", got)
	}
}
