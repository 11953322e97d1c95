// Package server is a memcached listener: it accepts connections on TCP addresses and a unix
// socket, decodes their requests, passes them to a Backend, and itself answers the commands about
// the connection or the server (version, stats, watch, …). It follows memcached 1.6.40
// (memcached.c, proto_text.c, logger.c, authfile.c, doc/protocol.txt), and its binary protocol as
// of 1.6.18 (proto_bin.c).
//
// conn.go shows the path of a request from top to bottom: the bytes of one read are decoded into
// one batch, the backend serves it, and one write sends the answers. A connection belongs to one
// event loop of package loop, or, with TLS, to a goroutine; the same code serves both.
//
// Every wait and every buffer has a limit, named in Options or beside what it limits.
//
// A Server's methods may be called from any goroutine.
package server
