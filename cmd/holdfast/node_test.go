package main

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestFlagsOfNode(t *testing.T) {
	plain := writeFile(t, "plain.yaml", "http: {listen: ''}\n")
	cluster := writeFile(t, "cluster.yaml", "cluster: {name: a}\n")
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"node"}, "a node needs a file with a cluster section"},
		{[]string{"node", "--config", plain}, plain + " has no section \"cluster\""},
		{[]string{"node", "--config", cluster, "--replace", "0"}, "the IDs of nodes begin with 1"},
		{[]string{"node", "--config", cluster, "--replace", "x"}, "--replace x: it is the ID of a node"},
		{[]string{"node", "--config", cluster, "--replace", "-1"}, "the IDs of nodes begin with 1"},
		{[]string{"up", "--config", cluster}, "node --config " + cluster},
		{[]string{"up", "--config", cluster, "--nodes", "3"}, "can't have a section \"cluster\""},
	} {
		if got := start(t, "holdfast", test.args...).exits(1); !strings.Contains(got, test.want) {
			t.Errorf("%q: got %q; want %q in it", test.args, got, test.want)
		}
	}
}

// A cluster of one node runs, and runs again; "up" doesn't run it.
func TestNodeRuns(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	file := writeFile(t, "node.yaml",
		`cluster: {name: solo, expect: 1, listen: "`+withFreePorts(t, "127.0.0.1:11299")+`"}
tables: {data: `+data+`, listen: 127.0.0.1:0}
http: {listen: 127.0.0.1:0}
cache: {listen: [127.0.0.1:0]}
`)
	for range 2 {
		p := start(t, "holdfast", "node", "--config", file)
		http := p.await(`HTTP on http://(\S+): /healthz`)[1]
		p.await("Ctrl-C stops it")
		if text := awaitLeader(t, http); !strings.Contains(text, "cluster  solo (") {
			t.Errorf("got %q; want the cluster's name", text)
		}
		p.signal(syscall.SIGTERM)
		p.exits(0)
	}
	got := start(t, "holdfast", "up", "--data", data, "--cache-listen", "127.0.0.1:0", "--tables-listen", "127.0.0.1:0",
		"--http-listen", "").exits(1)
	if !strings.Contains(got, `start it with "holdfast node"`) {
		t.Errorf("got %q; want it refused", got)
	}
}
