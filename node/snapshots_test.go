package node

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"holdfast/catalog"
	"holdfast/group"
)

// shortLogs has replicas send snapshots soon.
func shortLogs(o *group.Options) { o.MaxLogBytes, o.AwayTicks = 4<<10, 5 }

// large is an item with some text.
func large(id int, text string) string {
	return fmt.Sprintf(`{"TableName": "people", "Item": {"id": {"S": "%d"}, "town": {"S": "%s"}, "more": {"S": "%s"}}}`,
		id, text, strings.Repeat("m", 2000))
}

// A node is away while tables are made, removed and filled, and the logs of the others trimmed. It
// returns by snapshots of all shards, the catalog's among them, and has what they have: then it leads,
// and answers so; and what it has on disk is sound.
func TestANodeReturnsBySnapshots(t *testing.T) {
	c := openClusterWith(t, 3, shortLogs)
	c.create(0, "gone", strings.Replace(createPeople, "people", "gone", 1))
	c.create(0, "people", createPeople)
	for id := range 20 {
		c.expect(0, "PutItem", large(id, "Ulm"), "{")
	}
	c.close(2)
	c.expect(0, "DeleteTable", `{"TableName": "gone"}`, "gone")
	for id := range 60 {
		c.expect(id%2, "PutItem", large(id, "Bonn"), "{")
	}
	for i := range 4 {
		name := fmt.Sprint("new", i)
		c.create(1, name, strings.Replace(createPeople, "people", name, 1))
	}
	c.awaitTrims(0)
	c.open(2)
	c.awaitApplied(2)
	if s := c.nodes[2].tables.member.snapshots(); s.Received == 0 {
		t.Errorf("got %+v; want snapshots", s)
	}
	if status, _ := askTables(t, c.nodes[2], "DescribeTable",
		`{"TableName": "gone"}`); status != http.StatusBadRequest {
		t.Errorf("a table that was removed meanwhile: got %d; want 400", status)
	}
	for id := range 60 {
		c.expect(2, "GetItem", read(id, false), "Bonn")
	}
	c.expect(2, "PutItem", strings.Replace(large(1, "Kiel"), "people", "new3", 1), "{")
	c.nodes[c.leader()].tables.member.replicas.of(catalog.ShardID).Transfer(3)
	c.close(0)
	c.leader()
	for id := range 60 {
		c.expect(2, "GetItem", read(id, true), "Bonn")
	}
	c.expect(2, "PutItem", large(61, "Jena"), "{")
	c.close(1)
	c.close(2)
	c.check(2)
}

// awaitTrims waits until the logs of a node's replicas are short.
func (c *testCluster) awaitTrims(i int) {
	c.t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		long := 0
		for _, s := range c.nodes[i].Status().Shards {
			if s.LogBytes > 10<<10 {
				long++
			}
		}
		if long == 0 {
			return
		}
		if time.Since(began) > time.Minute {
			c.t.Fatalf("after a minute, the logs are long: %+v", c.nodes[i].Status().Shards)
		}
	}
}

// awaitApplied waits until a node has applied all that the node that leads has.
func (c *testCluster) awaitApplied(i int) {
	c.t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		leader := c.leader()
		here, behind := map[uint64]uint64{}, 0
		for _, s := range c.nodes[i].Status().Shards {
			here[uint64(s.ID)] = s.Applied
		}
		for _, s := range c.nodes[leader].Status().Shards {
			if here[uint64(s.ID)] < s.Committed {
				behind++
			}
		}
		if behind == 0 {
			return
		}
		if time.Since(began) > time.Minute {
			c.t.Fatalf("after a minute, node %d is behind: %+v; the leader has %+v", i+1, c.nodes[i].Status().Shards,
				c.nodes[leader].Status().Shards)
		}
	}
}
