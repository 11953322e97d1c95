// Package upstream sends requests to memcached servers and returns each answer to its receiver.
//
// An Upstream is a server: its address, how it is treated, and what is known of its state. Each
// event loop has a Lane, with links of its own to each upstream: connections that are made when
// there is something to send. Requests go over a link, and answers come, in one order. All that one
// round of the loop has for one upstream is sent with one write, and consecutive gets in it as one
// line.
//
// An upstream that fails is down: it gets no requests until a probe finds it well. One that has a
// journal has an Outage, the record of what it misses, and serves nothing until the keys in it are
// deleted on it. Owed is the deletes that an upstream refused while it was up.
//
// The package knows neither pools nor routes: a Watcher is called when an upstream goes down or
// comes back, and a Marker keeps a mark on it. An answer that can't be one to its request breaks
// the connection, since nothing after it could be trusted: see conn.read.
//
// Failures of requests are results and not errors: see Result. A Lane is used with its lock held; a
// Set isn't safe for concurrent use; the methods of Upstream, Outage and Owed may be called on any
// goroutine. Locks are taken in this order: a lane's, Upstream.mu, Outage.mu, the journal's.
// Nothing is locked while Owed.mu is held.
package upstream
