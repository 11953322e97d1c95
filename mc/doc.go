// Package mc implements memcached's protocols without sockets: requests and batches of them, the
// decoders from bytes to requests, the printers from requests to bytes, and the forms of answers
// with their parser. It follows memcached 1.6.40 (doc/protocol.txt, proto_parser.c, proto_text.c)
// for classic and meta commands, and 1.6.18 (proto_bin.c) for the binary protocol: see
// BinaryDecoder.
//
// The main path of Holdfast is a Handler that serves a Batch: all whole requests that a socket
// held, because pipelining and multi-get decide the speed of a cache and of a router.
//
// Nothing here is safe for concurrent use; a Decoder and a Batch belong to one connection.
package mc
