// Package dynamodb serves Amazon DynamoDB's wire: HTTP with JSON in the forms of DynamoDB_20120810
// and DynamoDBStreams_20120810, Signature Version 4, and the texts of its errors. Package table
// executes the requests.
//
// A request takes these steps, which are Handler's methods and what they call:
//
//  1. Handler.Serve takes it from fasthttp. Handler.admit refuses what the header alone decides; if
//     signatures are checked, authenticator.claimOf refuses requests that no known key has signed.
//  2. Handler.receive reads the body (bodyReader), within its limit and the budget that all
//     requests share (memory).
//  3. Handler.perform counts the request and its time. It calls Handler.run, which checks the
//     signature (claim.verify), parses the JSON into a tree of nodes (parseBody), and checks types
//     and constraints against the operation's shape (check).
//  4. In a cluster, Handler.executeInCluster decides which node executes the request. Any node
//     answers reads that may be eventually consistent. All others go to the node that leads, which may
//     be another: Peers.Forward carries them there, to Handler.Answer, which does the checks of step 3
//     again but for the signature.
//  5. operation.run makes the operation's request of package table, with its expressions parsed,
//     runs it, and writes the response without reflection (writer). The operations belong to
//     itemOps, tableOps, backupOps, streamOps, statementOps (PartiQL) and probeOps.
//  6. respondWriter sets the response with its CRC-32, compressed if the client accepts that.
//     wireErrorOf turns every error into DynamoDB's.
//
// A Handler may be used concurrently.
package dynamodb
