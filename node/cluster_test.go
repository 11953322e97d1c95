package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"holdfast"
	"holdfast/config"
	"holdfast/group"
	"holdfast/internal/peer"
)

// A testCluster is the nodes of a cluster in the test's process, which are opened and closed one by
// one.
type testCluster struct {
	t       *testing.T
	configs []config.Config
	nodes   []*Node // nil: closed
	groups  func(*group.Options)
	log     *slog.Logger
}

// openCluster starts a cluster of n nodes, with new directories.
func openCluster(t *testing.T, n int) *testCluster {
	t.Helper()
	return openClusterWith(t, n, nil)
}

// openClusterWith is openCluster with other options of the replicas.
func openClusterWith(t *testing.T, n int, groups func(*group.Options)) *testCluster {
	t.Helper()
	return openConfigured(t, n, groups, func(*testCluster) {})
}

// openConfigured is openClusterWith for nodes with a configuration that configure changes.
func openConfigured(
	t *testing.T, n int, groups func(*group.Options), configure func(*testCluster),
) *testCluster {
	t.Helper()
	c := &testCluster{t: t, configs: nodesConfig(t, n), nodes: make([]*Node, n), log: testLog(), groups: groups}
	// The nodes are opened one by one, so they must know each other's addresses before they listen.
	for i, address := range peer.FreeAddresses(t, n) {
		for j := range c.configs {
			c.configs[j].Cluster.Members[i].Address = address
		}
	}
	configure(c)
	if err := form(t, c.configs); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.close(i)
		}
	})
	for i := range n {
		c.open(i)
	}
	return c
}

// testLog returns the log of the nodes of a test.
func testLog() *slog.Logger {
	if os.Getenv("HOLDFAST_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.DiscardHandler)
}

// open starts node i+1.
func (c *testCluster) open(i int) {
	c.t.Helper()
	n, err := Open(Options{Config: c.configs[i], WithoutCache: i > 0, Log: c.log.With("node", i+1), groups: c.groups})
	if err != nil {
		c.t.Fatal(err)
	}
	c.nodes[i] = n
}

// close stops node i+1, if it runs.
func (c *testCluster) close(i int) {
	c.t.Helper()
	if n := c.nodes[i]; n != nil {
		c.nodes[i] = nil
		if err := n.Close(); err != nil {
			c.t.Errorf("node %d: %v", i+1, err)
		}
	}
}

// leader returns the place of the node that leads, once one does and it isn't the excluded one.
func (c *testCluster) leader() int {
	c.t.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(10 * time.Millisecond) {
		for i, n := range c.nodes {
			if n != nil && n.Status().Cluster.Leads {
				return i
			}
		}
	}
	c.t.Fatal("got no node that leads within a minute")
	return 0
}

// ask sends a request to node i+1 until it isn't refused, as an SDK does.
func (c *testCluster) ask(i int, operation, body string) string {
	c.t.Helper()
	status, answer := 0, ""
	for began := time.Now(); time.Since(began) < time.Minute; {
		if status, answer = askTables(c.t, c.nodes[i], operation, body); status != http.StatusServiceUnavailable {
			break
		}
	}
	if status != http.StatusOK {
		c.t.Fatalf("node %d: %s %s: got %d %s; want 200", i+1, operation, body, status, answer)
	}
	return answer
}

func (c *testCluster) expect(i int, operation, body, want string) {
	c.t.Helper()
	if got := c.ask(i, operation, body); !strings.Contains(got, want) {
		c.t.Fatalf("node %d: %s %s: got %s; want %s", i+1, operation, body, got, want)
	}
}

// expectSoon repeats a query of a global index, which may be late on a busy machine.
func (c *testCluster) expectSoon(i int, operation, body, want string) {
	c.t.Helper()
	for began := time.Now(); !strings.Contains(c.ask(i, operation, body), want); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			c.t.Fatalf("node %d: %s %s: got no %s within a minute", i+1, operation, body, want)
		}
	}
}

// create creates a table through node i+1, and returns when it is active.
func (c *testCluster) create(i int, name, body string) {
	c.t.Helper()
	c.expect(i, "CreateTable", body, name)
	for !strings.Contains(c.ask(i, "DescribeTable", fmt.Sprintf(`{"TableName":"%s"}`, name)),
		`"TableStatus":"ACTIVE"`) {
		time.Sleep(10 * time.Millisecond)
	}
}

const createPeople = `{"TableName":"people","BillingMode":"PAY_PER_REQUEST",
	"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"},
	"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"},{"AttributeName":"town","AttributeType":"S"}],
	"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],
	"GlobalSecondaryIndexes":[{"IndexName":"by-town","KeySchema":[{"AttributeName":"town","KeyType":"HASH"}],
		"Projection":{"ProjectionType":"ALL"}}]}`

func person(id int, town string) string {
	return fmt.Sprintf(`{"TableName":"people","Item":{"id":{"S":"%d"},"town":{"S":"%s"}}}`, id, town)
}

func read(id int, consistent bool) string {
	return fmt.Sprintf(`{"TableName":"people","Key":{"id":{"S":"%d"}},"ConsistentRead":%v}`, id, consistent)
}

const queryTown = `{"TableName":"people","IndexName":"by-town","KeyConditionExpression":"town = :t",
	"ExpressionAttributeValues":{":t":{"S":"%s"}}}`

func TestEachNodeTakesEachRequest(t *testing.T) {
	c := openCluster(t, 3)
	c.create(0, "people", createPeople)
	for i := range 3 {
		c.expect(i, "PutItem", person(i, "Ulm"), "{")
		c.expect((i+1)%3, "GetItem", read(i, true), "Ulm")
		c.expect((i+2)%3, "ListTables", "{}", "people")
		c.expectSoon((i+1)%3, "Query", fmt.Sprintf(queryTown, "Ulm"), fmt.Sprintf(`"Count":%d`, i+1))
	}
	c.expect(1, "TransactWriteItems", `{"TransactItems":[
		{"Put":`+person(10, "Bonn")+`},{"Put":`+person(11, "Bonn")+`},
		{"Delete":{"TableName":"people","Key":{"id":{"S":"0"}}}}]}`, "{")
	c.expect(2, "TransactGetItems", `{"TransactItems":[{"Get":{"TableName":"people","Key":{"id":{"S":"10"}}}},
		{"Get":{"TableName":"people","Key":{"id":{"S":"0"}}}}]}`, `{"Responses":[{"Item":`)
	c.expectSoon(0, "Query", fmt.Sprintf(queryTown, "Bonn"), `"Count":2`)
	c.expect(2, "Scan", `{"TableName":"people","ConsistentRead":true}`, `"Count":4`)
	for i := range 3 {
		if got := len(c.stream(i)); got != 6 {
			t.Errorf("node %d: got %d records of the stream; want 6", i+1, got)
		}
	}
	c.expect(2, "DeleteTable", `{"TableName":"people"}`, "people")
	for i := range 3 {
		c.expect(i, "ListTables", "{}", `"TableNames":[]`)
	}
}

// stream returns the records of the stream of the table of people, read through node i+1.
func (c *testCluster) stream(i int) (records []json.RawMessage) {
	c.t.Helper()
	get := func(operation, body string, into any) {
		c.t.Helper()
		text := c.ask(i, operation, body)
		if err := json.Unmarshal([]byte(text), into); err != nil {
			c.t.Fatalf("%s: %v in %s", operation, err, text)
		}
	}
	var table struct {
		Table struct{ LatestStreamArn string }
	}
	get("DescribeTable", `{"TableName":"people"}`, &table)
	var stream struct {
		StreamDescription struct{ Shards []struct{ ShardId string } }
	}
	get("DescribeStream", fmt.Sprintf(`{"StreamArn":"%s"}`, table.Table.LatestStreamArn), &stream)
	for _, s := range stream.StreamDescription.Shards {
		var from struct{ ShardIterator string }
		get("GetShardIterator", fmt.Sprintf(`{"StreamArn":"%s","ShardId":"%s","ShardIteratorType":"TRIM_HORIZON"}`,
			table.Table.LatestStreamArn, s.ShardId), &from)
		var page struct{ Records []json.RawMessage }
		get("GetRecords", fmt.Sprintf(`{"ShardIterator":"%s"}`, from.ShardIterator), &page)
		records = append(records, page.Records...)
	}
	return records
}

// writers put people through nodes until they are stopped. Each puts its own, one after another, and
// notes which were acknowledged.
type writers struct {
	stop    context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex // guards what follows
	acked map[int]bool
	tried int // whatever became of it
}

// write starts a writer for each address.
func write(t *testing.T, addresses ...string) *writers {
	ctx, stop := context.WithCancel(context.Background())
	w := &writers{stop: stop, acked: map[int]bool{}}
	for n, address := range addresses {
		w.running.Go(func() {
			for id := 1000*(n+1) + 1; ctx.Err() == nil; id++ {
				status, _, err := request(address, "PutItem", person(id, "Ulm"))
				w.mu.Lock()
				w.tried++
				w.acked[id] = err == nil && status == http.StatusOK
				w.mu.Unlock()
			}
		})
	}
	t.Cleanup(func() { w.end() })
	return w
}

// end stops the writers, and returns the people whose puts were acknowledged.
func (w *writers) end() map[int]bool {
	w.stop()
	w.running.Wait()
	return w.acked
}

// await waits until so many puts more have been acknowledged.
func (w *writers) await(t *testing.T, more int) {
	t.Helper()
	count := func() (n int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, ok := range w.acked {
			if ok {
				n++
			}
		}
		return n
	}
	from, began := count(), time.Now()
	for count() < from+more {
		if time.Since(began) > time.Minute {
			t.Fatalf("got %d puts more within a minute; want %d", count()-from, more)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// expectPeople reads all people whose puts were acknowledged through node i+1.
func (c *testCluster) expectPeople(i int, acked map[int]bool) {
	c.t.Helper()
	for id, ok := range acked {
		if ok {
			c.expect(i, "GetItem", read(id, true), `"Ulm"`)
		}
	}
}

// The leading node stops while clients write through the others: another leads within seconds, all
// that was acknowledged is there, and the node that stopped catches up when it is back.
func TestAnotherNodeTakesOver(t *testing.T) {
	for _, how := range []string{"stops", "vanishes"} {
		t.Run(how, func(t *testing.T) {
			c := openCluster(t, 3)
			c.create(0, "people", createPeople)
			first := c.leader()
			others := slices.DeleteFunc([]int{0, 1, 2}, func(i int) bool { return i == first })
			w := write(t, c.address(others[0]), c.address(others[1]))
			w.await(t, 20)
			if how == "vanishes" {
				c.vanish(first)
			} else {
				c.close(first)
				if got := int(c.nodes[others[0]].Status().Cluster.Leader) - 1; got == first || got < 0 {
					t.Errorf("got node %d as the leader once node %d has stopped; want that it has handed over", got+1,
						first+1)
				}
			}
			w.await(t, 20)
			second := c.leader()
			if second == first {
				t.Fatalf("got node %d as the leader; want another", first+1)
			}
			acked := w.end()
			for _, i := range others {
				c.expectPeople(i, acked)
			}
			c.open(first)
			c.expectPeople(first, acked)
			c.expect(first, "PutItem", person(1, "Bonn"), "{")
			c.expectSoon(others[0], "Query", fmt.Sprintf(queryTown, "Bonn"), `"Count":1`)

			// Without the second leader there is a majority only with the one that was away.
			c.close(second)
			c.expectPeople(first, acked)
			if got := c.leader(); got == second {
				t.Errorf("got node %d as the leader; want another", got+1)
			}
		})
	}
}

// vanish stops node i+1 without handing anything over.
func (c *testCluster) vanish(i int) {
	c.t.Helper()
	n := c.nodes[i]
	c.nodes[i] = nil
	if err := n.stop(); err != nil {
		c.t.Errorf("node %d: %v", i+1, err)
	}
}

func (c *testCluster) address(i int) string { return c.nodes[i].TablesAddr().String() }

// All nodes are stopped and started: all that was there is there, and goes on.
func TestClustersOutliveTheirNodes(t *testing.T) {
	c := openCluster(t, 3)
	c.create(0, "people", createPeople)
	for i := range 3 {
		c.expect(i, "PutItem", person(i, "Ulm"), "{")
	}
	for i := range 3 {
		c.close(i)
	}
	for i := range 3 {
		c.open(i)
	}
	c.expectSoon(2, "Query", fmt.Sprintf(queryTown, "Ulm"), `"Count":3`)
	c.expect(1, "PutItem", person(3, "Ulm"), "{")
	c.expectSoon(0, "Query", fmt.Sprintf(queryTown, "Ulm"), `"Count":4`)
	if got := len(c.stream(1)); got != 4 {
		t.Errorf("got %d records of the stream; want 4", got)
	}
	for i := range 3 {
		c.close(i)
	}
	for i := range 3 {
		c.check(i)
	}
}

// check checks the directory of node i+1, which is closed.
func (c *testCluster) check(i int) {
	c.t.Helper()
	summary, err := CheckData(context.Background(), c.configs[i].Tables.Data, c.log, func(fault string) {
		c.t.Errorf("node %d: got the fault %s; want none", i+1, fault)
	})
	if err != nil || strings.Contains(summary, "items 0,") {
		c.t.Errorf("node %d: got %q, %v; want items", i+1, summary, err)
	}
}

// A table that is made, and one that is removed, while a node is away: the node has them as the others
// when it is back.
func TestANodeMissesChangesOfTables(t *testing.T) {
	c := openCluster(t, 3)
	c.create(0, "users", createUsers)
	away := (c.leader() + 1) % 3
	c.close(away)
	other := (away + 1) % 3
	c.create(other, "people", createPeople)
	c.expect(other, "PutItem", person(1, "Ulm"), "{")
	c.expect(other, "DeleteTable", `{"TableName":"users"}`, "users")
	c.open(away)
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		// It serves reads that needn't be consistent itself, and is asked until it has the item.
		if _, got := askTables(t, c.nodes[away], "GetItem", read(1, false)); strings.Contains(got, "Ulm") {
			break
		} else if time.Since(began) > time.Minute {
			t.Fatalf("got %s; want the item", got)
		}
	}
	c.expect(away, "ListTables", "{}", `["people"]`)
	ids := func(i int) (all []holdfast.ShardID) {
		for _, s := range c.nodes[i].Status().Shards {
			all = append(all, s.ID)
		}
		return all
	}
	for began := time.Now(); !slices.Equal(ids(away), ids(other)); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("got the shards %v; want %v, as on node %d", ids(away), ids(other), other+1)
		}
	}
}

// One of three nodes can't do anything alone, and says so; with a second one it goes on.
func TestWithoutAMajority(t *testing.T) {
	c := openCluster(t, 3)
	c.create(0, "people", createPeople)
	c.expect(0, "PutItem", person(1, "Ulm"), "{")
	left := c.leader()
	others := slices.DeleteFunc([]int{0, 1, 2}, func(i int) bool { return i == left })
	c.vanish(others[0])
	c.vanish(others[1])
	for began := time.Now(); c.nodes[left].Status().Cluster.Leader != 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("got a leader without a majority for a minute")
		}
	}
	for _, request := range [][2]string{{"PutItem", person(2, "Ulm")}, {"GetItem", read(1, true)}} {
		status, body := askTables(t, c.nodes[left], request[0], request[1])
		if status != http.StatusServiceUnavailable || !strings.Contains(body, "nothing was changed") {
			t.Errorf("%s: got %d %s; want 503, and that nothing was changed", request[0], status, body)
		}
	}
	if status, body := askTables(t, c.nodes[left], "GetItem", read(1, false)); status != http.StatusOK ||
		!strings.Contains(body, "Ulm") {
		t.Errorf("a read that needn't be consistent: got %d %s; want the item", status, body)
	}
	if _, body := get(t, c.nodes[left], "/healthz"); !strings.Contains(body, "no node is known to lead") {
		t.Errorf("/healthz: got %q; want that nobody leads", body)
	}
	c.open(others[0])
	c.expect(left, "PutItem", person(2, "Ulm"), "{")
	c.expect(others[0], "GetItem", read(1, true), "Ulm")
}

// Backups are made and restored through any node, also when another leads than before.
func TestBackupsOfACluster(t *testing.T) {
	c := openCluster(t, 3)
	left := c.leader()
	others := slices.DeleteFunc([]int{0, 1, 2}, func(i int) bool { return i == left })
	c.create(others[0], "people", createPeople)
	c.expect(others[1], "PutItem", person(1, "Ulm"), "{")
	var made struct{ BackupDetails struct{ BackupArn string } }
	answer := c.ask(others[0], "CreateBackup", `{"TableName":"people","BackupName":"first"}`)
	if err := json.Unmarshal([]byte(answer), &made); err != nil {
		t.Fatal(err)
	}
	arn := made.BackupDetails.BackupArn
	c.expect(others[1], "PutItem", person(1, "Bonn"), "{")
	c.close(left)
	c.expectSoon(others[1], "DescribeBackup", `{"BackupArn":"`+arn+`"}`, `"BackupStatus":"AVAILABLE"`)
	c.expect(others[1], "RestoreTableFromBackup", `{"TargetTableName":"restored","BackupArn":"`+arn+`"}`, "restored")
	c.expectSoon(others[0], "DescribeTable", `{"TableName":"restored"}`, `"TableStatus":"ACTIVE"`)
	c.expect(others[0], "GetItem", strings.Replace(read(1, true), "people", "restored", 1), "Ulm")
	c.expect(others[0], "GetItem", read(1, true), "Bonn")
}

// All nodes in one process, which stop together.
func TestNodesOfOneProcess(t *testing.T) {
	all := nodesConfig(t, 3)
	for start := range 2 {
		ns, err := OpenNodes(Options{Log: slog.New(slog.DiscardHandler)}, all)
		if err != nil {
			t.Fatal(err)
		}
		c := &testCluster{t: t, nodes: ns.All()}
		if start == 0 {
			c.create(0, "people", createPeople)
			c.expect(1, "PutItem", person(1, "Ulm"), "{")
		}
		c.expect(2, "GetItem", read(1, true), "Ulm")
		if _, body := get(t, ns.All()[0], "/metrics"); !strings.Contains(body, "holdfast_group_replicas{role=") {
			t.Error("/metrics: got no replicas")
		}
		if ns.All()[0].CacheAddrs() == nil || ns.All()[1].CacheAddrs() != nil {
			t.Error("got no cache at the first node, or one at the second; want one at the first alone")
		}
		if err := ns.Reload(); err != nil {
			t.Error(err)
		}
		if err := ns.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTakenClusterPort(t *testing.T) {
	holder, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	all := nodesConfig(t, 3)
	all[1].Cluster.Listen = holder.Addr().String()
	_, err = OpenNodes(Options{Log: slog.New(slog.DiscardHandler)}, all)
	var listen *ListenError
	if !errors.As(err, &listen) || listen.Setting != "cluster.listen" || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v; want a taken address of cluster.listen", err)
	}
}
