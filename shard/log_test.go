package shard

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"holdfast"
	"holdfast/item"
)

func randomTally(rng *rand.Rand) tally {
	t := tally{
		applied: rng.Uint64(), at: rng.Int64(), logged: rng.Uint64(), items: rng.Int64() - rng.Int64(),
		bytes: rng.Int64() - rng.Int64(),
	}
	for id := range uint32(rng.IntN(5)) {
		t.indexes = append(t.indexes, indexTally{
			id: 3*id + rng.Uint32N(3), filling: rng.IntN(2) == 0, items: rng.Int64() - rng.Int64(),
			bytes: rng.Int64() - rng.Int64(),
		})
	}
	return t
}

// A change, a tally and a trimming are read back as they were written; a change has as many bytes
// as it counts, since commits write it into a place of that size.
func TestLogFormsAreReadBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		tally := randomTally(rng)
		raw := string(tally.appendTo(nil))
		if got, err := decodeTally(raw); err != nil || !reflect.DeepEqual(got, tally) {
			t.Fatalf("got %+v, %v; want %+v", got, err, tally)
		}
		if got, err := decodeTally(raw[:rng.IntN(len(raw))]); err == nil {
			t.Fatalf("a tally that is cut: got %+v; want an error", got)
		}
		trim := trimming{oldest: rng.Uint64(), logged: rng.Uint64(), at: rng.Int64()}
		trimmed := string(trim.appendTo(nil))
		if got, err := decodeTrimming(trimmed); err != nil || got != trim {
			t.Fatalf("got %+v, %v; want %+v", got, err, trim)
		}
		if got, err := decodeTrimming(trimmed + "x"); err == nil {
			t.Fatalf("a trimming with a byte more: got %+v; want an error", got)
		}

		c := change{
			last: rng.IntN(2) == 0, hasAfter: rng.IntN(2) == 0, origin: holdfast.Origin(rng.IntN(2)), at: rng.Int64(),
			term:      rng.Uint64() >> rng.IntN(64),
			afterSize: rng.IntN(1 << 20), key: strings.Repeat("k", rng.IntN(300)),
		}
		if c.hasBefore = rng.IntN(2) == 0; c.hasBefore {
			c.before, c.beforeSize = strings.Repeat("b", rng.IntN(300)), rng.IntN(1<<20)
		}
		if c.last {
			c.tally = raw
		}
		p := c.appendTo(nil)
		if len(p) != c.size() {
			t.Fatalf("%+v: got %d bytes; want the %d that it counts", c, len(p), c.size())
		}
		if got, err := decodeChange(string(p)); err != nil || got != c {
			t.Fatalf("got %+v, %v; want %+v", got, err, c)
		}
		if got, err := decodeChange(string(p[:rng.IntN(len(p)-len(c.before))])); err == nil {
			t.Fatalf("a change that is cut: got %+v; want an error", got)
		}
	}
}

// The keys of a shard lie in the order in which they are read: changes by position, each followed
// by its link; items that expire by second. The bounds of a prefix have the keys that begin with
// it, and no others.
func TestOrderOfKeys(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	position := func() holdfast.Position {
		return holdfast.Position{Index: rng.Uint64() >> rng.IntN(64), N: rng.Uint32() >> rng.IntN(32)}
	}
	for range 1000 {
		a, b := position(), position()
		ka, kb := keysOf(7).appendChange(nil, a), keysOf(7).appendChange(nil, b)
		if got := bytes.Compare(ka, kb); got != a.Compare(b) {
			t.Fatalf("%v, %v: got keys in order %d; want %d", a, b, got, a.Compare(b))
		}
		if p, ok := logPosition(ka); !ok || p != a {
			t.Fatalf("got %v, %t; want %v", p, ok, a)
		}
		link := keysOf(7).appendLink(nil, a)
		if !isLink(link) || isLink(ka) || bytes.Compare(ka, link) >= 0 || a.Compare(b) < 0 && bytes.Compare(link, kb) >= 0 {
			t.Fatalf("%v, %v: got the link %x; want it between %x and %x", a, b, link, ka, kb)
		}
		p, rest, err := cutPosition(string(appendPosition(nil, a)) + "rest")
		if err != nil || p != a || rest != "rest" {
			t.Fatalf("got %v, %q, %v; want %v and the rest", p, rest, err, a)
		}

		early, late := rng.Uint64()>>rng.IntN(64), rng.Uint64()>>rng.IntN(64)
		order := bytes.Compare(keysOf(7).appendExpiry(nil, early, item.Key("a z")),
			keysOf(7).appendExpiry(nil, late, item.Key("a a")))
		if early != late && (order < 0) != (early < late) {
			t.Fatalf("seconds %d, %d: got keys in order %d", early, late, order)
		}

		prefix, key := randomKey(rng), randomKey(rng)
		if within := bytes.Compare(prefix, key) <= 0 && bytes.Compare(key,
			behind(prefix)) < 0; within != bytes.HasPrefix(key, prefix) {
			t.Fatalf("prefix %x, key %x: got the key within bounds: %t", prefix, key, within)
		}
	}
}

// randomKey returns a few bytes, many of which are at the ends of their range, and the first of
// which isn't 0xFF.
func randomKey(rng *rand.Rand) []byte {
	key := make([]byte, 1+rng.IntN(3))
	for i := range key {
		key[i] = [...]byte{0, 1, 0xFE, 0xFF}[rng.IntN(4)]
	}
	key[0] &= 0xFE
	return key
}
