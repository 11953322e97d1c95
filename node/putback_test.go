package node

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/rpc"
)

// copyOf returns a copy of the directory of node i+1, which is closed.
func (c *testCluster) copyOf(i int) (dir string) {
	c.t.Helper()
	dir = filepath.Join(c.t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(c.configs[i].Tables.Data)); err != nil {
		c.t.Fatal(err)
	}
	return dir
}

// putBack puts a directory in place of that of node i+1, which is closed, and returns where the
// former one is.
func (c *testCluster) putBack(i int, dir string) (former string) {
	c.t.Helper()
	former = filepath.Join(c.t.TempDir(), "former")
	data := c.configs[i].Tables.Data
	if err := os.Rename(data, former); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Rename(dir, data); err != nil {
		c.t.Fatal(err)
	}
	return former
}

// askAfter sends a request with a token to node i+1 until it isn't refused as things are.
func (c *testCluster) askAfter(i int, seen, operation, body string) (status int, text, token string) {
	c.t.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; {
		var err error
		if status, text, token, err = requestAfter(seen, c.address(i), operation, body); err != nil {
			c.t.Fatal(err)
		}
		if status != http.StatusServiceUnavailable {
			break
		}
	}
	return status, text, token
}

// An older copy of a node's directory, put back, lacks what the node has acknowledged: the others
// refuse it, the node ends and says what to do, and so does each later start with the copy, at
// once. The others serve, and the newer directory is welcome again.
func TestOlderCopyOfADirectory(t *testing.T) {
	c := openCluster(t, 3)
	c.create(0, "people", createPeople)
	c.expect(0, "PutItem", person(1, "Ulm"), "{")
	c.close(2)
	older := c.copyOf(2)
	c.open(2)
	c.expect(2, "PutItem", person(2, "Bonn"), "{")
	c.close(2)
	newer := c.putBack(2, older)
	c.open(2)
	select {
	case err := <-c.nodes[2].Failed():
		for _, want := range []string{"older copy", c.configs[2].Tables.Data, "put the directory back", "node 3"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("got %v; want %q in it", err, want)
			}
		}
	case <-time.After(time.Minute):
		t.Fatal("the node goes on for a minute")
	}
	outdated := c.nodes[0].tables.member.transport.Counts().Faults[rpc.Outdated] +
		c.nodes[1].tables.member.transport.Counts().Faults[rpc.Outdated]
	if outdated == 0 {
		t.Error("no node has counted that it has refused another")
	}
	c.close(2)
	if n, err := Open(Options{Config: c.configs[2], WithoutCache: true, Log: c.log}); err == nil {
		c.nodes[2] = n
		t.Error("the next start: got no error; want why the directory was refused")
	} else if !strings.Contains(err.Error(), "older copy") {
		t.Errorf("the next start: got %v; want why the directory was refused", err)
	}
	c.expect(1, "PutItem", person(3, "Kiel"), "{")
	c.putBack(2, newer)
	c.open(2)
	for id, town := range map[int]string{1: "Ulm", 2: "Bonn", 3: "Kiel"} {
		c.expect(2, "GetItem", read(id, true), town)
	}
}

// Copies of all directories are put back: the cluster goes on from there. What was written since is
// lost, and a token that has seen it is refused by each node, for reads and for writes, before
// anything else is written and afterwards, when the groups have had the same terms and indexes
// again.
func TestOlderCopiesOfAllDirectories(t *testing.T) {
	c := openCluster(t, 3)
	c.create(0, "people", createPeople)
	put := func(i int, seen string, id int, town string) string {
		t.Helper()
		status, text, token := c.askAfter(i, seen, "PutItem", person(id, town))
		if status != http.StatusOK || token == "" {
			t.Fatalf("got %d %s, token %q; want it done", status, text, token)
		}
		return token
	}
	kept := put(0, "1", 1, "Ulm")
	c.eachNode(c.close)
	var copies []string
	for i := range c.nodes {
		copies = append(copies, c.copyOf(i))
	}
	c.eachNode(c.open)
	lost := kept
	for range 20 {
		lost = put(1, lost, 1, "Bonn")
	}
	c.eachNode(c.close)
	for i, dir := range copies {
		c.putBack(i, dir)
	}
	c.eachNode(c.open)
	refused := func(when string) {
		t.Helper()
		for i := range c.nodes {
			for operation, body := range map[string]string{"GetItem": read(1, false), "PutItem": person(1, "Kiel")} {
				status, text, _ := c.askAfter(i, lost, operation, body)
				if status != http.StatusBadRequest || !strings.Contains(text, "TokenLostException") {
					t.Errorf("%s, node %d, %s: got %d %s; want the token lost", when, i+1, operation, status, text)
				}
			}
			if status, text, _ := c.askAfter(i, kept, "GetItem", read(1, true)); status != http.StatusOK {
				t.Errorf("%s, node %d, what was kept: got %d %s; want it", when, i+1, status, text)
			}
		}
	}
	c.expect(0, "GetItem", read(1, true), "Ulm")
	refused("before a write")
	for i := range 40 {
		c.expect(i%3, "PutItem", person(1, fmt.Sprint("town ", i)), "{")
	}
	refused("after as many writes")
}

// eachNode does something with the place of each node.
func (c *testCluster) eachNode(do func(int)) {
	for i := range c.nodes {
		do(i)
	}
}
