// Package ring says which member owns a key. It places keys as the routers and client libraries do
// that people come from, bit by bit, so that a pool taken over from them stays warm.
//
//	r, err := ring.New(ring.Options{}, []ring.Member{{Name: "a:11211"}, {Name: "b:11211", Weight: 2}})
//	i := r.Owner(key) // the index of the member
//
// Placements, that is how a hash becomes a member. n is the number of members.
//
//	rendezvous           each member's score is its weight ÷ -ln(hash of member and key); the highest
//	                     owns the key. The order of the members means nothing. The default; the same
//	                     as weighted_rendezvous but for the stop.
//	weighted_rendezvous  as mcrouter's WeightedRendezvous, where Name is its tag
//	mcrouter_rendezvous  as mcrouter's Rendezvous, which has no weights and places keys otherwise
//	ketama               160 points a member, by weight, on a circle: as twemproxy's ketama, and as
//	                     libmemcached's weighted ketama (with Function md5)
//	libmemcached_ketama  100 points a member by Function: as libmemcached's consistent distribution,
//	                     which with any weight above 1 has the points of ketama
//	modulo               as twemproxy's modula: the members in order of their names, shorter names first,
//	                     each as often as its weight says
//	libmemcached_modulo  as libmemcached's modula: the members in the order that they are given in; it has
//	                     no weights there, but may have them here
//	random               any member, another each time, as twemproxy's: it has no weights
//	jump                 Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014
//	ch3                  mcrouter's default
//	weighted_ch3         as mcrouter's WeightedCh3; without Weights, Member.Weight ÷ the largest one
//	crc32                as mcrouter's Crc32: modulo
//	const_shard          as mcrouter's ConstShard: the number in PREFIX:NUMBER:REST, or else by ch3
//
// When a member comes to n, rendezvous, jump and ch3 move 1/(n+1) of the keys, all to it; ketama
// about as many, give or take a fifth, since its points are few; modulo and crc32 move n/(n+1).
// jump, ch3, weighted_ch3, crc32, const_shard and libmemcached_modulo know members by index only, so that members come
// and go at the end of the list.
//
// Functions, that is how a key becomes a hash, as twemproxy and libmemcached compute them on x86,
// their oddities included: one_at_a_time, md5, crc16, crc32, crc32a, fnv1_64, fnv1a_64, fnv1_32,
// fnv1a_32, hsieh, murmur, jenkins; libmemcached's murmur3; and murmur64a, which has 64 bits. They
// are for ketama and modulo (default fnv1a_64, as in twemproxy), libmemcached_ketama and
// libmemcached_modulo (default one_at_a_time, as there) and jump (default murmur64a). The other placements have their own.
//
// What is hashed is the key up to Stop, of that what stands in Tag, and then Salt.
//
// A Ring never changes and may be used concurrently. Looking a key up allocates nothing while key
// and salt have 320 bytes or less and there are 1024 members or less. On a shared virtual machine
// Owner takes 25 to 45 ns with most placements, also of 100 members; rendezvous takes 30 ns of 3,
// 36 of 16 and 165 of 100 members, and some 17 more for each distinct weight if there are several;
// weighted_ch3 and md5 take some 100.
//
// Sources: twemproxy 0.5.0 (src/hashkit), libmemcached 1.1.4 (src/libhashkit,
// src/libmemcached/hosts.cc), mcrouter (mcrouter/lib/*HashFunc.cpp, mcrouter/lib/fbi/hash.c),
// folly (folly/hash/SpookyHashV2.cpp).
package ring
