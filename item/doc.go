// Package item has the contents of tables: values, items, keys, and the expressions over them. It
// is pure: it uses no disk, clock, socket or goroutine. The rules and the messages of errors are
// DynamoDB's (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/).
//
// A Value is one of ten types; an Item is a list of attributes sorted by name. Numbers are decimals
// of up to 38 digits, kept as canonical text. A Key is the bytes under which an item is kept: the
// hash of its partition key, then its key attributes in a form whose byte order is their order; a
// KeySchema makes it. An Index makes the entry of an item in a secondary index, and an IndexKey the
// Range of keys that a query asks for, of a table or an index. Append and Decode are an item's form
// on disk.
//
// A Scope parses the expressions of one request: a Condition (conditions and filters), a
// KeyCondition, a Projection, an Update. The same are made from a tree of Terms, for other
// languages than expressions, and from the legacy parameters (Expected, ScanFilter,
// AttributeUpdates …). They are immutable, and may be used concurrently.
//
// Values, items and parsed expressions are shared, not copied: code that changes an item clones it
// first.
//
// Errors are *holdfast.Error of kind Invalid with DynamoDB's own message, or of kind Corrupt from
// Decode and KeySchema.Decode.
package item
