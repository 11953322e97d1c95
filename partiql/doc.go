// Package partiql parses DynamoDB's PartiQL statements, and returns what each means in the terms of
// package item: SELECT, INSERT, UPDATE, DELETE, and EXISTS as the condition of a transaction. It is
// pure: no disk and no sockets.
//
// A Statement knows nothing of its table. What it means depends on the key of the table, or of the
// index: Read and Written take the schema, and divide the WHERE clause into the part that finds
// items and the part that filters them. Conditions and updates are made of item.Terms, which follow
// the rules of DynamoDB's expressions and have their errors.
//
// The grammar is that of
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.html. Keywords are
// recognized in any case, names of tables and attributes only as written; a keyword that is used as
// a name stands in double quotes.
//
// What is parsed is immutable, and may be used concurrently. Errors are *holdfast.Error of kind
// Invalid with DynamoDB's own message.
package partiql
