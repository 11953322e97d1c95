// Package wire is the proof on the wire: it holds tests only.
//
// One suite of scripts, testdata/*.txt, is played against `holdfast cache` and against real memcached:
// Debian's, and any other that HOLDFAST_WIRE_MEMCACHED names by its path. What a script says of both is
// what a client can rely on; where they differ, the line says so. Beside it, clients that people use
// (gomemcache, pymemcache, libmemcached's tools) talk to `holdfast cache`, and memcached's own tests run
// against it where HOLDFAST_MEMCACHED_SOURCE names its source.
//
// The same scripts and clients go through `holdfast router`, before real memcacheds that are killed and
// stopped meanwhile, and beside the real twemproxy.
//
// A peer that isn't installed is skipped with a word; with HOLDFAST_PEERS=required that is a failure.
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
// [memcached<1.6.40], [memcached>=1.6.40], [!memcached<1.6.40]. The case begins and ends empty: a probe after the last line
// shows that nothing more was answered.
//
// In what is sent and expected, \r \n \t \0 \\ \{ and \xHH are escapes. In both, {'a'*250} is 250 times
// a, {unix+60} the time in 60 seconds, and {name} the number that an expected {name} took before. In what
// is expected, {#} is any number, {!name} another one than name, {>name} a larger one, {50..60} one in
// that range, and {~} anything up to the end of the line.
package wire
