// Package replay plays real cache traffic, look-aside, against a server that speaks memcached's
// text protocol: get each key of a trace and, on a miss, load it and set it. Its report answers
// what one asks before running a cache: with my own log, what would I gain, with how much memory?
//
// A Source gives the requests one at a time, so that a trace of any length takes the same memory.
// Open reads one from a file or from standard input (web server access logs, CSV, keys as
// big-endian integers, the ARC paper's page lists; compressed or not) or makes a Zipf load. Run
// plays a Source against one server and returns a Report; Print and PrintJSON show reports of the
// same trace side by side.
//
// With one connection and a pipeline of one, a server that is deterministic gives the same hit
// rate on every run. More of either is faster, and a miss's set then comes a little later than
// the gets that follow it in the trace.
//
// Errors of a trace name the file and the line, or the byte. A server that can't be reached, goes
// away or doesn't speak the protocol is an error that names it; a set that the server refuses is
// not, it is counted.
//
// Nothing here is safe for concurrent use. Run starts goroutines of its own and ends them all
// before it returns.
package replay
