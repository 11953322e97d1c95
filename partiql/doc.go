// Package partiql parses the statements of PartiQL that DynamoDB has, and says what each means in the terms of package item:
// SELECT, INSERT, UPDATE, DELETE, and EXISTS as the condition of a transaction. It is pure: no disk and no sockets.
//
// A Statement knows nothing of its table. What it means depends on the table's key (or the index's): Read and Write
// take the schema, and split the WHERE clause in what finds items and what is asked of them. Both make texts of
// expressions, with generated names, that item.Scope parses; so a statement's conditions and updates are those
// of DynamoDB's expressions, with their rules and errors.
//
// The grammar is that of https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.html. Words of the
// language are found in any case, names of tables and attributes only as written; a word of the language that
// is a name stands in double quotes.
//
// What is parsed is immutable, and may be used concurrently. Errors are *holdfast.Error of kind Invalid with
// DynamoDB's own message.
package partiql
