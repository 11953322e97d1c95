// Package dynamodb is the wire of Amazon DynamoDB: HTTP with JSON in the forms of DynamoDB_20120810 and
// DynamoDBStreams_20120810, Signature Version 4, and the words of its errors. What a request does is package table's.
//
// A request goes these steps (handler.go): refuse what the header alone decides, and where there are keys what none of them has
// signed; read the body (body.go) within its limit and the budget that all requests share (memory.go); check the signature; parse
// the JSON into a tree of nodes (json.go); check types and constraints against the operation's shape (shape.go); make the
// operation's request of package table, with its expressions parsed; run it; write the answer (no reflection), compressed for
// those who ask for that (compress.go), with its CRC-32. Errors become DynamoDB's in one function (errors.go).
//
// A Handler may be used concurrently.
package dynamodb
