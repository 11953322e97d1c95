package config

import (
	"fmt"
	"net"

	"holdfast/route"
)

// A socket is an address on which a node of Config.Nodes listens.
type socket struct {
	setting string
	node    int
	address string // HOST:PORT
}

// checkSockets adds a fault for the first two sockets of nodes in one process that have one address.
// A configuration names the first node's ports alone, so that it is easily missed that two ranges of
// ports overlap.
func checkSockets(f *route.Faults, all []Config) {
	sockets := socketsOf(all)
	for i, second := range sockets {
		for _, first := range sockets[:i] {
			if overlap(first.address, second.address) {
				f.Add(second.setting,
					"node %d would listen on %q, and %s of node %d is %q: choose another address for one "+
						"of these settings (each node takes the port after the one of the node before)",
					second.node, second.address, first.setting, first.node, first.address)
				return
			}
		}
	}
}

// socketsOf returns the sockets of all nodes. The cache and the router are the first node's.
func socketsOf(all []Config) (sockets []socket) {
	add := func(setting string, node int, address string) {
		if address != "" {
			sockets = append(sockets, socket{setting, node, address})
		}
	}
	clients := func(setting string, l Listener) {
		if network, address := l.Network(); network == "tcp" {
			add(setting, 1, address)
		}
	}
	for i, l := range all[0].Cache.Listen {
		clients(fmt.Sprintf("cache.listen[%d]", i), l)
	}
	if r := all[0].Router; r != nil {
		for i, l := range r.Listen {
			clients(fmt.Sprintf("router.listen[%d]", i), l.Listener)
		}
	}
	for i := range all {
		c := &all[i]
		add("http.listen", i+1, c.HTTP.Address())
		add("tables.listen", i+1, c.Tables.Address())
		add("cluster.listen", i+1, c.Cluster.Address())
	}
	return sockets
}

// overlap says whether two sockets can't have these addresses at the same time. Port 0 is a free one.
func overlap(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || freePort(a) {
		return false
	}
	return everyHost(hostA) || everyHost(hostB) || plainHost(hostA) == plainHost(hostB)
}

// everyHost says whether a host is that of a socket on all addresses. Go takes 0.0.0.0 for those of
// IPv6, too.
func everyHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// plainHost returns one text for an address that can be written in several ways. Other names than
// localhost aren't looked up.
func plainHost(host string) string {
	if host == "localhost" {
		return "127.0.0.1"
	}
	if ip := net.ParseIP(host); ip != nil {
		return ip.String()
	}
	return host
}
