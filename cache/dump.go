package cache

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"

	"holdfast/mc"
)

// This file lists items. It reads the index and its items, one bucket at a time, under the bucket's
// stripe, and changes nothing.

// dumpBuckets is the number of buckets that one call of Dump reads.
const dumpBuckets = 64

// Dump appends a line to dst for each item in the next buckets from cursor on, which is 0 for the
// first call, and returns the cursor for the next call, 0 at the end. The line has the form of
// memcached's lru_crawler metadump, or with mgdump that of lru_crawler mgdump. An item that is
// present during the whole dump is listed at least once, and twice if the index moves it meanwhile.
func (s *Store) Dump(dst []byte, cursor uint64, mgdump bool) ([]byte, uint64) {
	now := s.lifetimes.now.Load()
	for n := cursor; n < cursor+dumpBuckets; n++ {
		if n >= s.index.buckets.Load() {
			return dst, 0
		}
		st := s.index.stripe(n)
		st.Lock()
		s.index.eachInBucket(n, func(slot uint64, it item) {
			if s.lifetimes.gone(it, now) {
				return
			}
			if mgdump {
				dst = appendMGDump(dst, it)
				return
			}
			dst = s.appendDump(dst, slot, it, now)
		})
		st.Unlock()
	}
	return dst, cursor + dumpBuckets
}

func (s *Store) appendDump(dst []byte, slot uint64, it item, now uint32) []byte {
	exp := int64(-1)
	if it.expiry() != 0 {
		exp = int64(it.expiry())
	}
	return fmt.Appendf(dst, "key=%s exp=%d la=%d cas=%d fetch=%s cls=%d size=%d flags=%d\n", escape(string(it.key())), exp,
		it.accessed(), s.answers.cas(it), yesNo(it.has(bitFetched)), classShown(slot), it.memoryBytes(), it.clientFlags())
}

// appendMGDump appends a request line that fetches the item; a binary key is in base64, as it was
// sent.
func appendMGDump(dst []byte, it item) []byte {
	dst = append(dst, "mg "...)
	if it.has(bitBinary) {
		dst = append(base64.StdEncoding.AppendEncode(dst, it.key()), " b"...)
	} else {
		dst = append(dst, it.key()...)
	}
	return append(dst, mc.CRLF...)
}

// escape is memcached's URI encoding of keys in dumps and logs.
func escape(key string) string { return strings.ReplaceAll(url.QueryEscape(key), "+", "%20") }

// appendCacheDump appends the answer to "stats cachedump CLASS LIMIT": items of any class, at most
// LIMIT of them, and no more once it has a megabyte.
func (s *Store) appendCacheDump(dst []byte, arg string) ([]byte, bool) {
	var class, limit int
	if n, err := fmt.Sscanf(arg, "%d %d", &class, &limit); n < 1 || err != nil && n != 1 {
		return dst, false
	}
	const maxBytes = 1 << 20
	if limit == 0 {
		limit = maxBytes
	}
	now := s.lifetimes.now.Load()
	for n := uint64(0); n < s.index.buckets.Load() && limit > 0 && len(dst) < maxBytes; n++ {
		st := s.index.stripe(n)
		st.Lock()
		s.index.eachInBucket(n, func(slot uint64, it item) {
			if limit <= 0 || s.lifetimes.gone(it, now) {
				return
			}
			limit--
			key := string(it.key())
			if it.has(bitBinary) { // its bytes may contain line ends
				key = escape(key)
			}
			dst = fmt.Appendf(dst, "ITEM %s [%d b; %d s]\r\n", key, it.valueBytes(), it.expiry())
		})
		st.Unlock()
	}
	return dst, true
}
