// Package transfer carries the items of tables to files and back, through the DynamoDB HTTP API of any server.
//
// There are two formats. JSON is that of DynamoDB's own exports to S3: a line for each item, {"Item":{…}}, with typed values. CSV
// has a header of name:TYPE, or of names alone (csvvalue.go says how values are written). Both may be compressed by gzip.
//
// An export scans a table in parallel segments; what changes meanwhile may or may not be in it. An import writes batches of 25
// over several connections, and repeats what the server was too busy for. It puts whole items, so that it can be repeated; where it
// ends early, its error names the line to go on from.
//
// A Client may be used concurrently. Errors of the server are *ServerError; those that belong to a line of the input are
// *LineError.
package transfer
