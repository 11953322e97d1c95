// Package mc implements memcached's protocols without sockets: requests and batches of them,
// decoders from bytes to requests, a printer from requests to text, and functions that append and
// parse answers. It follows memcached 1.6.40 (doc/protocol.txt, proto_parser.c, proto_text.c) for
// classic and meta commands, and 1.6.18 (proto_bin.c) for the binary protocol: see BinaryDecoder.
//
// The main path of Holdfast is a Handler that serves a Batch, which has all complete requests that
// a socket had, because pipelining and multi-get decide the speed of a cache and of a router.
//
// Nothing here is safe for concurrent use; a Decoder and a Batch belong to one connection.
package mc
