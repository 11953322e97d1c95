// Package shard keeps the items of shards on Pebble, and the log of their changes.
//
// A Store is the disk of a node: one Pebble database with all its shards, so that one sync serves
// all commits that wait. A Shard is a range of a table's keys with
// its items, the entries of its indexes, its queue of expiring items and its log; a commit changes
// all of them in one batch, so that they always agree. A commit over several shards is a transaction
// (transaction.go), which has an entry and a batch for each step in each shard, and a decision in the
// Ledger. Beside the shards a store keeps records, small named values such as the catalog of tables.
//
// A commit goes through these steps (commit.go):
//
//  1. latch the stripes of its keys, in order;
//  2. read each item, and let the caller's Change return what it becomes: conditions are decided
//     here;
//  3. make an entry for each shard (entry.go), which says what becomes of each item, and stage it
//     in a batch (apply.go): differences of index entries, expiry;
//  4. propose the entries to the log (single.go), which gives each its transaction ID under its
//     shard's sequencer.mu, in order of ID, has it applied in the batch, items and changes, and
//     submits the batch to Pebble, which puts batches on disk in that order;
//  5. unlatch; wait for the sync; acknowledge.
//
// In a shard that has a group of replicas, step 4 puts the entry in line for its place in the group's
// log, and step 5 waits until it is applied (group.go). What later commits of the items are decided by
// meanwhile is in the overlay (overlay.go).
//
// What an entry does depends on nothing but the shard's state and the entry, so that replicas which
// apply the same entries are equal, byte for byte.
//
// What isn't on disk is never returned. A reader that finds a commit of its partition in flight
// waits for that commit's sync, so that nobody sees what a crash could take back. The next writer
// of the key doesn't wait, since its own batch is behind that one on disk.
//
// Pebble keeps large values of changes apart from their keys (blobs.go).
//
// The log keeps each change with its before- and after-image for Options.LogAge, and within
// Options.LogBytes (log.go explains how an image is stored only once). Trim, which the owner calls
// now and then, removes older changes.
//
// A Snapshot is a shard's state as of one transaction, for a replica that a Receiver is at: all keys of
// the shard in chunks, which replace the state there at once (install.go).
//
// When the disk is full, writes are refused with holdfast.Full and reads go on (space.go). A block
// whose checksum is wrong is holdfast.Corrupt: it is logged and never served; the rest of the shard
// is. If Pebble itself can't go on, since its log or manifest can't be written, Options.Fatal is
// called, which by default ends the process.
//
// A start compares the directory with its control file, which lists Pebble's files and how far each
// was on disk (controlfile.go writes it, inspect.go compares). A difference that no crash explains
// is Corrupt, and nothing is touched; Recover reports what a recovery would drop, and does it.
//
// The state of a Store has an owner for each part: engine is the Pebble database, sequencer the
// order of a shard's transactions and how far they are durable, items and history what a shard has
// on disk, controlFile, space and reclaimer the directory's files and free space.
//
// All methods may be called concurrently. Errors are *holdfast.Error: Corrupt, Full, Gone, Closed,
// Unavailable, Invalid for a fault of the caller, and Overloaded, with the context's error as
// cause, for a context that ended before anything was changed. The errors of a Change are
// returned as they are.
package shard
