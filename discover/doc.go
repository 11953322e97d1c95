// Package discover follows a DNS name, so that a pool's members can be records instead of a list
// in a file:
//
//	dns:NAME:PORT  each address (A and AAAA records) of NAME is a member, all with that port
//	srv:NAME       each service record (SRV, RFC 2782) of NAME is: target, port and weight; of the
//	               records, only those with the lowest priority number count
//
// Lookup asks once. Follow asks again and again and calls back at each real change. Lists are
// sorted and without duplicates, so that equal records give equal lists in whichever order they
// came: DNS servers turn them round with each answer, and a pool must not move its keys for that.
//
// A lookup that fails or comes back empty is not a change. Whoever follows a name keeps the list
// that he had, since members that DNS can't name for a moment still hold their items.
//
// Go's resolver doesn't tell the TTLs of records, so the name is asked at a fixed interval, whatever
// they are. What stands between (systemd-resolved, nscd, a DNS server that forwards) may answer
// from its cache for as long as the TTL says.
//
// Lookup, Follow and the methods of Stats may be called concurrently.
package discover
