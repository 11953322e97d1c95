// Package index keeps the global indexes of tables: each is a follower of its table's changes.
//
// A global index has shards of its own, which split the hashes of its own keys, so that a query
// asks one of them. Their items are the entries of the index: an entry has the key and the
// attributes that item.Index.Entry gives it. They follow the changes of the table's shards, the
// sources, a few milliseconds behind them.
//
// One goroutine for each source takes its changes to all indexes of the table (source.go). It waits
// for a millisecond, so that the changes of several syncs share its steps, or until a query waits. It
// reads the durable changes, from memory where they are recent, and makes puts and deletes of entries
// of them (round.go), which it submits to the shards of the index with shard.Follow. Each shard of an
// index keeps in the same batch up to which transaction it has applied the changes of each source,
// so that each change is applied once: what a crash takes back, since nothing here is synced, is
// read and applied again, to the shards that lost it and to no others.
//
// If an entry moves to another shard of its index, it is put there before it is deleted where it
// was. So a query may find it in both places for a moment, and never in none.
//
// An index of a table that has items already is filled by the same goroutines (link.go), in order
// of the items' keys, beside the changes of the items that are in it already. A restart continues.
//
// A caller
//
//   - opens the shards of the indexes, with a shard.Schema whose Of is the index, and calls Start,
//     before it serves requests, and before the first shard.Store.Trim, which keeps what followers
//     need once they are registered;
//   - calls Add for an index that is created, waits for Filled, and then serves queries of it;
//   - calls Mark before each later trim;
//   - calls Wait before each query of an index, and then reads the one shard that Shard returns;
//   - calls Remove, and then drops the shards, for an index that is deleted;
//   - calls Stop before it closes the store, and before it drops a source.
//
// All methods may be called concurrently. Errors are of package shard.
package index
