// Package shard holds the items of one shard on Pebble, and the log of their changes.
//
// A Store is the disk of a node: one Pebble database with all its shards, so that one sync serves all commits that
// wait, and a commit may span shards. A Shard is a range of a table's keys with its items, the entries of its indexes, its
// queue of expiring items and its log; a commit changes all of them in one batch, so they always agree. Beside the shards a
// store keeps records, small named values such as the catalog of tables, which a commit may change too.
//
// A commit goes through these steps (commit.go):
//
//  1. latch the stripes of its keys, in order;
//  2. read each item, and have the caller make of it what shall be: the conditions are decided here;
//  3. make the batch: differences of index entries, expiry, records;
//  4. under the shards' locks, in order of ID: give each shard's part its transaction ID, add the items and the log's
//     entries, and hand the batch to Pebble, which puts batches on disk in that order;
//  5. unlatch; wait for the sync; acknowledge.
//
// What isn't on disk is never shown. A reader that finds that its partition has a commit on the way waits for that
// commit's sync, so nobody sees what a crash could take back; the next writer of the key doesn't wait, since its own batch is
// behind that one on disk.
//
// The log keeps each change with its before- and after-image for Options.LogAge, and within Options.LogBytes (log.go says how
// an image is kept once). Trim, which the owner calls now and then, removes what is beyond that.
//
// When the disk is full, writes are refused with holdfast.Full and reads go on (space.go). A block whose checksum is wrong is
// holdfast.Corrupt, said in the log and never served; the rest of the shard is. Where Pebble itself can't go on, since its
// log or manifest can't be written, Options.Fatal is called, and the process ends unless that is set.
//
// A start compares the directory with its control file, which says which of Pebble's files there were and how far they were on disk
// (ledger.go keeps it, inspect.go compares). What no crash explains is Corrupt, and nothing is touched; Recover says what it
// would cost to go on, and does it.
//
// All methods may be called concurrently. Errors are *holdfast.Error: Corrupt, Full, Gone, Closed, Unavailable, Invalid for
// what the caller should know better, and Overloaded, with the context's error as cause, for a context that ended before
// anything was changed. What a Change or Decide returns comes back as it is.
package shard
