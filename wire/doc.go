// Package wire tests the built program over its sockets, beside real peers. It holds tests only.
//
// One suite of scripts, testdata/*.txt, is played against `holdfast cache` and against real
// memcached: Debian's, and another one if HOLDFAST_WIRE_MEMCACHED names its path. Clients can rely
// on what a script expects of both; where the two differ, the line says so. Clients that
// applications use (gomemcache, pymemcache, libmemcached's tools) run against `holdfast cache` too,
// and so do memcached's own tests if HOLDFAST_MEMCACHED_SOURCE names its source.
//
// The same scripts and clients run through `holdfast router`, in front of real memcacheds that are
// killed and stopped meanwhile, and beside the real twemproxy.
//
// If a peer isn't installed, its tests are skipped with a message; with HOLDFAST_PEERS=required
// they fail.
//
// # Scripts
//
// A script is a server and the cases that share it. Lines:
//
//	# a comment
//	server -M -m 2             flags for the server of this file
//	keep                       don't flush_all before each case
//	= name                     a case begins, on connections of its own
//	> get a\r\n                send: one write
//	< END\r\n                  expect exactly these bytes
//	<eof                       expect that the server has closed
//	? get a\r\n                send again and again …
//	~ VALUE a 0 1\r\n…         … as long as this is the answer …
//	< END\r\n                  … until this is
//	2> get a\r\n               the same on the second connection; also 2<, 2<eof
//
// A line, also one that begins a case, may carry a condition: [holdfast], [memcached],
// [memcached<1.6.40], [memcached>=1.6.40], [!memcached<1.6.40]. After the last line of a case a
// probe shows that the server has sent nothing more.
//
// In lines that are sent and expected, \r \n \t \0 \\ \{ and \xHH are escapes. In both, {'a'*250}
// is 250 times a, {unix+60} the time in 60 seconds, and {name} the number that an expected {name}
// matched before. In expected lines, {#} is any number, {!name} another one than name, {>name} a
// larger one, {50..60} one in that range, and {~} anything up to the end of the line.
package wire
