// Package router sends batches of requests to pools of caches and returns the answers in order.
//
// A Router is an mc.Handler. Each event loop has a lane of it: links to the upstreams (an
// upstream.Lane), batches in flight (flights), and no state that another loop uses without the
// lane's lock. A request in flight is a query. Forwarders send it to an upstream or to further
// forwarders, and its answer comes back exactly once.
//
// The tree of forwarders is built from route.Options and replaced as a whole by Reload. A batch
// ends with the tree that it began with, and upstreams that are in both trees keep their
// connections.
//
// Sharded pools, the hashes and the other routes follow mcrouter (its wiki, "List of Route
// Handles") and twemproxy; replicated.go describes what a replicated pool promises beyond both.
package router
