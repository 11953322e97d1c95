// Package topology tells from outside how a memcached cluster keeps its items: sharded, replicated,
// or something between. It needs a router's address (twemproxy, mcrouter, Holdfast's or whatever
// else speaks memcached's text protocol) and those of the members behind it, and no configuration.
//
// Run sets keys of its own through the router and looks for each on every member:
//
//	each key on one member, several members in use   sharded
//	each key on all members                          replicated
//	anything else                                    mixed; the patterns say what
//
// Then it takes the way back. It puts values that differ on each member, so that what the router
// answers says who was asked; and it deletes through the router, and looks who lost the key. A
// router may answer before it has written: keys are looked for again until none has come for
// Options.Settle.
//
// All keys begin with Options.Prefixes and a random part of the run, expire by themselves, and are
// deleted at the end, also when ctx ends the run. Nothing else on the members is read or changed.
//
// A member that can't be asked, or doesn't speak the protocol, is in the report with its error, and
// not among those that count. Errors of Run are those of the Options and of ctx; what the cluster
// does wrong is in the Report.
//
// Nothing here is safe for concurrent use. Run starts goroutines of its own and ends them all
// before it returns.
package topology
