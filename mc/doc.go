// Package mc is memcached's protocols without sockets: requests, batches of them, decoders
// from bytes and the printers back to bytes, and the answers' forms. It follows memcached 1.6.40
// (doc/protocol.txt, proto_parser.c, proto_text.c), classic and meta commands, and the binary
// protocol of 1.6.18 (proto_bin.c): see BinaryDecoder.
//
// The main path of Holdfast is a Handler that serves a Batch: all whole requests that a socket
// held, because pipelining and multi-get decide the speed of a cache and of a router.
//
// Nothing here is safe for concurrent use; a Decoder and a Batch belong to one connection.
package mc
