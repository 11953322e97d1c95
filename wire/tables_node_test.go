package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// A nodeCluster is three nodes of "holdfast node", which form their cluster themselves.
type nodeCluster struct {
	t         *testing.T
	dir       string
	addresses []string // of the tables
	peers     []string // for the other nodes
	tls       []string // the section of each node; none: no TLS
	flags     []string // of nodes that are started from now on
	processes []*process
}

func newNodeCluster(t *testing.T) *nodeCluster {
	t.Helper()
	c := &nodeCluster{
		t: t, dir: t.TempDir(), addresses: freeAddresses(t, 3), peers: freeAddresses(t, 3),
		processes: make([]*process, 3),
	}
	t.Cleanup(func() {
		if t.Failed() {
			for i, pr := range c.processes {
				if pr != nil {
					t.Logf("the log of node %d:\n%s", i+1, pr.stderr.String())
				}
			}
		}
	})
	return c
}

func (c *nodeCluster) data(i int) string { return filepath.Join(c.dir, strconv.Itoa(i)) }

// start starts a node. changes are pairs of a text of its file and what replaces it.
func (c *nodeCluster) start(i int, changes ...string) *process {
	c.t.Helper()
	text := fmt.Sprintf(`cluster:
  name: shop
  listen: %q
  seeds: [%s]
  expect: 3
tables: {listen: %q, data: %q, memory: 256MiB}
http: {listen: %q}
cache: {listen: ["127.0.0.1:0"], memory: 8MiB}
`, c.peers[i], strings.Join(c.peers, ", "), c.addresses[i], c.data(i), httpOf(c.addresses[i], 3))
	if c.tls != nil {
		text = strings.Replace(text, "  expect: 3\n", "  expect: 3\n  tls: "+c.tls[i]+"\n", 1)
	}
	text = strings.NewReplacer(changes...).Replace(text)
	file := filepath.Join(c.t.TempDir(), fmt.Sprintf("node%d.yaml", i+1))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	pr := &process{addr: c.addresses[i], signal: syscall.SIGTERM, exited: make(chan struct{})}
	pr.cmd = exec.Command(ours(c.t).argv[0], append([]string{"node", "--config", file}, c.flags...)...)
	pr.cmd.Stderr = &pr.stderr
	if err := spawn(pr.cmd); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		_ = pr.cmd.Wait() // the test that stopped it checks how it ended
		close(pr.exited)
	}()
	c.t.Cleanup(pr.stop)
	c.processes[i] = pr
	return pr
}

// startAll starts all nodes in random order, and waits until each serves.
func (c *nodeCluster) startAll() {
	c.t.Helper()
	for _, i := range rand.Perm(3) {
		c.start(i)
	}
	for i := range 3 {
		c.awaitServing(i)
	}
}

func (c *nodeCluster) awaitServing(i int) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("node %d is healthy", i+1), func() bool {
		select {
		case <-c.processes[i].exited:
			c.t.Fatalf("node %d ended: %v\n%s", i+1, c.processes[i].cmd.ProcessState, c.processes[i].stderr.String())
		default:
		}
		status, _ := c.health(i)
		return status == http.StatusOK
	})
	awaitLeader(c.t, c.addresses[i])
}

// health returns what /healthz of a node says; 0 if nothing listens.
func (c *nodeCluster) health(i int) (status int, text string) {
	answer, err := http.Get("http://" + httpOf(c.addresses[i], 3) + "/healthz")
	if err != nil {
		return 0, ""
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, ""
	}
	return answer.StatusCode, string(body)
}

// leader waits until one of the nodes leads, which is not the excluded one.
func (c *nodeCluster) leader(excluded int) (leader int) {
	c.t.Helper()
	eventually(c.t, "a node leads", func() bool {
		for i, address := range c.addresses {
			if i != excluded && c.running(i) && leads(c.t, address) {
				leader = i
				return true
			}
		}
		return false
	})
	return leader
}

func (c *nodeCluster) running(i int) bool {
	select {
	case <-c.processes[i].exited:
		return false
	default:
		return true
	}
}

// refused waits until a node that was started has ended, and expects texts in its log.
func (c *nodeCluster) refused(i int, wants ...string) {
	c.t.Helper()
	pr := c.processes[i]
	select {
	case <-pr.exited:
	case <-time.After(patience):
		c.t.Fatalf("node %d runs; want it refused", i+1)
	}
	if code := pr.cmd.ProcessState.ExitCode(); code != 1 {
		c.t.Errorf("got exit code %d; want 1", code)
	}
	for _, want := range wants {
		if got := pr.stderr.String(); !strings.Contains(got, want) {
			c.t.Errorf("got\n%s\nwant %q in it", got, want)
		}
	}
}

func (c *nodeCluster) createCounts(address string) {
	c.t.Helper()
	d := newDynamo(address)
	defer d.close()
	d.must(c.t, "CreateTable", `{"TableName":"counts","BillingMode":"PAY_PER_REQUEST",
		"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
		"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}`, nil)
	d.active(c.t, "counts")
}

// A sdkCounting is a load by clients of AWS's SDK for Go, which repeat what was refused.
type sdkCounting struct {
	counting
	pauses []time.Duration // the longest between two acknowledgements, of each client
}

// countBySDK starts two clients for each address. They begin above the counts of a former load.
func countBySDK(addresses []string, above int64) *sdkCounting {
	c := &sdkCounting{counting: counting{counts: make([]int64, 2*len(addresses))},
		pauses: make([]time.Duration, 2*len(addresses))}
	for n := range c.counts {
		client := sdk.New(sdk.Options{
			Region: "us-east-1", BaseEndpoint: aws.String("http://" + addresses[n/2]), RetryMaxAttempts: 20,
			Credentials: credentials.NewStaticCredentialsProvider("k", "s", ""),
		})
		c.running.Go(func() {
			last := time.Now()
			for next := above + 1; !c.stop.Load(); next++ {
				_, err := client.PutItem(context.Background(), &sdk.PutItemInput{TableName: aws.String("counts"),
					Item: map[string]types.AttributeValue{
						"id": &types.AttributeValueMemberS{Value: strconv.Itoa(n)},
						"n":  &types.AttributeValueMemberN{Value: strconv.FormatInt(next, 10)},
					}})
				if err != nil {
					c.failed.Add(1)
					continue
				}
				c.counts[n] = next
				c.acknowledged.Add(1)
				c.pauses[n] = max(c.pauses[n], time.Since(last))
				last = time.Now()
			}
		})
	}
	return c
}

// others are the addresses of the nodes but one.
func (c *nodeCluster) others(i int) []string { return slices.Delete(slices.Clone(c.addresses), i, i+1) }

func (c *nodeCluster) checkAll(load *sdkCounting) {
	c.t.Helper()
	for _, address := range c.addresses {
		load.check(c.t, address)
	}
}

// The nodes are started one by one. Until the last one is there, each says that it waits, and for whom.
func TestNodesFormACluster(t *testing.T) {
	c := newNodeCluster(t)
	order := rand.Perm(3)
	for k, i := range order[:2] {
		c.start(i)
		eventually(t, "it waits", func() bool {
			status, text := c.health(i)
			return status == http.StatusServiceUnavailable &&
				strings.Contains(text, fmt.Sprintf("%d of 3 nodes are known", k+1)) &&
				strings.Contains(text, c.peers[order[2]])
		})
	}
	missing := "not met since the start: " + c.peers[order[2]]
	eventually(t, "the log says who is missing", func() bool {
		return strings.Contains(c.processes[order[1]].stderr.String(), missing)
	})
	// One of those that wait is killed, and another one stops cleanly while it waits.
	c.processes[order[0]].kill()
	c.processes[order[1]].stop()
	if state := c.processes[order[1]].cmd.ProcessState; !state.Success() {
		t.Errorf("a node that was stopped while it waited: got %v; want success", state)
	}
	c.startAll()
	c.createCounts(c.addresses[1])
	for i := range 3 {
		d := newDynamo(c.addresses[i])
		d.must(t, "PutItem", fmt.Sprintf(`{"TableName":"counts","Item":{"id":{"S":"%d"},"n":{"N":"1"}}}`, i), nil)
		d.close()
		d = newDynamo(c.addresses[(i+1)%3])
		var answer struct{ Count int }
		d.must(t, "Scan", `{"TableName":"counts","ConsistentRead":true}`, &answer)
		d.close()
		if answer.Count != i+1 {
			t.Errorf("node %d: got %d items; want %d", (i+1)%3+1, answer.Count, i+1)
		}
	}

	// As if one had been killed before it knew that the cluster is formed: the others tell it.
	c.processes[0].stop()
	identity := filepath.Join(c.data(0), "cluster.json")
	if err := os.Rename(identity, filepath.Join(c.data(0), "cluster.forming")); err != nil {
		t.Fatal(err)
	}
	c.start(0)
	c.awaitServing(0)
}

// Nodes with certificates form a cluster, and one whose certificate is another authority's doesn't
// join.
func TestNodesFormAClusterOverTLS(t *testing.T) {
	c := newNodeCluster(t)
	ca := newAuthority(t, "the cluster's")
	for range 3 {
		c.tls = append(c.tls, ca.section(t))
	}
	stranger := newAuthority(t, "another")
	right := c.tls[2]
	c.tls[2] = stranger.section(t)
	for i := range 3 {
		c.start(i)
	}
	eventually(t, "two nodes know each other", func() bool {
		_, text := c.health(0)
		return strings.Contains(text, "2 of 3 nodes are known")
	})
	eventually(t, "the stranger has tried, and knows nobody", func() bool {
		status, text := c.health(2)
		return status == http.StatusServiceUnavailable && strings.Contains(text, "1 of 3 nodes are known") &&
			strings.Contains(c.processes[2].stderr.String(), "fault=untrusted")
	})
	c.processes[2].stop()
	c.tls[2] = right
	c.start(2)
	for i := range 3 {
		c.awaitServing(i)
	}
}

// The node that leads is killed under load: another one takes over, and nothing that was acknowledged
// is lost. Then all are killed.
func TestNodesThatAreKilled(t *testing.T) {
	c := newNodeCluster(t)
	c.startAll()
	c.createCounts(c.addresses[0])
	victim := c.leader(-1)
	load := countBySDK(c.others(victim), 0)
	load.await(t, 50)
	c.processes[victim].kill()
	c.leader(victim)
	load.await(t, 50)
	load.end()
	t.Logf("the node that leads was killed: %d writes acknowledged, %d failed, the longest pause was %v",
		load.acknowledged.Load(), load.failed.Load(), slices.Max(load.pauses).Round(time.Millisecond))
	c.start(victim)
	c.awaitServing(victim)
	c.checkAll(load)

	load = countBySDK(c.addresses, slices.Max(load.counts))
	load.await(t, 50)
	for _, pr := range c.processes {
		pr.kill()
	}
	load.stop.Store(true) // the clients give up in time
	began := time.Now()
	c.startAll()
	t.Logf("all nodes were killed: they served %v after the start", time.Since(began).Round(time.Millisecond))
	load.end()
	c.checkAll(load)
}

// The node that leads is stopped for 5 seconds, as by a hung machine. The others go on; when it
// continues it answers nothing that is out of date, and follows.
func TestNodeThatHangs(t *testing.T) {
	c := newNodeCluster(t)
	c.startAll()
	c.createCounts(c.addresses[0])
	hung := c.leader(-1)
	before := countBySDK(c.addresses, 0)
	before.await(t, 50)
	before.end()
	if err := c.processes[hung].cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	pause := time.After(5 * time.Second)
	load := countBySDK(c.others(hung), slices.Max(before.counts))
	load.await(t, 50)
	<-pause
	load.end()
	t.Logf("the node that leads hung: the longest pause of the others was %v",
		slices.Max(load.pauses).Round(time.Millisecond))
	// Consistent reads wait in the node's socket when it continues, and it believes that it leads.
	d := newDynamo(c.addresses[hung])
	defer d.close()
	answers := make(chan error, len(load.counts))
	for n, want := range load.counts {
		go func() { answers <- staleness(d, n, want) }()
	}
	if err := c.processes[hung].cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for range load.counts {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	eventually(t, "it answers consistent reads", func() bool {
		var answer struct{ Item map[string]any }
		return d.ask("GetItem", `{"TableName":"counts","ConsistentRead":true,"Key":{"id":{"S":"0"}}}`, &answer) == nil
	})
	load.check(t, c.addresses[hung])
	eventually(t, "its own replica has caught up", func() bool {
		got, err := countAt(d, 0, false)
		return err == nil && got >= load.counts[0]
	})
}

// staleness returns an error if a consistent read answers with a count that is too low. It may be
// refused.
func staleness(d *dynamo, n int, want int64) error {
	got, err := countAt(d, n, true)
	var r *refusal
	switch {
	case errors.As(err, &r) && r.status >= 500:
		return nil
	case err != nil:
		return err
	case got < want:
		return fmt.Errorf("client %d: got %d by a consistent read; want %d, or a refusal", n, got, want)
	}
	return nil
}

func countAt(d *dynamo, n int, consistent bool) (int64, error) {
	var answer struct {
		Item struct{ N struct{ N string } } `json:"Item"`
	}
	err := d.ask("GetItem",
		fmt.Sprintf(`{"TableName":"counts","ConsistentRead":%v,"Key":{"id":{"S":"%d"}}}`, consistent, n), &answer)
	got, _ := strconv.ParseInt(answer.Item.N.N, 10, 64)
	return got, err
}

// A node that is left alone refuses what needs a majority, and answers reads that don't.
func TestOneNodeOfThree(t *testing.T) {
	c := newNodeCluster(t)
	c.startAll()
	c.createCounts(c.addresses[0])
	load := countBySDK(c.addresses, 0)
	load.await(t, 30)
	load.end()
	left := c.leader(-1)
	for i, pr := range c.processes {
		if i != left {
			pr.kill()
		}
	}
	d := newDynamo(c.addresses[left])
	defer d.close()
	d.client.Timeout = 3 * time.Second // the first write waits for the others longer than that
	unavailable := func(operation, body string) bool {
		var r *refusal
		err := d.ask(operation, body, nil)
		if err == nil {
			t.Fatalf("%s: got an answer without a majority; want it refused", operation)
		}
		return errors.As(err, &r) && r.status == http.StatusServiceUnavailable
	}
	// A write that the node has begun when it loses the others ends, too, with an unknown outcome.
	first := make(chan error, 1)
	go func() {
		patient := newDynamo(c.addresses[left])
		defer patient.close()
		first <- patient.ask("PutItem", `{"TableName":"counts","Item":{"id":{"S":"other"}}}`, nil)
	}()
	began := time.Now()
	eventually(t, "writes are refused with 503", func() bool {
		return unavailable("PutItem", `{"TableName":"counts","Item":{"id":{"S":"0"},"n":{"N":"-1"}}}`)
	})
	eventually(t, "consistent reads are refused with 503", func() bool {
		return unavailable("GetItem", `{"TableName":"counts","ConsistentRead":true,"Key":{"id":{"S":"0"}}}`)
	})
	t.Logf("a node that is left alone answers with 503 after %v", time.Since(began).Round(time.Millisecond))
	for n, want := range load.counts {
		if got, err := countAt(d, n, false); err != nil || got < want {
			t.Errorf("client %d: got %d, %v by a read that needn't be consistent; want %d", n, got, err, want)
		}
	}
	var r *refusal
	if err := <-first; !errors.As(err, &r) || r.status < 500 {
		t.Errorf("the write: got %v; want that it ends with a refusal", err)
	}
}

// Starts that are refused, each by name: the others go on.
func TestNodesThatAreRefused(t *testing.T) {
	c := newNodeCluster(t)
	c.startAll()
	c.createCounts(c.addresses[0])
	load := countBySDK(c.addresses[1:], 0)
	c.processes[0].stop()

	c.start(0, "name: shop", "name: till")
	c.refused(0, `cluster.name is "till"`, `cluster "shop"`)
	c.start(0, "expect: 3", "expect: 5")
	c.refused(0, "cluster.expect is 5")
	other := freeAddress(t)
	c.start(0, "expect: 3", "expect: 3\n  advertise: "+other)
	c.refused(0, fmt.Sprintf("cluster.advertise is %q", other), c.peers[0], "can't be changed in this version")

	aside := c.data(0) + "-aside"
	if err := os.Rename(c.data(0), aside); err != nil {
		t.Fatal(err)
	}
	for range 2 { // whatever the first start has left
		c.start(0)
		c.refused(0, "the node at "+c.peers[0]+" with incarnation ", "its disk was emptied",
			c.data(0)+" has no identity")
	}
	c.start(0, "name: shop", "name: till")
	c.refused(0, `the cluster here is "shop", and the node at `+c.peers[0]+` forms "till"`)
	c.start(0, "expect: 3", "expect: 5")
	c.refused(0, "the node at "+c.peers[0]+" with incarnation ", "its disk was emptied")

	// Put back, it is the node that it was, and needs no seeds.
	if err := errors.Join(os.RemoveAll(c.data(0)), os.Rename(aside, c.data(0))); err != nil {
		t.Fatal(err)
	}
	c.start(0, "seeds: ["+strings.Join(c.peers, ", ")+"]", "seeds: []")
	c.awaitServing(0)
	load.end()
	c.checkAll(load)
}
