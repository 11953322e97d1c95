// Package transfer copies the items of tables to files and back, and sets tags of tables, through the
// DynamoDB HTTP API of any server.
//
// There are two formats. JSON is that of DynamoDB's own exports to S3: one line per item,
// {"Item":{…}}, with typed values. CSV has a header of name:TYPE, or of names alone (csvvalue.go
// says how values are written). Both may be compressed by gzip.
//
// An export scans a table in parallel segments; a change during the scan may or may not be in it.
// An import writes batches of 25 items over several connections, and repeats requests that the
// server was too busy for. It puts whole items, so it can be repeated; if it ends early, Imported
// names the line to resume from.
//
// A Client may be used concurrently. Errors of the server are *ServerError; those that belong to a
// line of the input are *LineError.
package transfer
