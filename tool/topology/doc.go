// Package topology finds out from outside how a memcached cluster keeps its items: sharded,
// replicated, or something between. It needs the address of a router (twemproxy, mcrouter, Holdfast
// or anything else that speaks memcached's text protocol) and those of the members behind it, and
// no configuration.
//
// Run sets keys of its own through the router and looks for each on every member:
//
//	each key on one member, several members in use   sharded
//	each key on all members                          replicated
//	anything else                                    mixed; the patterns say what
//
// Then it looks at reads and deletes. It sets a different value on each member, so that the
// router's answer shows which member was read; and it deletes through the router and looks which
// members lost the key. A router may answer before it has written: Run looks for keys again until
// no more copies have come for Options.Settle.
//
// All keys begin with one of Options.Prefixes and a random part of the run, expire by themselves,
// and are deleted at the end, also when ctx ends the run. Nothing else on the members is read or
// changed.
//
// A member that can't be queried, or doesn't speak the protocol, is in the report with its error,
// and doesn't count. Errors of Run are those of the Options and of ctx; faults of the cluster are
// in the Report.
//
// Nothing here is safe for concurrent use. Run starts goroutines of its own and ends them all
// before it returns.
package topology
