// Package ring computes which member owns a key. It places keys exactly as other routers and client
// libraries do, so that a pool taken over from one of them keeps its cache contents warm.
//
//	r, err := ring.New(ring.Options{}, []ring.Member{{Name: "a:11211"}, {Name: "b:11211", Weight: 2}})
//	i := r.Owner(key) // the index of the member
//
// A placement chooses a member by a hash. n is the number of members.
//
//	rendezvous           each member's score is its weight ÷ -ln(hash of member and key); the highest
//	                     owns the key. The order of the members has no effect. The default; the same
//	                     as weighted_rendezvous except for the stop.
//	weighted_rendezvous  as mcrouter's WeightedRendezvous, where Name is its tag
//	mcrouter_rendezvous  as mcrouter's Rendezvous, which has no weights and places keys differently
//	ketama               160 points per member, by weight, on a circle: as twemproxy's ketama, and as
//	                     libmemcached's weighted ketama (with Function md5)
//	libmemcached_ketama  100 points per member by Function: as libmemcached's consistent distribution,
//	                     which with any weight above 1 has the points of ketama
//	modulo               as twemproxy's modula: the members in order of their names, shorter names first,
//	                     each as often as its weight says
//	libmemcached_modulo  as libmemcached's modula: the members in the order that they are given in; it has
//	                     no weights there, but may have them here
//	random               a random member for each request, as twemproxy's: it has no weights
//	jump                 Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014
//	ch3                  mcrouter's default
//	weighted_ch3         as mcrouter's WeightedCh3; without Weights, Member.Weight ÷ the largest one
//	crc32                as mcrouter's Crc32: modulo
//	const_shard          as mcrouter's ConstShard: the number in PREFIX:NUMBER:REST, or else by ch3
//
// When a member is added to n, rendezvous, jump and ch3 move 1/(n+1) of the keys, all to it; ketama
// moves about as many, within a fifth, since it has few points; modulo and crc32 move n/(n+1).
// jump, ch3, weighted_ch3, crc32, const_shard and libmemcached_modulo identify members by index
// only, so members must be added and removed at the end of the list.
//
// A function hashes a key exactly as twemproxy and libmemcached do on x86, bugs included:
// one_at_a_time, md5, crc16, crc32, crc32a, fnv1_64, fnv1a_64, fnv1_32,
// fnv1a_32, hsieh, murmur, jenkins; libmemcached's murmur3; and murmur64a, which has 64 bits. They
// are for ketama and modulo (default fnv1a_64, as in twemproxy), libmemcached_ketama and
// libmemcached_modulo (default one_at_a_time, as there) and jump (default murmur64a). The other
// placements have their own.
//
// The hashed bytes are the key up to Stop, of these the part within Tag, followed by Salt.
//
// A Ring never changes and may be used concurrently. A lookup allocates nothing if key and salt
// have at most 320 bytes and there are at most 1024 members. On a shared virtual machine Owner
// takes 25 to 45 ns with most placements, also of 100 members; rendezvous takes 30 ns with 3
// members, 36 with 16 and 165 with 100, and about 17 more for each distinct weight if there are
// several; weighted_ch3 and md5 take about 100.
//
// Sources: twemproxy 0.5.0 (src/hashkit), libmemcached 1.1.4 (src/libhashkit,
// src/libmemcached/hosts.cc), mcrouter (mcrouter/lib/*HashFunc.cpp, mcrouter/lib/fbi/hash.c),
// folly (folly/hash/SpookyHashV2.cpp).
package ring
