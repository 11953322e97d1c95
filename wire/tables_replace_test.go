package wire

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// members returns the ID of a node, and those of the members that it knows, of which it says whether
// one joins. The ID is 0 if the node doesn't answer yet.
func (c *nodeCluster) members(i int) (self int, ids []int, joins bool) {
	c.t.Helper()
	answer, err := http.Get("http://" + httpOf(c.addresses[i], 3) + "/status")
	if err != nil {
		return 0, nil, false
	}
	defer answer.Body.Close()
	var status struct {
		Cluster struct {
			Node    int
			Members []struct {
				ID    int
				Joins *struct{ Replaces int }
			}
		}
	}
	if err := json.NewDecoder(answer.Body).Decode(&status); err != nil {
		c.t.Fatal(err)
	}
	for _, m := range status.Cluster.Members {
		ids, joins = append(ids, m.ID), joins || m.Joins != nil
	}
	return status.Cluster.Node, ids, joins
}

// The node that leads is killed under load, and its directory is gone. A new node takes its place, in
// a process of its own, and is itself killed once while it does. Then another node is killed: what was
// acknowledged at any time is there, and writes go on. The lost node's directory is refused when it
// turns up again.
func TestNodeIsReplacedForGood(t *testing.T) {
	c := newNodeCluster(t)
	c.startAll()
	c.createCounts(c.addresses[0])
	before := countBySDK(c.addresses, 0)
	before.await(t, 100)
	before.end()

	lost := c.leader(-1)
	id, want, _ := c.members(lost)
	want = append(slices.DeleteFunc(want, func(m int) bool { return m == id }), 4)
	load := countBySDK(c.others(lost), slices.Max(before.counts))
	load.await(t, 50)
	c.processes[lost].kill()
	aside := c.data(lost) + ".aside"
	if err := os.Rename(c.data(lost), aside); err != nil {
		t.Fatal(err)
	}
	load.await(t, 50)
	others := c.others(lost)

	c.addresses = append(c.addresses, freeAddresses(t, 3)[0]) // with the port of HTTP behind the others
	c.peers, c.processes = append(c.peers, freeAddresses(t, 1)[0]), append(c.processes, nil)
	c.flags = []string{"--replace", fmt.Sprint(id)}
	began := time.Now()
	c.replaceBy(3)
	eventually(t, "it has joined", func() bool {
		return strings.Contains(c.processes[3].stderr.String(), "this node has joined the cluster")
	})
	c.processes[3].kill()
	c.start(3)
	for i := range c.processes {
		if i == lost {
			continue
		}
		eventually(t, "all groups have the new node", func() bool {
			_, ids, joins := c.members(i)
			return slices.Equal(ids, want) && !joins
		})
	}
	t.Logf("the lost node was replaced %v after the new one had been started, with %d writes acknowledged",
		time.Since(began).Round(time.Millisecond), load.acknowledged.Load())
	load.await(t, 50)
	load.end()

	second := c.leader(lost)
	rest := slices.DeleteFunc(append(others, c.addresses[3]), func(a string) bool { return a == c.addresses[second] })
	after := countBySDK(rest, slices.Max(load.counts))
	after.await(t, 50)
	c.processes[second].kill()
	c.leader(second)
	after.await(t, 50)
	after.end()
	for _, address := range rest {
		after.check(t, address)
	}

	if err := os.Rename(aside, c.data(lost)); err != nil {
		t.Fatal(err)
	}
	c.flags = nil
	for range 2 { // it hears it from another node, and then its directory says so
		c.start(lost)
		c.refused(lost, fmt.Sprintf("node %d was lost, and node 4 at %s has taken its place", id, c.peers[3]))
	}
}

// replaceBy starts a new node, again and again while the cluster may have heard the lost one just now.
func (c *nodeCluster) replaceBy(i int) {
	c.t.Helper()
	eventually(c.t, "the lost node is taken for lost", func() bool {
		pr := c.start(i)
		for {
			select {
			case <-pr.exited:
				if text := pr.stderr.String(); !strings.Contains(text, "runs: it was heard within") {
					c.t.Fatalf("got\n%s", text)
				}
				return false
			case <-time.After(10 * time.Millisecond):
			}
			if strings.Contains(pr.stderr.String(), "this node has joined") {
				return true
			}
		}
	})
}

// A node is added to three under load, as a process of its own, and killed once while it gets what there
// is. Then each of two nodes that have formed the cluster is removed, one of which leads, since another
// was added: what was acknowledged at any time is there, and writes go on. A removed node ends, and isn't
// started again.
func TestNodesAreAddedAndRemoved(t *testing.T) {
	c := newNodeCluster(t)
	c.startAll()
	c.createCounts(c.addresses[0])
	load := countBySDK(c.addresses, 0)
	load.await(t, 100)
	want := []int{1, 2, 3}
	grow := func() {
		t.Helper()
		i := len(c.processes)
		c.addresses = append(c.addresses, freeAddresses(t, 3)[0]) // with the port of HTTP behind the others
		c.peers, c.processes = append(c.peers, freeAddresses(t, 1)[0]), append(c.processes, nil)
		c.start(i)
		eventually(t, "it has joined", func() bool {
			return strings.Contains(c.processes[i].stderr.String(), "this node has joined the cluster")
		})
		c.processes[i].kill()
		c.start(i)
		want = append(want, i+1)
	}
	present := func(which ...int) {
		t.Helper()
		for _, i := range which {
			eventually(t, "all groups have the nodes", func() bool {
				_, ids, joins := c.members(i)
				return slices.Equal(ids, want) && !joins
			})
		}
	}
	grow()
	present(0, 1, 2, 3)
	load.await(t, 50)
	counts := load.counts
	load.end()

	running := []int{0, 1, 2, 3}
	for round, which := range []func() int{func() int { return c.leader(-1) }, func() int { return running[0] }} {
		if round > 0 {
			grow()
			running = append(running, len(c.processes)-1)
			present(running...)
		}
		gone := which()
		id, _, _ := c.members(gone)
		running = slices.DeleteFunc(running, func(i int) bool { return i == gone })
		var addresses []string
		for _, i := range running {
			addresses = append(addresses, c.addresses[i])
		}
		load = countBySDK(addresses, slices.Max(counts))
		load.await(t, 50)
		began := time.Now()
		url := fmt.Sprintf("http://%s/cluster/remove?node=%d", httpOf(c.addresses[running[0]], 3), id)
		eventually(t, "the node is removed", func() bool {
			answer, err := http.Post(url, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			var is struct{ Done bool }
			return answer.StatusCode == http.StatusOK && json.NewDecoder(answer.Body).Decode(&is) == nil && is.Done
		})
		want = slices.DeleteFunc(want, func(m int) bool { return m == id })
		present(running...)
		c.refused(gone, fmt.Sprintf("node %d was removed from the cluster", id))
		t.Logf("node %d was removed in %v, with %d writes acknowledged", id, time.Since(began).Round(time.Millisecond),
			load.acknowledged.Load())
		load.await(t, 50)
		counts = load.counts
		load.end()
		for _, address := range addresses {
			load.check(t, address)
		}
		c.start(gone)
		c.refused(gone, fmt.Sprintf("node %d was removed from the cluster", id))
	}
	second := c.leader(-1)
	c.processes[second].kill()
	running = slices.DeleteFunc(running, func(i int) bool { return i == second })
	after := countBySDK([]string{c.addresses[running[0]], c.addresses[running[1]]}, slices.Max(counts))
	after.await(t, 50)
	after.end()
	after.check(t, c.addresses[running[0]])
}
