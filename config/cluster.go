package config

import (
	"cmp"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"holdfast/route"
)

// Cluster is the node's part in a cluster, whose nodes have the same tables. Nodes in processes of
// their own meet at the first start, and agree on their IDs: Meets. The nodes of a cluster that one
// process has formed have Node and Members instead.
type Cluster struct {
	Name   string `yaml:"name"`
	Listen string `yaml:"listen"` // HOST:PORT, where the other nodes connect

	Advertise string     `yaml:"advertise"` // HOST:PORT, at which they reach this node
	Seeds     []string   `yaml:"seeds"`     // HOST:PORT of nodes to meet at the first start
	Expect    int        `yaml:"expect"`    // number of nodes of the cluster
	TLS       ClusterTLS `yaml:"tls"`

	CompareEvery time.Duration `yaml:"compare_every"` // how often replicas are compared; 0: only when asked

	Node    int             `yaml:"node"` // this node's ID: that of one of Members
	Members []ClusterMember `yaml:"members"`
}

// ClusterTLS is how nodes prove to each other who they are.
type ClusterTLS struct {
	Certificate string `yaml:"certificate"` // PEM file of this node, the chain in order
	Key         string `yaml:"key"`         // PEM file; "" if Certificate has the key too
	CA          string `yaml:"ca"`          // PEM file: the authorities of the nodes' certificates
}

// On reports whether there is TLS.
func (t *ClusterTLS) On() bool { return *t != ClusterTLS{} }

// A ClusterMember is a node of the cluster.
type ClusterMember struct {
	ID      int    `yaml:"id"` // for good
	Address string `yaml:"address"`
}

// ClusterSizes are how many nodes a cluster may have.
var ClusterSizes = []int{1, 3, 5}

const (
	maxNodeID       = 1 << 20
	maxAddressBytes = 255 // of a node, as others know it

	// The name of clusters of Config.Nodes.
	defaultClusterName = "holdfast"

	defaultClusterListen = "127.0.0.1:7100"
	defaultExpect        = 3

	defaultCompareEvery = time.Hour
	minCompareEvery     = time.Second
)

var clusterName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// Meets reports whether the node meets the others at its first start.
func (c *Cluster) Meets() bool { return c.Node == 0 && len(c.Members) == 0 }

func (c *Cluster) setDefaults() {
	if !c.Meets() {
		return
	}
	c.Listen = cmp.Or(c.Listen, c.Advertise, defaultClusterListen)
	c.Advertise = cmp.Or(c.Advertise, c.Listen)
	c.Expect = cmp.Or(c.Expect, defaultExpect)
}

// Address returns where this node listens for the others, as an argument of net.Listen.
func (c *Cluster) Address() string {
	if c.Listen != "" {
		return everyInterface(c.Listen)
	}
	for _, m := range c.Members {
		if m.ID == c.Node {
			return m.Address
		}
	}
	return ""
}

func (c *Cluster) check(f *route.Faults, tables bool) {
	if !tables {
		f.Add("cluster", "needs tables, which tables.listen switches off")
	}
	if !clusterName.MatchString(c.Name) {
		f.Add("cluster.name", "%q is not 1 to 64 letters, digits and . _ -", c.Name)
	}
	if c.CompareEvery != 0 && c.CompareEvery < minCompareEvery {
		f.Add("cluster.compare_every", "%v is less than %v; 0 is never", c.CompareEvery, minCompareEvery)
	}
	if c.Meets() {
		c.checkMeeting(f)
		return
	}
	if c.Listen != "" {
		if err := checkLoopback(c.Listen); err != nil {
			f.Add("cluster.listen", "%v", err)
		}
	}
	if !slices.Contains(ClusterSizes, len(c.Members)) {
		f.Add("cluster.members", "%d members; a cluster has 1, 3 or 5", len(c.Members))
	}
	if c.Advertise != "" || len(c.Seeds) > 0 || c.Expect != 0 || c.TLS.On() {
		f.Add("cluster", "node and members are for the nodes of \"up --nodes\"; advertise, seeds, expect and tls for "+
			"those of \"holdfast node\"")
	}
	c.checkMembers(f)
}

// checkMeeting checks the section of a node that meets the others.
func (c *Cluster) checkMeeting(f *route.Faults) {
	if !slices.Contains(ClusterSizes, c.Expect) {
		f.Add("cluster.expect", "%d nodes; a cluster has 1, 3 or 5", c.Expect)
	}
	if c.TLS.On() && (c.TLS.Certificate == "" || c.TLS.CA == "") {
		f.Add("cluster.tls", "certificate and ca are both required")
	}
	if err := checkHostPort(c.Listen); err != nil {
		f.Add("cluster.listen", "%v", err)
	} else if freePort(c.Listen) {
		f.Add("cluster.listen", "%q: the others must know the port", c.Listen)
	} else if !c.TLS.On() {
		if err := checkLoopback(c.Listen); err != nil {
			f.Add("cluster.listen", "%v", err)
		}
	}
	if err := c.checkReachable(c.Advertise); err != nil {
		f.Add("cluster.advertise", "%v", err)
	}
	for i, seed := range c.Seeds {
		if err := c.checkReachable(seed); err != nil {
			f.Add(fmt.Sprintf("cluster.seeds[%d]", i), "%v", err)
		}
	}
}

// checkReachable returns an error unless other nodes can connect to an address, by its form.
func (c *Cluster) checkReachable(address string) error {
	if !c.TLS.On() {
		if err := checkLoopback(address); err != nil {
			return err
		}
	} else if err := checkHostPort(address); err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(address)
	if ip := net.ParseIP(host); host == "" || host == "*" || ip != nil && ip.IsUnspecified() || freePort(address) ||
		len(address) > maxAddressBytes {
		return fmt.Errorf("%q is not an address, such as 10.0.0.1:7100, at which other nodes reach one", address)
	}
	return nil
}

func (c *Cluster) checkMembers(f *route.Faults) {
	ids, addresses := map[int]int{}, map[string]int{}
	for i, m := range c.Members {
		path := fmt.Sprintf("cluster.members[%d] %q", i, m.Address)
		f.Within(path+".id", int64(m.ID), 1, maxNodeID)
		if err := checkLoopback(m.Address); err != nil {
			f.Add(path+".address", "%v", err)
		}
		if first, again := ids[m.ID]; again {
			f.Add(path+".id", "cluster.members[%d] has the ID %d, too", first, m.ID)
		}
		if first, again := addresses[m.Address]; again && !freePort(m.Address) {
			f.Add(path+".address", "cluster.members[%d] has that address, too", first)
		}
		ids[m.ID], addresses[m.Address] = i, i
	}
	if _, ok := ids[c.Node]; !ok {
		f.Add("cluster.node", "%d is the ID of none of cluster.members", c.Node)
	}
}

// checkLoopback returns an error unless address is one of this machine's alone: what nodes send to
// each other isn't encrypted.
func checkLoopback(address string) error {
	if err := checkHostPort(address); err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(address)
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf(
			"%q is not a loopback address such as 127.0.0.1:7100: without cluster.tls nodes don't encrypt "+
				"what they send, so all run on one machine", address)
	}
	return nil
}

func freePort(address string) bool {
	_, port, err := net.SplitHostPort(address)
	return err == nil && port == "0"
}

// Nodes returns the configurations of nodes 1 to n of a cluster that runs in one process. The first
// listens where c says, the others on the ports that follow, unless the port is 0; listen is where
// the first listens for the other nodes. Each has a directory below tables.data, named by its ID,
// and its part of tables.memory. The cache and the router are the first node's. The error is a
// route.Faults.
func (c Config) Nodes(n int, listen string) ([]Config, error) {
	var f route.Faults
	members, every := make([]ClusterMember, n), defaultCompareEvery
	if c.Cluster != nil {
		every = c.Cluster.CompareEvery
	}
	for i := range members {
		members[i] = ClusterMember{i + 1, nthAddress(&f, "cluster.listen", listen, i)}
	}
	all := make([]Config, n)
	for i := range all {
		next := c
		next.Cluster = &Cluster{Name: cmp.Or(c.name(), defaultClusterName), Node: i + 1, Members: members,
			CompareEvery: every}
		next.Tables.Listen = nthAddress(&f, "tables.listen", c.Tables.Listen, i)
		next.Tables.Data = filepath.Join(c.Tables.Data, strconv.Itoa(i+1))
		next.Tables.Memory = max(c.Tables.Memory/Bytes(n), minTablesMemory)
		next.Tables.Cache = c.Tables.Cache / Bytes(n)
		if next.Tables.Cache > 0 {
			next.Tables.Cache = max(next.Tables.Cache, minTablesCache)
		}
		if c.HTTP.Listen != "" {
			next.HTTP.Listen = nthAddress(&f, "http.listen", c.HTTP.Listen, i)
		}
		if i > 0 {
			next.Router = nil
		}
		all[i] = next
	}
	if len(f) > 0 {
		return nil, f
	}
	for i := range all {
		if faults := all[i].faults(); len(faults) > 0 {
			return nil, faults
		}
	}
	if checkSockets(&f, all); len(f) > 0 {
		return nil, f
	}
	return all, nil
}

func (c *Config) name() string {
	if c.Cluster == nil {
		return ""
	}
	return c.Cluster.Name
}

// nthAddress returns address with its port raised by i, unless that is 0.
func nthAddress(f *route.Faults, path, address string, i int) string {
	host, port, err := net.SplitHostPort(address)
	n, errPort := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || errPort != nil || n == 0:
		return address // the check reports what is wrong
	case n+uint64(i) > 65535:
		f.Add(path, "%q: node %d would have port %d", address, i+1, n+uint64(i))
	}
	return net.JoinHostPort(host, strconv.FormatUint(n+uint64(i), 10))
}
