// Package table serves DynamoDB's tables: it decides which shard serves a request, and what the
// request means for a table with its keys, indexes, limits and throughput. The rules, and the
// messages of errors, are DynamoDB's.
//
// Which tables there are is in a catalog.Catalog. A Store has for each table the shards that split
// the range of its keys' hashes. Items are read and written through the shard of their key. The
// entries of an index are in the shard of their item, so that they always agree with it; a query of
// a global index reads all shards and merges their entries.
//
// Work that takes long runs in the background: filling indexes that were added, deleting expired
// items, trimming logs, removing the shards of dropped tables. It is resumed after a restart.
//
// A cluster has a replica of each shard on every node. All nodes have the tables, as the catalog
// says, and serve eventually consistent reads; one of them, the active node, does everything else.
// Lead and Yield begin and end that. On the others such requests are NotLeader, and nothing was
// changed.
//
// All methods may be called concurrently. Errors are *holdfast.Error, *ConditionError or
// *CanceledError; their messages are DynamoDB's.
package table
