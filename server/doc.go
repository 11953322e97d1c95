// Package server is a memcached listener: it accepts connections on TCP addresses and a unix
// socket, decodes what they send, has a Backend answer it, and answers itself what concerns the
// connection or the server (version, stats, watch, …). It follows memcached 1.6.40 (memcached.c,
// proto_text.c, logger.c, authfile.c, doc/protocol.txt), and its binary protocol as of 1.6.18
// (proto_bin.c).
//
// The way of a request is conn.go, from top to bottom: what one read brings is decoded into one
// batch, the backend serves it, and one write answers it. A connection belongs to one event loop
// of package loop, or, with TLS, to a goroutine; the same code serves both.
//
// Every wait and every buffer has a limit, named in Options or beside what it limits.
//
// A Server's methods may be called from any goroutine.
package server
