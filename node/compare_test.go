package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/shard"
)

// placeOf returns the shard of the table of people, which has one, at node i+1.
func (c *testCluster) placeOf(i int) *shard.Shard {
	c.t.Helper()
	m := c.nodes[i].tables.member
	for _, r := range m.replicas.list() {
		if strings.HasSuffix(m.compared.name(r.id), " of table people") &&
			!strings.Contains(m.compared.name(r.id), "index") {
			return m.replicas.shard(r.id)
		}
	}
	c.t.Fatal("got no shard of the table")
	return nil
}

// harm removes the items from the disk of node i+1, once they are all there, without its replica's
// knowledge.
func (c *testCluster) harm(i, items int) {
	c.t.Helper()
	sh := c.placeOf(i)
	for began := time.Now(); sh.Counts().Items < int64(items); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			c.t.Fatalf("node %d: got %d items within a minute; want %d", i+1, sh.Counts().Items, items)
		}
	}
	is := sh.Descriptor()
	is.ID = 1 << 40 // of no shard
	if err := c.nodes[i].tables.disk.Drop(is); err != nil {
		c.t.Fatal(err)
	}
}

// compare has all replicas compared through node i+1, and returns what was found of the table of
// people; nil: the node that led has ended meanwhile. It repeats that until the result is the one that is
// wanted: on a busy machine a node may not be heard for a while, so that its replica isn't compared.
func (c *testCluster) compare(i int, want string) *Comparison {
	c.t.Helper()
	for began := time.Now(); ; {
		switch is := c.compareOnce(i); {
		case is == nil || is.Result == want:
			return is
		case is.Result == Equal || is.Result == Differs || time.Since(began) > time.Minute:
			c.t.Fatalf("got %+v; want %s", is, want)
		}
	}
}

func (c *testCluster) compareOnce(i int) *Comparison {
	c.t.Helper()
	n := c.nodes[i].tables.member.compared.ask
	of, round := compareForm{}, &Round{}
	for began := time.Now(); !round.Done; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			c.t.Fatalf("got %+v within a minute; want it done", round)
		}
		ctx, end := context.WithTimeout(context.Background(), time.Second)
		is, err := n(ctx, of)
		end()
		switch {
		case err == nil:
			round, of.Round = is, is.Number
		case errors.Is(err, holdfast.NotFound):
			return nil
		}
	}
	if len(round.Comparisons) != round.Shards {
		c.t.Errorf("got %+v; want each shard compared", round)
	}
	at := slices.IndexFunc(round.Comparisons, func(is Comparison) bool { return is.Shard == c.placeOf(i).ID() })
	if at < 0 { // another node leads its group for a moment
		return &Comparison{Result: Incomplete}
	}
	return &round.Comparisons[at]
}

// ends waits until node i+1 ends, and returns why.
func (c *testCluster) ends(i int) error {
	c.t.Helper()
	select {
	case err := <-c.nodes[i].Failed():
		return err
	case <-time.After(time.Minute):
		c.t.Fatalf("node %d goes on for a minute", i+1)
		return nil
	}
}

// goOn fails the test if a node has ended.
func (c *testCluster) goOn() {
	c.t.Helper()
	for i, n := range c.nodes {
		if n == nil {
			continue
		}
		select {
		case err := <-n.Failed():
			c.t.Errorf("node %d: got %v; want it to go on", i+1, err)
		default:
		}
	}
}

// refusesToStart closes node i+1, and fails the test unless it refuses to start in the words with which
// it has ended.
func (c *testCluster) refusesToStart(i int, ended error) {
	c.t.Helper()
	c.close(i)
	n, err := Open(Options{Config: c.configs[i], WithoutCache: true, Log: c.log})
	if err == nil {
		c.nodes[i] = n
		c.t.Fatal("the next start: got no error")
	}
	if err.Error() != ended.Error() {
		c.t.Errorf("the next start: got %v; want %v", err, ended)
	}
	if _, err := os.Stat(c.configs[i].Tables.Data); err != nil {
		c.t.Errorf("the directory: got %v; want it kept", err)
	}
}

// A node whose replica lacks what the others' have is found and ends, the node that leads as well as
// another, when somebody asks and by itself: it names the shard and who agrees, the others go on, and
// the node isn't started again with that directory.
func TestReplicaThatDiffers(t *testing.T) {
	for _, test := range []struct {
		name  string
		leads bool
		every time.Duration
	}{{"a follower", false, 0}, {"the leader", true, 0}, {"a follower, by itself", false, time.Second}} {
		t.Run(test.name, func(t *testing.T) {
			c := openConfigured(t, 3, nil, func(c *testCluster) {
				for i := range c.configs {
					c.configs[i].Cluster.CompareEvery = test.every
				}
			})
			c.create(0, "people", createPeople)
			for id := range 20 {
				c.expect(id%3, "PutItem", person(id, "Ulm"), "{")
			}
			leader := c.leader()
			victim, other := (leader+1)%3, (leader+2)%3
			if test.leads {
				victim = leader
			}
			if test.every == 0 {
				if is := c.compare(victim, Equal); is == nil || len(is.Replicas) != 3 || is.Replicas[0].Keys < 40 {
					t.Fatalf("got %+v; want all replicas equal", is)
				}
			}
			c.goOn()
			id := c.placeOf(victim).ID()
			c.harm(victim, 20)
			if test.every == 0 {
				is := c.compare(victim, Differs)
				if is != nil && (!is.replica(holdfast.NodeID(victim+1)).Stopped ||
					is.replica(holdfast.NodeID(other+1)).Odd) {
					t.Errorf("got %+v; want node %d to differ, and stopped", is, victim+1)
				}
			}
			err := c.ends(victim)
			agree := slices.DeleteFunc([]holdfast.NodeID{1, 2, 3}, func(id holdfast.NodeID) bool {
				return int(id) == victim+1
			})
			for _, want := range []string{fmt.Sprintf("shard %d of table people as of transaction %d/", id, id),
				c.configs[victim].Tables.Data, fmt.Sprintf("nodes %d and %d", agree[0], agree[1]), "kept",
				fmt.Sprintf("node %d of", victim+1)} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v; want %q in it", err, want)
				}
			}
			c.goOn()
			if !test.leads {
				n := c.nodes[leader]
				for began := time.Now(); ; time.Sleep(10 * time.Millisecond) { // it is noted when the node is stopped
					text := strings.Join(n.tables.faults(), "\n")
					if strings.Contains(text, "replicas of 1 shards differ: shard") {
						break
					}
					if time.Since(began) > time.Minute {
						t.Fatalf("got %q; want the difference in /healthz", text)
					}
				}
				if differ := n.Status().Cluster.Differ; len(differ) != 1 || differ[0].Shard != id {
					t.Errorf("got %+v; want the difference in /status", differ)
				}
			}
			c.refusesToStart(victim, err)
			c.expect(other, "PutItem", person(100, "Bonn"), "{")
			for id := range 20 {
				c.expect(other, "GetItem", read(id, true), "Ulm")
			}
		})
	}
}

// A node whose disk has a damaged block that nobody has read yet is found and ends, too.
func TestReplicaThatCannotBeRead(t *testing.T) {
	c := openCluster(t, 3)
	c.create(0, "people", createPeople)
	for id := range 40 {
		c.expect(id%3, "PutItem", fmt.Sprintf(`{"TableName":"people","Item":{"id":{"S":"%d"},"is":{"S":"%s"}}}`, id,
			noise(id, 20_000)), "{")
	}
	victim := (c.leader() + 1) % 3
	c.close(victim)
	c.open(victim) // its logs become sorted tables
	c.close(victim)
	damageLargest(t, c.configs[victim].Tables.Data+"/pebble")
	c.open(victim)
	c.expect(victim, "PutItem", person(100, "Bonn"), "{") // it takes part
	is := c.compare(victim, Differs)
	if r := is.replica(holdfast.NodeID(victim + 1)); r.Unreadable == "" || !r.Stopped {
		t.Errorf("got %+v; want node %d found", is, victim+1)
	}
	err := c.ends(victim)
	if !strings.Contains(err.Error(), "can't be read here") {
		t.Errorf("got %v; want why the node ends", err)
	}
	c.goOn()
	c.refusesToStart(victim, err)
}

// noise returns a text that doesn't compress, another for each n.
func noise(n, bytes int) string {
	rng := rand.New(rand.NewPCG(uint64(n), 77))
	text := make([]byte, bytes)
	for i := range text {
		text[i] = 'a' + byte(rng.IntN(26))
	}
	return string(text)
}

// damageLargest flips a bit in the middle of the largest sorted table in a directory.
func damageLargest(t *testing.T, dir string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("got %v, %v; want sorted tables", paths, err)
	}
	var largest []byte
	path := ""
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > len(largest) {
			path, largest = p, text
		}
	}
	largest[len(largest)/2] ^= 1
	if err := os.WriteFile(path, largest, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Without a majority that agrees nobody is stopped, and the node that leads says so until all agree.
func TestReplicasWithoutAMajority(t *testing.T) {
	c := openCluster(t, 3)
	c.create(0, "people", createPeople)
	for id := range 10 {
		c.expect(id%3, "PutItem", person(id, "Ulm"), "{")
	}
	leader := c.leader()
	away, victim := (leader+1)%3, (leader+2)%3
	c.close(away)
	c.harm(victim, 10)
	if is := c.compare(victim, Undecided); is == nil || is.Replicas[away].Missing == "" {
		t.Errorf("got %+v; want no decision", is)
	}
	c.goOn()
	n := c.nodes[leader]
	if text := strings.Join(n.tables.faults(), "\n"); !strings.Contains(text, "no majority agrees") {
		t.Errorf("got %q; want the difference in /healthz", text)
	}
	if results, differ := n.tables.member.comparisons(); results[Undecided] == 0 || differ != 1 {
		t.Errorf("got %v, %d shards that differ; want one", results, differ)
	}

	// The node that was away decides it.
	c.open(away)
	c.compare(leader, Differs)
	if err := c.ends(victim); !strings.Contains(err.Error(), "doesn't have what the other nodes have") {
		t.Errorf("got %v", err)
	}
	c.goOn()
	c.expect(away, "GetItem", read(3, true), "Ulm")
}

// An accusation that isn't true stops nobody.
func TestFalseAccusations(t *testing.T) {
	c := openCluster(t, 3)
	c.create(0, "people", createPeople)
	leader := c.leader()
	victim := (leader + 1) % 3
	m := c.nodes[victim].tables.member
	sh := c.placeOf(leader)
	ctx, end := context.WithTimeout(context.Background(), time.Minute)
	defer end()
	tx, err := shard.ProposeChecksum(ctx, sh)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := m.compared.own(ctx, tx)
	for errors.Is(err, holdfast.Behind) {
		sum, err = m.compared.own(ctx, tx)
	}
	if err != nil {
		t.Fatal(err)
	}
	all := []holdfast.NodeID{1, 2, 3}
	others := slices.DeleteFunc(slices.Clone(all), func(id holdfast.NodeID) bool { return id == m.is.Node })
	before, elsewhere := tx, tx
	before.Index--
	elsewhere.Shard = 1 << 40
	for name, a := range map[string]accusation{
		"another checksum":    {Tx: tx, Sum: strings.Repeat("0", 32), Agree: others},
		"no majority":         {Tx: tx, Sum: sum.Sum, Agree: others[:1]},
		"one twice":           {Tx: tx, Sum: sum.Sum, Agree: []holdfast.NodeID{others[0], others[0]}},
		"itself":              {Tx: tx, Sum: sum.Sum, Agree: []holdfast.NodeID{others[0], m.is.Node}},
		"strangers":           {Tx: tx, Sum: sum.Sum, Agree: []holdfast.NodeID{7, 8, 9}},
		"it can be read":      {Tx: tx, Unreadable: "a damaged block", Agree: others},
		"another transaction": {Tx: before, Sum: sum.Sum, Agree: others},
		"another shard":       {Tx: elsewhere, Sum: sum.Sum, Agree: others},
	} {
		if err := c.nodes[leader].tables.member.compared.accuse(ctx, m.is.Node, a); err == nil {
			t.Errorf("%s: got no error; want it refused", name)
		}
	}
	c.goOn()
}

// A node of no cluster has nothing to compare; a round that isn't known is refused; another site's page
// can't begin one.
func TestCompareOverHTTP(t *testing.T) {
	n := open(t, tablesConfig(t))
	get := func(method, path string, header ...string) int {
		t.Helper()
		r, err := http.NewRequest(method, "http://"+n.HTTPAddr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	for _, test := range []struct {
		method, path string
		header       []string
		want         int
	}{
		{"POST", "/compare", nil, 404}, {"GET", "/compare?round=5", nil, 404}, {"GET", "/compare", nil, 400},
		{"GET", "/compare?round=x", nil, 400},
		{"POST", "/compare", []string{"Origin", "http://evil.example", "Sec-Fetch-Site", "cross-site"}, 403},
	} {
		if got := get(test.method, test.path, test.header...); got != test.want {
			t.Errorf("%s %s: got %d; want %d", test.method, test.path, got, test.want)
		}
	}
}
