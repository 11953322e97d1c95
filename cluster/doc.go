// Package cluster is what a node knows for good of the cluster that it belongs to: its identity, a
// file in its data directory, and the rules that follow from it, which directories may start as a
// cluster's, and which leaderships a node hands over.
//
// # The identity
//
// A node's identity is its directory's, not its configuration's: the cluster's random ID, the
// node's own ID, the IDs of all members and the identity of the store that lies beside it. It is
// written once, when the cluster is formed, and never changed. Why it matters: a replica has
// promised its group what it has on disk. A node that came back without its disk, and took part as
// if it had promised nothing, could vote twice in a term, and help to elect a leader that lacks
// acknowledged writes. So a directory that is empty while another of the cluster's has an identity
// is refused.
//
// # Forming a cluster
//
// The directories of all nodes get their identities in two steps, so that a crash at any time leaves
// what the next start can tell from an emptied directory:
//
//  1. Prepare writes each directory's identity as cluster.forming, synced, and the stores are made.
//  2. Commit renames each to cluster.json, synced.
//
// No node takes part in any group before all directories are through step 2. So as long as no
// directory has a cluster.json, nothing was ever promised, and the cluster can be formed from the
// beginning; and as soon as one has, every other must have its identity, in one file or the other.
// Plan decides by these rules.
//
// Nodes in processes of their own take the same two steps, each for its own directory. They first draw
// an incarnation (cluster.incarnation, synced), by which the others know them, and then meet (rpc.Meet).
// A node prepares when it knows all, says so, and commits when it knows that all have prepared. The
// identity then also has their addresses and incarnations. An emptied directory gets another
// incarnation, by which the others refuse it. Clean removes the file once the identity is there.
//
// # Errors
//
// Errors are Corrupt if an identity isn't what was written, Invalid if directories may not start
// as a cluster, and those of the file system. Nothing is ever written over an identity, damaged or
// not. The functions may be called concurrently for different directories.
package cluster
