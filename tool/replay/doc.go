// Package replay plays real cache traffic, look-aside, against a server that speaks memcached's
// text protocol: it gets each key of a trace and, on a miss, loads it and sets it. Its report
// answers the questions before running a cache: with my own traffic, what does a cache gain, and
// how much memory does it need?
//
// A Source returns the requests one at a time, so that a trace of any length takes the same memory.
// Open reads one from a file or from standard input (web server access logs, CSV, keys as
// big-endian integers, the ARC paper's page lists; compressed or not) or makes a Zipf load. Run
// plays a Source against one server and returns a Report; Print and PrintJSON show reports of the
// same trace side by side.
//
// With one connection and a pipeline of one, a deterministic server has the same hit rate on every
// run. More of either is faster, but the set after a miss is then sent a little later than the gets
// that follow the miss in the trace.
//
// Errors of a trace name the file and the line, or the byte. If the server can't be reached, closes
// the connection or doesn't speak the protocol, the error names it; a set that the server refuses
// is counted and no error.
//
// Nothing here is safe for concurrent use. Run starts goroutines of its own and ends them all
// before it returns.
package replay
