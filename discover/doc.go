// Package discover follows a DNS name, so that a pool's members can be records instead of a list
// in a file:
//
//	dns:NAME:PORT  each address (A and AAAA records) of NAME is a member, all with that port
//	srv:NAME       each service record (SRV, RFC 2782) of NAME is a member, with the record's target,
//	               port and weight; only records with the lowest priority number are used
//
// Lookup looks a name up once. Follow does so repeatedly, and calls back at each change of the
// list. Lists are sorted and without duplicates, so that equal records give equal lists whatever
// their order: DNS servers rotate them with each answer, and a pool must not move its keys for
// that.
//
// A lookup that fails or returns nothing is not a change. The caller keeps its list, since members
// that DNS temporarily fails to name still hold their items.
//
// Go's resolver doesn't report the TTLs of records, so the name is looked up at a fixed interval.
// Caches in between (systemd-resolved, nscd, a forwarding DNS server) may answer for as long as the
// TTL allows.
//
// Lookup, Follow and the methods of Stats may be called concurrently.
package discover
