package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// httpOf returns where HTTP of a node listens whose tables are at an address, among so many nodes.
func httpOf(address string, nodes int) string {
	_, text, _ := net.SplitHostPort(address)
	port, _ := strconv.Atoi(text)
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port+nodes))
}

// startNodes runs `holdfast up --nodes` with tables at those addresses until the test ends, and waits
// until each node serves.
func startNodes(t *testing.T, addresses []string, dir string, flags ...string) *process {
	t.Helper()
	pr := startTablesAt(t, addresses[0], dir, append([]string{"--nodes", strconv.Itoa(len(addresses)),
		"--cluster-listen", "127.0.0.1:0", "--http-listen", httpOf(addresses[0], len(addresses))}, flags...)...)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the nodes' log:\n%s", pr.stderr.String())
		}
	})
	for _, address := range addresses {
		awaitLeader(t, address)
	}
	return pr
}

// awaitLeader waits until a node executes requests, or has them executed.
func awaitLeader(t *testing.T, address string) {
	t.Helper()
	d := newDynamo(address)
	defer d.close()
	eventually(t, "a node leads", func() bool { return d.ask("ListTables", "{}", nil) == nil })
}

// leads reports whether a node is the one that executes the requests of all three.
func leads(t *testing.T, address string) bool {
	t.Helper()
	answer, err := http.Get("http://" + httpOf(address, 3) + "/status")
	if err != nil {
		return false // it doesn't run
	}
	defer answer.Body.Close()
	var status struct{ Cluster struct{ Leads bool } }
	if err := json.NewDecoder(answer.Body).Decode(&status); err != nil {
		t.Fatal(err)
	}
	return status.Cluster.Leads
}

// Three nodes in processes of their own, of which one is killed after another, mostly the one that
// leads.
type separateNodes struct {
	t         *testing.T
	dir       string
	addresses []string // of the tables
	configs   []string // files
	processes []*process
}

// startSeparately forms a cluster, and starts its nodes as processes of their own.
func startSeparately(t *testing.T) *separateNodes {
	t.Helper()
	s := &separateNodes{t: t, dir: t.TempDir(), addresses: freeAddresses(t, 3), processes: make([]*process, 3)}
	all := startNodes(t, s.addresses, s.dir)
	all.stop()
	members := ""
	for i := range 3 {
		members += fmt.Sprintf("{id: %d, address: %q},", i+1, freeAddress(t))
	}
	for i := range 3 {
		file := filepath.Join(t.TempDir(), "node.yaml")
		text := fmt.Sprintf("cluster: {name: holdfast, node: %d, members: [%s]}\ntables: {memory: 256MiB}\n", i+1,
			members)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.configs = append(s.configs, file)
		s.start(i)
	}
	for _, address := range s.addresses {
		awaitLeader(t, address)
	}
	return s
}

func (s *separateNodes) start(i int) {
	s.t.Helper()
	s.processes[i] = startTablesAt(s.t, s.addresses[i], filepath.Join(s.dir, strconv.Itoa(i+1)),
		"--config", s.configs[i], "--http-listen", httpOf(s.addresses[i], 3))
}

// TestKilledNodes kills one node of three after another under load, mostly the one that leads. Every
// acknowledged write is there afterwards, at each node.
func TestKilledNodes(t *testing.T) {
	s := startSeparately(t)
	d := newDynamo(s.addresses[0])
	d.must(t, "CreateTable", `{"TableName":"counts","BillingMode":"PAY_PER_REQUEST",
		"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
		"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}`, nil)
	d.active(t, "counts")
	d.close()
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	load := countUp(s.addresses)
	for round := range rounds {
		load.await(t, 20)
		victim := round % 3
		for i, address := range s.addresses {
			if round%3 < 2 && leads(t, address) {
				victim = i
			}
		}
		s.processes[victim].kill()
		load.await(t, 20)
		s.start(victim)
		awaitLeader(t, s.addresses[victim])
	}
	load.end()
	for _, address := range s.addresses {
		load.check(t, address)
	}
	wantEqualReplicas(t, httpOf(s.addresses[0], 3))
	t.Logf("%d kills; %d writes acknowledged, %d refused or of unknown outcome", rounds, load.acknowledged.Load(),
		load.failed.Load())
}

// wantEqualReplicas has the replicas of all shards compared, as "holdfast cluster check" does, until all
// could be, and fails the test unless they are equal. http is where HTTP of a node listens.
func wantEqualReplicas(t *testing.T, http string) {
	t.Helper()
	text := ""
	eventually(t, "all replicas are compared", func() bool {
		out, err := exec.Command(built.path, "cluster", "check", "--http", http).CombinedOutput()
		text = string(out)
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == 2 {
			t.Fatalf("replicas differ:\n%s", text)
		}
		return err == nil
	})
	if !strings.Contains(text, " of table counts as of transaction ") {
		t.Errorf("got\n%s\nwant the table's replicas compared", text)
	}
}

// A counting is a load: each client counts up an item of its own, and knows which counts were
// acknowledged.
type counting struct {
	stop    atomic.Bool
	running sync.WaitGroup
	counts  []int64 // the last that was acknowledged, of each client

	acknowledged, failed atomic.Int64
}

// countUp starts clients, which each move on to another node when a request fails.
func countUp(addresses []string) *counting {
	const clients = 6
	c := &counting{counts: make([]int64, clients)}
	for n := range clients {
		c.running.Go(func() {
			for at, next := n, int64(1); !c.stop.Load(); next++ {
				d := newDynamo(addresses[at%len(addresses)])
				err := d.ask("PutItem",
					fmt.Sprintf(`{"TableName":"counts","Item":{"id":{"S":"%d"},"n":{"N":"%d"}}}`, n, next), nil)
				d.close()
				if err == nil {
					c.counts[n] = next
					c.acknowledged.Add(1)
				} else {
					c.failed.Add(1)
					at += 1 + rand.IntN(2)
				}
			}
		})
	}
	return c
}

func (c *counting) end() {
	c.stop.Store(true)
	c.running.Wait()
}

// await waits until so many writes more have been acknowledged.
func (c *counting) await(t *testing.T, more int64) {
	t.Helper()
	from := c.acknowledged.Load()
	eventually(t, "writes are acknowledged", func() bool { return c.acknowledged.Load() >= from+more })
}

// check reads every count through a node. It may be that of a later write, whose outcome the client
// doesn't know, but not of an earlier one.
func (c *counting) check(t *testing.T, address string) {
	t.Helper()
	d := newDynamo(address)
	defer d.close()
	for n, want := range c.counts {
		var answer struct {
			Item struct{ N struct{ N string } } `json:"Item"`
		}
		d.must(t, "GetItem", fmt.Sprintf(`{"TableName":"counts","ConsistentRead":true,"Key":{"id":{"S":"%d"}}}`, n),
			&answer)
		got, _ := strconv.ParseInt(answer.Item.N.N, 10, 64)
		if got < want {
			t.Errorf("%s: client %d: got %d; want %d, which was acknowledged, or a later one", address, n, got, want)
		}
	}
}
