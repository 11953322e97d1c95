package config_test

import (
	"reflect"
	"strings"
	"testing"

	"holdfast/config"
)

const clusterFile = `cluster:
  name: shop
  node: 2
  members: [{id: 1, address: 127.0.0.1:7100}, {id: 2, address: 127.0.0.1:7101}, {id: 3, address: "[::1]:7100"}]
`

func TestCluster(t *testing.T) {
	c, err := config.Parse([]byte(clusterFile))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Cluster.Address(), "127.0.0.1:7101"; got != want {
		t.Errorf("got address %q; want that of the member, %q", got, want)
	}
	c.Cluster.Listen = "127.0.0.1:1"
	if got := c.Cluster.Address(); got != "127.0.0.1:1" {
		t.Errorf("got address %q; want listen's", got)
	}
}

// The example's section, whose settings are comments, has the defaults, and a second section in it has
// the addresses of "up --nodes 3".
func TestClusterOfTheExample(t *testing.T) {
	_, text, found := strings.Cut(string(config.Example), "\n#cluster:\n")
	text, _, end := strings.Cut(text, "\n\nhttp:")
	if !found || !end {
		t.Fatal("the example has no section of a cluster before that of HTTP")
	}
	text = strings.ReplaceAll("\n"+text, "\n#", "\n")
	got, err := config.Parse([]byte("cluster:\n" + text))
	if err != nil {
		t.Fatal(err)
	}
	want, err := config.Parse([]byte("cluster: {name: holdfast}"))
	if err != nil {
		t.Fatal(err)
	}
	want.Cluster.Seeds = []string{"127.0.0.1:7100", "127.0.0.1:7101", "127.0.0.1:7102"}
	if !reflect.DeepEqual(got.Cluster, want.Cluster) || !got.Cluster.Meets() {
		t.Errorf("got %+v; want %+v", *got.Cluster, *want.Cluster)
	}

	_, text, _ = strings.Cut(text, "\n  # node: ")
	text = "cluster:\n  name: holdfast\n  listen: 127.0.0.1:7100\n  node: " + strings.ReplaceAll(text, "\n  # ", "\n  ")
	if got, err = config.Parse([]byte(text)); err != nil {
		t.Fatal(err)
	}
	all, err := config.Default().Nodes(3, "127.0.0.1:7100")
	if err != nil {
		t.Fatal(err)
	}
	all[0].Cluster.Listen = "127.0.0.1:7100"
	if want := all[0].Cluster; !reflect.DeepEqual(got.Cluster, want) || want.Meets() {
		t.Errorf("got %+v; want %+v", *got.Cluster, *want)
	}
}

const meetingFile = `cluster:
  name: shop
  listen: "*:7100"
  advertise: node1.example:7100
  seeds: [node2.example:7100, "10.0.0.3:7100"]
  tls: {certificate: a.crt, ca: ca.crt}
`

func TestNodesThatMeet(t *testing.T) {
	c, err := config.Parse([]byte(meetingFile))
	if err != nil {
		t.Fatal(err)
	}
	if !c.Cluster.Meets() || c.Cluster.Expect != 3 || c.Cluster.Address() != ":7100" || !c.Cluster.TLS.On() {
		t.Errorf("got %+v; want three nodes that meet, and this one listening everywhere", *c.Cluster)
	}
	for text, want := range map[string][2]string{
		"{name: a}":                                   {"127.0.0.1:7100", "127.0.0.1:7100"},
		"{name: a, listen: '127.0.0.1:1'}":            {"127.0.0.1:1", "127.0.0.1:1"},
		"{name: a, advertise: '127.0.0.1:2'}":         {"127.0.0.1:2", "127.0.0.1:2"},
		"{name: a, expect: 1, listen: '127.0.0.2:3'}": {"127.0.0.2:3", "127.0.0.2:3"},
	} {
		c, err := config.Parse([]byte("cluster: " + text))
		if err != nil || c.Cluster.Listen != want[0] || c.Cluster.Advertise != want[1] {
			t.Errorf("%s: got %+v, %v; want %v", text, c.Cluster, err, want)
		}
	}
	const plain = "  tls: {certificate: a.crt, ca: ca.crt}\n"
	for _, test := range []struct{ from, to, want string }{
		{"name: shop", "name: ''", "cluster.name: "},
		{"name: shop", "name: shop\n  expect: 2", "cluster.expect: 2 nodes; a cluster has 1, 3 or 5"},
		{"*:7100", "10.0.0.1", "cluster.listen: "},
		{"*:7100", "10.0.0.1:0", "cluster.listen: \"10.0.0.1:0\": the others must know the port"},
		{"node1.example:7100", "'*:7100'", `cluster.advertise: "*:7100" is not an address`},
		{"node1.example:7100", "'0.0.0.0:7100'", "cluster.advertise: "},
		{"node1.example:7100", "'[::]:7100'", "cluster.advertise: "},
		{"node1.example:7100", "'10.0.0.1:0'", "cluster.advertise: "},
		{"10.0.0.3:7100", ":7100", "cluster.seeds[1]: "},
		{"10.0.0.3:7100", "10.0.0.3", "cluster.seeds[1]: "},
		{", ca: ca.crt", "", "cluster.tls: certificate and ca are both required"},
		{"certificate: a.crt", "key: a.key", "cluster.tls: certificate and ca are both required"},
		{plain, "", `cluster.listen: "*:7100" is not a loopback address`},
		{plain, "", `cluster.advertise: "node1.example:7100" is not a loopback address`},
		{plain, "", `cluster.seeds[1]: "10.0.0.3:7100" is not a loopback address`},
		{plain, "  node: 1\n", "node and members are for the nodes of"},
	} {
		text := strings.Replace(meetingFile, test.from, test.to, 1)
		if _, err := config.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s → %s: got %v; want %q", test.from, test.to, err, test.want)
		}
	}
}

func TestFaultsOfClusters(t *testing.T) {
	for _, test := range []struct{ from, to, want string }{
		{"name: shop", "name: my shop", "cluster.name: "},
		{"node: 2", "node: 4", "cluster.node: 4 is the ID of none"},
		{"node: 2", "node: 2\n  listen: 0.0.0.0:7100", "cluster.listen: "},
		{"127.0.0.1:7101", "10.0.0.1:7101",
			`cluster.members[1] "10.0.0.1:7101".address: "10.0.0.1:7101" is not a loopback`},
		{"127.0.0.1:7101", "localhost:7101", "is not a loopback"},
		{"127.0.0.1:7101", "127.0.0.1:7100", "cluster.members[0] has that address, too"},
		{"id: 3", "id: 1", "cluster.members[0] has the ID 1, too"},
		{"id: 3", "id: 0", `.id: 0 is not in [1, `},
		{", {id: 3, address: \"[::1]:7100\"}", "", "cluster.members: 2 members; a cluster has 1, 3 or 5"},
		{"cluster:", "tables: {listen: ''}\ncluster:", "cluster: needs tables"},
	} {
		text := strings.Replace(clusterFile, test.from, test.to, 1)
		if _, err := config.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s → %s: got %v; want %q", test.from, test.to, err, test.want)
		}
	}
}

func TestNodes(t *testing.T) {
	c := config.Default()
	c.Tables.Memory, c.Tables.Cache = 3<<30, 768<<20
	c.Tables.Data = "/d"
	c.Router = parseRouter(t, []byte("router: {pools: [{name: p, members: [127.0.0.1:1]}]}"))
	all, err := c.Nodes(3, "127.0.0.1:7100")
	if err != nil {
		t.Fatal(err)
	}
	members := []config.ClusterMember{{ID: 1, Address: "127.0.0.1:7100"}, {ID: 2, Address: "127.0.0.1:7101"},
		{ID: 3, Address: "127.0.0.1:7102"}}
	for i, want := range []struct{ tables, data, http string }{
		{"127.0.0.1:8000", "/d/1", "127.0.0.1:7070"},
		{"127.0.0.1:8001", "/d/2", "127.0.0.1:7071"},
		{"127.0.0.1:8002", "/d/3", "127.0.0.1:7072"},
	} {
		got := all[i]
		if got.Tables.Listen != want.tables || got.Tables.Data != want.data || got.HTTP.Listen != want.http {
			t.Errorf("node %d: got %s, %s, %s; want %+v", i+1, got.Tables.Listen, got.Tables.Data, got.HTTP.Listen,
				want)
		}
		if got.Tables.Memory != 1<<30 || got.Tables.Cache != 256<<20 {
			t.Errorf("node %d: got memory %v, cache %v; want a third", i+1, got.Tables.Memory, got.Tables.Cache)
		}
		if cl := got.Cluster; cl.Node != i+1 || cl.Name != "holdfast" || !reflect.DeepEqual(cl.Members, members) {
			t.Errorf("node %d: got %+v", i+1, cl)
		}
		if (got.Router != nil) != (i == 0) {
			t.Errorf("node %d: got router %v; want one at the first node alone", i+1, got.Router)
		}
	}
}

// Ports that are 0 stay so, a listener that is off stays off, and a node has the least memory that
// tables may have.
func TestNodesAtTheLimits(t *testing.T) {
	c := config.Default()
	c.Tables.Listen, c.HTTP.Listen, c.Tables.Memory, c.Tables.Cache = "127.0.0.1:0", "", 512<<20, 2<<20
	all, err := c.Nodes(5, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range all {
		if got.Tables.Listen != "127.0.0.1:0" || got.HTTP.Listen != "" || got.Tables.Memory != 256<<20 ||
			got.Tables.Cache != 1<<20 || got.Cluster.Members[4].Address != "127.0.0.1:0" {
			t.Errorf("got %+v, %+v", got.Tables, got.Cluster)
		}
	}
	c.Tables.Listen = "127.0.0.1:65534"
	if _, err := c.Nodes(3, "127.0.0.1:0"); err == nil ||
		!strings.Contains(err.Error(), "node 3 would have port 65536") {
		t.Errorf("got %v; want that there are no such ports", err)
	}
	c = config.Default()
	if _, err := c.Nodes(3, "10.0.0.1:7100"); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("got %v; want the address refused", err)
	}
	if _, err := c.Nodes(3, "127.0.0.1:8002"); err == nil ||
		!strings.Contains(err.Error(), `cluster.listen of node 1 is "127.0.0.1:8002"`) {
		t.Errorf("got %v; want two listeners on one address refused", err)
	}
	if _, err := c.Nodes(2, "127.0.0.1:7100"); err == nil || !strings.Contains(err.Error(), "1, 3 or 5") {
		t.Errorf("got %v; want two nodes refused", err)
	}
}
