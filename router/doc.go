// Package router takes batches of requests to pools of caches and brings the answers back in order.
//
// A Router is an mc.Handler. Each event loop has a lane of it: connections to the members (links),
// batches on their way (flights), and nothing that another loop touches but by the lane's lock. A
// request on its way is a query; a route takes it to a member or to further routes, and its answer
// comes back exactly once. What one round of the loop has for one member leaves in one write, and
// consecutive gets in it as one line.
//
// The tree of routes is made from Options and replaced as a whole by Reload: a batch ends with the
// tree that it began with, and members that stand in both keep their connections.
//
// Sharded pools, the hashes and the other routes follow mcrouter (its wiki, "List of Route
// Handles") and twemproxy; replicated.go says what a replicated pool promises beyond both.
package router
