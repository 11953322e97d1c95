// Package catalog says what tables, streams and backups there are, which work on them is under way,
// and, of a cluster, which nodes it has.
//
// It is a state machine. Its state is a Contents, and what changes it is a Revision: Apply is a
// function of the two alone. A revision as records is its entry on disk. A Catalog saves revisions
// one after another through a Disk, and applies each when it is saved; the records of a catalog
// never share a batch with the items of a shard. In a cluster the records are the items of a shard
// of their own, which is replicated: one node commits, and each reads what was committed (Refresh).
//
// The types of the records are those that describe a table to requests: a Definition is what a
// table is created from, an Alteration changes it, a Description is what it is. The rules about
// them, and the messages of errors, are DynamoDB's; all are functions without side effects.
// docs/formats.md describes the form of the records.
//
// A Catalog may be used concurrently. Records in it are immutable: a change clones one. Errors are
// *holdfast.Error: Invalid, NotFound or Limit for a definition that isn't allowed, Corrupt if the
// records aren't what was written, Refused for a revision that was decided by contents that are no
// longer those of the cluster, and those of the Disk.
package catalog
