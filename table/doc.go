// Package table is tables: it decides which shard, and later which replica, answers a request, and what the request means for a
// table with its keys, indexes, limits and throughput. The rules and the words of errors are DynamoDB's.
//
// A Store has a catalog of tables in the records of a shard.Store, and for each table the shards that split the range of its
// keys' hashes. Items are read and written through the shard of their key; the entries of an index live in the shard of
// their item, so that they always agree with it, and a query of a global index asks all shards and merges.
//
// Beside the requests a Store does what takes its time in the background: it fills indexes that were added, deletes what
// has expired, trims logs, removes dropped tables. All of it goes on after a restart where it was.
//
// All methods may be called concurrently. Errors are *holdfast.Error, *ConditionError or *CanceledError; a message is what
// DynamoDB says in that case.
package table
