// Package rpc carries messages and requests between the nodes of a cluster, over TCP or mutual TLS.
//
// A Transport is one node's end. It listens, and keeps one connection to each of its peers, which
// it dials itself. That connection carries this node's messages and requests, and the peer's
// answers to those; the peer's own messages and requests come on the connection that the peer has
// dialled. So two nodes that dial each other at once have two connections, one for each direction
// of dialling, as always. A peer that dials again replaces its former connection, which is assumed
// to be dead.
//
// # Messages and requests
//
// A message (Transport.Send) may be lost: it is dropped and counted if there is no connection, if
// the queue is full, and if the connection breaks before it has arrived. Messages of one connection
// arrive once, whole, and in order. That is what Raft needs, which repeats what it misses.
//
// A request (Transport.Call) waits for its answer until its context ends. Errors of the other node
// arrive with their holdfast.Kind. An error of Kind Refused, Overloaded, NotFound, Invalid or
// Closed that this package makes says that nothing was changed, since the other node has not
// carried the request out; Unavailable says that the outcome is unknown, and Limit that the request
// was carried out, but has an answer that is too long. Nothing is ever sent twice.
//
// Neither of them blocks on a socket. One goroutine per connection writes everything that was
// queued since its last write with one system call, since many Raft groups share a connection.
//
// A stream (Transport.Stream) is many parts in order, such as a snapshot of a shard, and one answer.
// It has a connection of its own, so that messages and requests never wait behind its parts. Unlike
// them, Stream blocks: the sender waits for the receiver, and one part is in memory at each end.
//
// # Who may connect
//
// Without TLS, a Transport listens on and dials loopback addresses only; Listen refuses others.
// With TLS, both ends need a certificate of the cluster's CA (TLS.CAs) that hasn't expired. If a
// peer has a name (Peer.Name), its certificate must also have this name among its subject
// alternative names; without one, any certificate of that CA will do, so the CA must then be the
// cluster's own. Both ends check this, and again with each new connection, so that certificates can
// be replaced.
//
// Then both ends exchange a hello, which names the protocol's version, the cluster, the sender and
// the receiver. A node accepts hellos from its peers only. docs/formats.md has the bytes of hellos
// and frames.
//
// Each frame names cluster, sender and receiver again, and has a CRC-32C. A connection with a frame
// that is too long, damaged, misdirected or out of place is dropped and counted (Fault); a frame's
// length is checked before memory is taken for it, and memory is taken as its bytes arrive.
//
// # Forming a cluster
//
// Nodes that are to form a new cluster know its name, how many they are, and some addresses, but no
// IDs. Meet has them agree on who they are, and so on IDs (meeting.go): each dials all that it hears
// of, and both tell each other who they know. A node that knows all is prepared: it has that on its
// disk and takes part with nobody else. Once each is known to be prepared, Meet returns. A node that
// is killed on the way meets the others again; from those that are ahead, whose Transport has
// Options.Formed, it hears what was formed. A node is known by its incarnation, which is on its disk:
// one that has lost it, and any other stranger, is refused with who was found instead.
//
// # Limits
//
// Every queue, wait and number is bounded: see limits. A peer that sends nothing, not even the
// pings of an idle connection, for 1.4 s is taken for dead, and so is one that doesn't read. Then the
// connection is dropped, and dialled again with growing, random pauses of 1 s at most.
//
// All methods may be called concurrently.
package rpc
