package node

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/cluster"
	"holdfast/config"
)

// nodesConfig returns the configurations of n nodes on free ports, with their directories in a
// directory of the test's.
func nodesConfig(t *testing.T, n int) []config.Config {
	t.Helper()
	all, err := tablesConfig(t).Nodes(n, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// form forms a cluster, or finds one.
func form(t *testing.T, all []config.Config) error {
	t.Helper()
	lock, err := formCluster(all, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	return nil
}

// identities returns those of the directories.
func identities(t *testing.T, all []config.Config) []*cluster.Identity {
	t.Helper()
	is := make([]*cluster.Identity, len(all))
	for i := range all {
		var err error
		if is[i], err = cluster.Read(vfs.Default, all[i].Tables.Data); err != nil {
			t.Fatal(err)
		}
	}
	return is
}

func TestClustersAreFormedOnce(t *testing.T) {
	all := nodesConfig(t, 3)
	if err := form(t, all); err != nil {
		t.Fatal(err)
	}
	first := identities(t, all)
	stores := map[[16]byte]bool{}
	for i, is := range first {
		if is.Node != holdfast.NodeID(i+1) || is.Cluster != first[0].Cluster || is.Name != "holdfast" ||
			!reflect.DeepEqual(is.Members, []holdfast.NodeID{1, 2, 3}) {
			t.Errorf("node %d: got %+v", i+1, is)
		}
		stores[is.Store] = true
	}
	if len(stores) != 3 || stores[[16]byte{}] {
		t.Errorf("got the stores %v; want one for each node", stores)
	}
	if err := form(t, all); err != nil {
		t.Fatal(err)
	}
	if again := identities(t, all); !reflect.DeepEqual(again, first) {
		t.Errorf("a second start: got %+v; want %+v", again, first)
	}
}

// A start is killed after each step: the next one forms the cluster, or finishes it.
func TestFormationsThatWereKilled(t *testing.T) {
	all := nodesConfig(t, 3)
	if err := form(t, all); err != nil {
		t.Fatal(err)
	}
	first := identities(t, all)
	back := func(i int) { // node i's directory is as before its Commit
		t.Helper()
		dir := all[i].Tables.Data
		if err := os.Rename(filepath.Join(dir, "cluster.json"), filepath.Join(dir, "cluster.forming")); err != nil {
			t.Fatal(err)
		}
	}
	back(1)
	back(2)
	if err := form(t, all); err != nil {
		t.Fatal(err)
	}
	if again := identities(t, all); !reflect.DeepEqual(again, first) {
		t.Errorf("killed between two commits: got %+v; want %+v", again, first)
	}
	back(0)
	back(1)
	back(2)
	if err := os.RemoveAll(all[2].Tables.Data); err != nil {
		t.Fatal(err)
	}
	if err := form(t, all); err != nil {
		t.Fatal(err)
	}
	again := identities(t, all)
	if again[0].Cluster == first[0].Cluster || again[2].Cluster != again[0].Cluster {
		t.Errorf("killed before the first commit: got %+v; want a new cluster", again)
	}
	if again[0].Store != first[0].Store || again[2].Store == first[2].Store {
		t.Errorf("killed before the first commit: got %+v; want the stores that are there", again)
	}
}

// refused expects an error of a kind that has a text, and that nothing was changed.
func refused(t *testing.T, what string, err error, want string) {
	t.Helper()
	if !errors.Is(err, holdfast.Invalid) || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: got %v; want Invalid and %q", what, err, want)
	}
}

func TestDirectoriesThatAreNoCluster(t *testing.T) {
	all := nodesConfig(t, 3)
	if err := form(t, all); err != nil {
		t.Fatal(err)
	}
	data := filepath.Dir(all[0].Tables.Data)
	one, err := tablesConfig(t).Nodes(1, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	one[0].Tables.Data = all[0].Tables.Data
	refused(t, "another number of nodes", form(t, one), "--nodes 3")

	aside := data + "-aside"
	if err := os.Rename(all[1].Tables.Data, aside); err != nil {
		t.Fatal(err)
	}
	refused(t, "a directory is missing", form(t, all), all[1].Tables.Data+" is empty or missing")
	if _, err := os.Stat(all[1].Tables.Data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v; want no directory that wasn't there", err)
	}
	if err := os.Mkdir(all[1].Tables.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	refused(t, "a directory was emptied", form(t, all), all[1].Tables.Data+" is empty or missing")

	// Only the identity is left of what was in the directory.
	text, err := os.ReadFile(filepath.Join(aside, "cluster.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(all[1].Tables.Data, "cluster.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	want := all[1].Tables.Data + ": the tables of node 2 of the 3 nodes of cluster \"holdfast\""
	refused(t, "an identity alone", form(t, all), want)
	log := slog.New(slog.DiscardHandler)
	_, err = Open(Options{Config: all[1], Log: log})
	refused(t, "an identity alone, as a process", err, want)
	_, err = CheckData(t.Context(), all[1].Tables.Data, log, func(string) {})
	refused(t, "an identity alone, checked", err, want)

	// The tables are there, and not the identity.
	if err := os.RemoveAll(all[1].Tables.Data); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(aside, all[1].Tables.Data); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(all[1].Tables.Data, "cluster.json")); err != nil {
		t.Fatal(err)
	}
	want = all[1].Tables.Data + " has tables, but cluster.json, a node's identity, is missing"
	refused(t, "tables alone", form(t, all), want)
	_, err = Open(Options{Config: all[1], Log: log})
	refused(t, "tables alone, as a process", err, want)

	// Commands for the directory above name the nodes' directories, though the first is missing.
	if err := os.RemoveAll(all[0].Tables.Data); err != nil {
		t.Fatal(err)
	}
	want = "\"holdfast table check " + all[2].Tables.Data + "\""
	_, err = CheckData(t.Context(), data, log, func(string) {})
	refused(t, "the directory above, checked", err, want)
}

// Tables of one node don't become a cluster's, nor the reverse.
func TestOneNodeAndClusters(t *testing.T) {
	c := tablesConfig(t)
	n := open(t, c)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	all, err := c.Nodes(3, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused(t, "tables of one node", form(t, all), c.Tables.Data+" holds the tables of a single node")

	all = nodesConfig(t, 3)
	if err := form(t, all); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		all[1].Tables.Data: "is the directory of node 2 of the 3 nodes",
		filepath.Dir(all[0].Tables.Data): "holds the directories of the nodes of a cluster: " +
			"start it with \"holdfast up --nodes 3",
	} {
		c.Tables.Data = dir
		_, err := Open(Options{Config: c, Log: slog.New(slog.DiscardHandler)})
		refused(t, "one node", err, want)
	}
	_, err = RecoverData(all[1].Tables.Data, true, slog.New(slog.DiscardHandler), func(string) {})
	refused(t, "a recovery", err, "which would lack what it has acknowledged to the others")
	c = all[1]
	c.Cluster = &config.Cluster{Name: "other", Node: 2, Members: c.Cluster.Members}
	_, err = Open(Options{Config: c, Log: slog.New(slog.DiscardHandler)})
	refused(t, "a node of another cluster", err, `cluster.name is "other"`)
	c.Tables.Data = filepath.Join(t.TempDir(), "new")
	_, err = Open(Options{Config: c, Log: slog.New(slog.DiscardHandler)})
	refused(t, "a new directory", err, "isn't the directory of a cluster's node")
}

// The stores of two nodes were exchanged, and their identities weren't.
func TestStoresThatWereExchanged(t *testing.T) {
	all := nodesConfig(t, 3)
	if err := form(t, all); err != nil {
		t.Fatal(err)
	}
	one, two := filepath.Join(all[0].Tables.Data, "cluster.json"), filepath.Join(all[1].Tables.Data, "cluster.json")
	for _, move := range [][2]string{{one, one + ".aside"}, {two, one}, {one + ".aside", two}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, "swapped", form(t, all), "put each directory back in its place")
	c := all[0]
	c.Cluster = &config.Cluster{Name: "holdfast", Node: 2, Members: c.Cluster.Members}
	if _, err := Open(Options{Config: c, Log: slog.New(slog.DiscardHandler)}); !errors.Is(err, holdfast.Corrupt) ||
		!strings.Contains(err.Error(), "the tables aren't those of node 2") {
		t.Errorf("got %v; want the store refused", err)
	}
}

func TestTwoProcessesFormNoCluster(t *testing.T) {
	all := nodesConfig(t, 3)
	lock, err := formCluster(all, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := form(t, all); !errors.Is(err, holdfast.Unavailable) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("got %v; want that another process uses the directory", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if err := form(t, all); err != nil {
		t.Error(err)
	}
}
