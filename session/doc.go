// Package session keeps, on a node, what the clients of named sessions have seen, so that they
// needn't send tokens.
//
// A session may go from node to node. What a node keeps must then no longer be used there: the
// client has seen more elsewhere. So a session is bound to one node at a time, and
//
//  1. a node uses what it keeps of its sessions only while it has a lease, which the leading node of
//     the cluster gives it for Lease, and which it renews while it keeps sessions;
//  2. a node that doesn't know a session claims it: before the request is executed, the leading node
//     has each other node forget the session, or waits until that node's lease has ended, and then
//     confirms with a majority that it still leads;
//  3. a node whose lease has ended forgets all sessions before it has another;
//  4. a leading node grants no claim until all leases of the leading nodes before it have ended;
//  5. an answer is sent if the session is still bound to the node, with what the answer has shown;
//     otherwise once it is claimed again, and this node has forgotten it, too.
//
// The fourth holds since a lease begins when it was asked for, and the leading node that gives it
// confirms afterwards that it leads: the next one is elected later. The fifth is for clients that use
// a session through several nodes at the same time:
//
//  1. node A claims the session, and reads;
//  2. node B claims it, has A forget it, and reads what is as new;
//  3. a write is acknowledged to another client;
//  4. A, whose read was slow, shows that write;
//  5. the client asks B, which knows the session as of step 2.
//
// By the claim of A in step 4, B forgets the session before the client can ask it.
//
// Nothing here says anything about shards: what a node keeps of a session is a token, and shards that
// it lacks are read consistently. Package dynamodb does that.
//
// A Keeper and a Grants may be used concurrently. The clocks of nodes may differ, but must run at the
// same rate, within a tenth, and go on while a process is stopped.
package session
