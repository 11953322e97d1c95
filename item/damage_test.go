package item

import (
	"bytes"
	"cmp"
	"errors"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"holdfast"
)

// damage changes a byte, removes or adds some, or copies some over others.
func damage(r *rand.Rand, form string) string {
	b := []byte(form)
	at := r.IntN(len(b))
	switch r.IntN(5) {
	case 0:
		b[at] ^= 1 << r.IntN(8)
	case 1:
		b[at] = byte(r.IntN(13)) // a type, a small length
	case 2:
		b = append(b[:at], b[min(len(b), at+1+r.IntN(3)):]...)
	case 3:
		b = append(b[:at], append([]byte{byte(r.IntN(256))}, b[at:]...)...)
	default:
		copy(b[at:], b[r.IntN(len(b)):])
	}
	return string(b)
}

// Bytes that were damaged are refused as Corrupt, or are the one form of another item: Decode never
// makes an item of bytes that no item has, and never panics.
func TestDecodeOfDamagedItems(t *testing.T) {
	const seed = 41
	r := rand.New(rand.NewPCG(seed, seed))
	refused, others := 0, 0
	for n := range 60_000 {
		it := randomItem(r, 4)
		if n%2 == 0 {
			it = random{r}.item(2) // short names, of which damage makes others that are there
		}
		form := string(Append(nil, it))
		for range 1 + r.IntN(2) {
			if form != "" {
				form = damage(r, form)
			}
		}
		it, err := Decode(form)
		switch {
		case err == nil && string(Append(nil, it)) != form:
			t.Fatalf("seed %d, item %d: got %s of %x; want Corrupt, as no item has that form", seed, n, showItem(it), form)
		case err == nil && !ascending(Map(it)):
			t.Fatalf("seed %d, item %d: got %s; want Corrupt, as names aren't in order, or one is there twice", seed, n,
				showItem(it))
		case err == nil:
			others++
			it.Size()
		case !errors.Is(err, holdfast.Corrupt) || it != nil:
			t.Fatalf("seed %d, item %d: got %v, %v of %x; want Corrupt", seed, n, it, err, form)
		default:
			refused++
		}
	}
	if refused < 20_000 || others < 5_000 {
		t.Errorf("got %d refused, %d items; want enough of both", refused, others)
	}
}

// ascending reports whether the names of all maps in a value rise.
func ascending(v Value) bool {
	for i, a := range v.Map {
		if i > 0 && v.Map[i-1].Name >= a.Name || !ascending(a.Value) {
			return false
		}
	}
	return !slices.ContainsFunc(v.List, func(element Value) bool { return !ascending(element) })
}

func randomSchema(r *rand.Rand) KeySchema {
	s := KeySchema{Hash: KeyAttr{"h", S + Type(r.IntN(3))}}
	if r.IntN(3) > 0 {
		s.Range = KeyAttr{"r", S + Type(r.IntN(3))}
	}
	return s
}

func (s KeySchema) parts() []KeyAttr {
	if s.Range.Name == "" {
		return []KeyAttr{s.Hash}
	}
	return []KeyAttr{s.Hash, s.Range}
}

// Keys of a table are in the order of the hash, then of the partition key, then of the sort key,
// and two items with the same attributes, and only those, have the same key, which decodes to them.
func TestKeysHaveTheOrderOfTheirAttributes(t *testing.T) {
	const seed = 43
	r := rand.New(rand.NewPCG(seed, seed))
	same := 0
	for n := range 20_000 {
		s := randomSchema(r)
		a, b := randomParts(r, New(), s.parts()), randomParts(r, New(), s.parts())
		if r.IntN(2) == 0 {
			b = b.With("h", a.must("h"))
			same++
		}
		aKey, aErr := s.Key(a.With("x", Null))
		bKey, bErr := s.Exact(b)
		if aErr != nil || bErr != nil {
			t.Fatalf("seed %d, pair %d: got %v, %v; want keys", seed, n, aErr, bErr)
		}
		want := cmp.Or(cmp.Compare(HashOf(a.must("h")), HashOf(b.must("h"))), compareParts(a, b, s.parts()))
		if got := bytes.Compare(aKey, bKey); got != want {
			t.Fatalf("seed %d, pair %d: %s and %s: got order %d; want %d", seed, n, showItem(a), showItem(b), got, want)
		}
		if back, err := s.Decode(aKey); err != nil || !back.Equal(a) || !s.Attrs(a.With("x", Null)).Equal(a) {
			t.Fatalf("seed %d, pair %d: got %s, %v of the key of %s", seed, n, showItem(back), err, showItem(a))
		}
	}
	if same < 5_000 {
		t.Errorf("got %d pairs of one partition; want more", same)
	}
}

// A damaged key is refused as Corrupt, or is that of other attributes.
func TestDecodeOfDamagedKeys(t *testing.T) {
	const seed = 47
	r := rand.New(rand.NewPCG(seed, seed))
	refused := 0
	for n := range 30_000 {
		s := randomSchema(r)
		key, err := s.Key(randomParts(r, New(), s.parts()))
		if err != nil {
			t.Fatal(err)
		}
		damaged := Key(damage(r, string(key)))
		it, err := s.Decode(damaged)
		if err != nil {
			refused++
			if !errors.Is(err, holdfast.Corrupt) || it != nil {
				t.Fatalf("seed %d, key %d: got %v, %v; want Corrupt", seed, n, it, err)
			}
			continue
		}
		if again, err := s.Exact(it); err == nil && !bytes.Equal(again, damaged) {
			t.Fatalf("seed %d, key %d: got %s of %x, whose key is %x", seed, n, showItem(it), []byte(damaged), []byte(again))
		}
	}
	if refused < 20_000 {
		t.Errorf("got %d of 30000 refused; want most, as the hash changes", refused)
	}
}

// pairsOf returns how many digits to the base 100 a number has, by math/big: shifted by an even
// power of ten until it is whole, without zeros at its end.
func pairsOf(text string) int64 {
	hundred := big.NewInt(100)
	value := exact(text)
	value.Abs(value)
	for !value.IsInt() {
		value.Mul(value, new(big.Rat).SetInt(hundred))
	}
	whole, pairs := new(big.Int).Set(value.Num()), int64(0)
	for rest := new(big.Int); whole.Sign() > 0; {
		if whole.QuoRem(whole, hundred, rest); rest.Sign() > 0 || pairs > 0 {
			pairs++
		}
	}
	return pairs
}

// A number's size is a byte, one for each digit to the base 100, and one if it is negative.
func TestSizeOfRandomNumbers(t *testing.T) {
	const seed = 53
	r := rand.New(rand.NewPCG(seed, seed))
	for range 10_000 {
		text := randomNumber(r)
		want := 1 + pairsOf(text)
		if strings.HasPrefix(text, "-") {
			want++
		}
		if got := (Value{Type: N, Text: text}).Size(); int64(got) != want {
			t.Fatalf("seed %d: %s: got %d; want %d", seed, text, got, want)
		}
	}
}

// What an update puts into an item is as deep there as its path and itself together, and no more
// than 32 levels are allowed; neither in a value of the request.
func TestNestingIsLimitedWhereAValueIsPut(t *testing.T) {
	const beyond = "Nesting Levels have exceeded supported limits: " +
		"Attributes in the item have nested levels beyond supported limit"
	for depth := 1; depth <= maxDepth+1; depth++ {
		v := wrapped(Text("x"), depth-1)
		for steps := 1; steps <= 4; steps++ {
			path := Path{{Name: "m", Index: -1}, {Name: "m", Index: -1}, {Index: 0}, {Index: 5}}[:steps]
			it := New(Attr{"m", Map(New(Attr{"m", List(List())}))}, Attr{"deep", v})
			u, err := NewUpdate([]Change{{Verb: "SET", Path: path, To: termPath("deep")}})
			if err != nil {
				t.Fatal(err)
			}
			want := ""
			if depth+steps-1 > maxDepth {
				want = beyond
			}
			after, err := u.Apply(it)
			wantError(t, err, want)
			if err == nil && after.Check() != nil {
				t.Errorf("depth %d at %s: got an item that is refused elsewhere: %v", depth, path, after.Check())
			}
		}
		_, err := NewScope(nil, valuesOf(v))
		if (err != nil) != (depth > maxDepth) {
			t.Errorf("a value of %d levels: got %v; want an error beyond %d", depth, err, maxDepth)
		}
	}
}

// Texts and bytes of a key are limited by their bytes, 2048 for a partition key and 1024 for a sort
// key, and never empty.
func TestLengthsOfKeys(t *testing.T) {
	for _, c := range []struct {
		hash, sort int
		want       string
	}{
		{1, 1, ""}, {2048, 1024, ""},
		{2049, 1, "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 " +
			"bytes"},
		{1, 1025, "One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size " +
			"limit of 1024 bytes"},
		{0, 1, "One or more parameter values …"}, {1, 0, "One or more parameter values …"},
	} {
		for _, typ := range []Type{S, B} {
			s := KeySchema{Hash: KeyAttr{"h", typ}, Range: KeyAttr{"r", typ}}
			it := New(Attr{"h", Value{Type: typ, Text: strings.Repeat("h", c.hash)}},
				Attr{"r", Value{Type: typ, Text: strings.Repeat("r", c.sort)}})
			for _, key := range []func(Item) (Key, error){s.Key, s.Exact} {
				_, err := key(it)
				wantError(t, err, c.want)
			}
		}
	}
}
