package wire

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"
)

// drain has a node drained, or drained no more, and waits until that is done.
func (c *nodeCluster) drain(asked, id int, undo bool) {
	c.t.Helper()
	path := fmt.Sprintf("http://%s/cluster/drain?node=%d", httpOf(c.addresses[asked], 3), id)
	if undo {
		path += "&undo=true"
	}
	eventually(c.t, fmt.Sprintf("node %d is drained: %v", id, !undo), func() bool {
		answer, err := http.Post(path, "", nil)
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			c.t.Logf("not yet: %s", text)
			return false
		}
		var is struct{ Done, Drained bool }
		return json.Unmarshal(text, &is) == nil && is.Done && is.Drained != undo
	})
}

// Each node in turn is drained, ended by SIGTERM, and started again, while clients of AWS's SDK write
// through all nodes: none of their requests fails, and all that was acknowledged is there.
func TestNodesAreTakenDownInTurn(t *testing.T) {
	c := newNodeCluster(t)
	c.startAll()
	c.createCounts(c.addresses[0])
	load := countBySDK(c.addresses, 0)
	load.await(t, 50)
	for i := range 3 {
		id := c.self(i)
		c.drain((i+1)%3, id, false)
		if leads(t, c.addresses[i]) {
			t.Errorf("node %d leads, which is drained", id)
		}
		pr := c.processes[i]
		if err := pr.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-pr.exited
		load.await(t, 20)
		c.start(i)
		c.awaitServing(i)
		c.drain((i+2)%3, id, true)
		load.await(t, 20)
	}
	load.end()
	t.Logf("%d writes acknowledged, %d failed, the longest pause was %v", load.acknowledged.Load(),
		load.failed.Load(), slices.Max(load.pauses).Round(time.Millisecond))
	if n := load.failed.Load(); n > 0 {
		t.Errorf("got %d requests that failed; want none", n)
	}
	c.checkAll(load)
}

// self returns the number of the node at a place.
func (c *nodeCluster) self(i int) int {
	c.t.Helper()
	self := 0
	eventually(c.t, "a node knows its number", func() bool { self, _, _ = c.members(i); return self != 0 })
	return self
}
