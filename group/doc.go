// Package group replicates shards. The replicas of a shard, one on each of some nodes, are a Raft
// group: its leader decides entries, the group commits them once a majority has them on disk, and
// each replica applies them to its shard in the order of the log.
//
// Raft itself is go.etcd.io/raft/v3. From the inside out:
//
//	core      one replica, pure: what happens goes in, effects come out
//	storage   the log and state of a replica, as Raft reads it
//	Replica   what the shard and readers call
//	Host      runs the replicas of a node: goroutines, queues, their bounds
//
// The package has no clock, no socket and no disk of its own. Whoever owns the clock calls
// Host.Tick; messages leave by Options.Send and come in by Host.Receive; logs are kept by package
// shard, in the same store as the shards.
//
// A replica runs from Host.Start to Host.Stop, which the owner of its shard calls before it drops
// the shard.
//
// # Order on disk
//
// Entries are on disk before anything says so to another member, or to whoever proposed them. An
// entry is applied once it is committed and on this disk. Applying isn't synced: what it writes is
// behind its entry in the log of the store, so after a crash either both are there, or the entry is
// applied again. For the same reason an entry can be removed as soon as it is applied.
//
// # Members
//
// The members change by entries of the log, one change at a time: see Change. A learner has the
// log, and counts for no majority; a replica that is new on its node begins as one. The members are
// on disk beside what the shard has applied, and are those as of that, or of later entries: an
// entry that they have in them already is passed over. A node that was removed is never a member
// again.
//
// # Acknowledgements
//
// A proposal says what is waited for before it is acknowledged: this replica's disk, the commit, or
// also the disks of several or of all followers that vote (holdfast.Acknowledge). What is
// acknowledged on this replica's disk alone may be lost with the leadership, and is applied no
// sooner than any other entry. What can't be met as things are is refused.
//
// # Sleep
//
// A group that has had nothing to do for a while sleeps: no replica of it ticks or sends anything.
// Which nodes are there is found out once for all groups of a node, by beats between hosts; a group
// wakes when something is asked of it, and when the node of its leader is silent: see sleeping.
//
// # Snapshots
//
// An entry stays in the log of each member until all members that are up have it on disk, or the
// log has Options.MaxLogBytes: see retention. A member that needs what the log no longer has gets a
// snapshot of the shard: it leaves by Options.Stream and comes in by Host.ReceiveSnapshot, in parts.
// When all are there and checked, Raft gets the message that names the snapshot, and the shard and
// the log are replaced in one step: see installs.
//
// # Errors
//
// The methods return errors with a holdfast.Kind. NotLeader, Refused and Overloaded say that
// nothing was changed and nothing will be; Unavailable that the outcome isn't known.
package group
