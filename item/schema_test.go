package item

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"holdfast"
)

var (
	hashOnly = KeySchema{Hash: KeyAttr{"a", S}}
	both     = KeySchema{Hash: KeyAttr{"a", S}, Range: KeyAttr{"b", B}}
)

func TestKeyErrors(t *testing.T) {
	const invalid = "One or more parameter values were invalid: "
	long := func(n int) string { return strings.Repeat("a", n) }
	for _, test := range []struct {
		schema KeySchema
		it     Item
		want   string // of Key
		exact  string // of Exact
	}{
		{hashOnly, New(), invalid + "Missing the key a in the item", "The provided key element does not match the schema"},
		{hashOnly, New(Attr{"b", Text("x")}), invalid + "Missing the key a in the item",
			"The provided key element does not match the schema"},
		{hashOnly, New(Attr{"a", Bool(true)}), invalid + "Type mismatch for key a expected: S actual: BOOL",
			"The provided key element does not match the schema"},
		{hashOnly, New(Attr{"a", Text("")}),
			"One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty " +
				"string value. Key: a",
			invalid + "The AttributeValue for a key attribute cannot contain an empty string value. Key: a"},
		{both, New(Attr{"a", Text("x")}, Attr{"b", Bytes("")}),
			"One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty " +
				"binary value. Key: b",
			invalid + "The AttributeValue for a key attribute cannot contain an empty binary value. Key: b"},
		{both, New(Attr{"a", Text("x")}), invalid + "Missing the key b in the item",
			"The provided key element does not match the schema"},
		{both, New(Attr{"a", Text("x")}, Attr{"c", Bytes("x")}), invalid + "Missing the key b in the item",
			"The provided key element does not match the schema"},
		{hashOnly, New(Attr{"a", Text(long(2049))}), invalid +
			"Size of hashkey has exceeded the maximum size limit of2048 bytes",
			invalid + "Size of hashkey has exceeded the maximum size limit of2048 bytes"},
		{both, New(Attr{"a", Text(long(2048))}, Attr{"b", Bytes(long(1025))}),
			invalid + "Aggregated size of all range keys has exceeded the size limit of 1024 bytes",
			invalid + "Aggregated size of all range keys has exceeded the size limit of 1024 bytes"},
		{both, New(Attr{"a", Text(long(2048))}, Attr{"b", Bytes(long(1024))}), "", ""},
		{hashOnly, New(Attr{"a", Text("x")}, Attr{"z", Null}), "", "The provided key element does not match the schema"},
	} {
		for name, do := range map[string]func(Item) (Key, error){"Key": test.schema.Key, "Exact": test.schema.Exact} {
			want := test.want
			if name == "Exact" {
				want = test.exact
			}
			_, err := do(test.it)
			if want == "" && err != nil || want != "" &&
				(err == nil || err.Error() != want || !errors.Is(err, holdfast.Invalid)) {
				t.Errorf("%s of %.100v: got %v; want %q", name, test.it, err, want)
			}
		}
	}
}

func TestDecodeOfKeys(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for range 2000 {
		schema := KeySchema{Hash: KeyAttr{"k", S + Type(r.IntN(3))}}
		if r.IntN(2) == 0 {
			schema.Range = KeyAttr{"a", S + Type(r.IntN(3))} // before the partition key by name
		}
		it := New(Attr{"k", randomPart(r, schema.Hash.Type)}, Attr{"a", randomPart(r, schema.Range.Type)},
			Attr{"other", Null})
		key, err := schema.Key(it)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := key.Hash(), HashOf(it.must("k")); got != want {
			t.Fatalf("%v: its key's hash: got %x; want %x", it, got, want)
		}
		got, err := schema.Decode(key)
		if want := schema.Attrs(it); err != nil || !got.Equal(want) {
			t.Fatalf("got %v, %v; want %v", got, err, want)
		}
		if again, err := schema.Exact(got); err != nil || !bytes.Equal(again, key) {
			t.Fatalf("the key of %v: got %x, %v; want %x", got, again, err, key)
		}
		for _, wrong := range []Key{key[:len(key)-1], append(bytes.Clone(key), 1), append([]byte{key[0] + 1}, key[1:]...),
			key[:4], nil} {
			if got, err := schema.Decode(wrong); !errors.Is(err, holdfast.Corrupt) {
				t.Fatalf("%x: got %v, %v; want Corrupt", []byte(wrong), got, err)
			}
		}
	}
}

// must returns the attribute, which is there.
func (it Item) must(name string) Value {
	v, ok := it.Get(name)
	if !ok {
		panic(name)
	}
	return v
}

// randomPart returns a value that may be part of a key.
func randomPart(r *rand.Rand, t Type) Value {
	if t == N {
		return Value{Type: N, Text: randomNumber(r)}
	}
	return Value{Type: t, Text: randomText(r) + "x"}
}

func TestWithinIsWhatTheConditionAllows(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for range 20000 {
		schema := KeySchema{Hash: KeyAttr{"k", S}, Range: KeyAttr{"s", S + Type(r.IntN(3))}}
		c := RangeCondition{Op: EQ + RangeOp(r.IntN(int(BeginsWith))), Low: randomPart(r, schema.Range.Type),
			High: randomPart(r, schema.Range.Type)}
		if c.Op == BeginsWith && schema.Range.Type == N {
			continue
		}
		c.Low.Text = strings.TrimSuffix(c.Low.Text, "x") // so that some are the beginnings of others
		sort := randomPart(r, schema.Range.Type)
		if r.IntN(4) == 0 {
			sort = c.High
		}
		k := Text("k")
		key, err := schema.Key(New(Attr{"k", k}, Attr{"s", sort}))
		if err != nil {
			t.Fatal(err)
		}
		want := allows(c, sort)
		if got := schema.Index().Within(Lookup{[]Value{k}, []RangeCondition{c}}).has(key); got != want {
			t.Fatalf("%q by %d of %q and %q: got %v; want %v", sort.Text, c.Op, c.Low.Text, c.High.Text, got, want)
		}
		// An entry of an index has more bytes behind its key.
		if got := schema.Index().Within(Lookup{[]Value{k}, []RangeCondition{c}}).has(append(key, 0xFF, 0xFF)); got != want {
			t.Fatalf("%q with more behind it by %d of %q: got %v; want %v", sort.Text, c.Op, c.Low.Text, got, want)
		}
		other, all := Lookup{[]Value{Text("kk")}, []RangeCondition{c}}, Lookup{Hash: []Value{k}}
		if schema.Index().Within(other).has(key) || !schema.Index().Within(all).has(key) {
			t.Fatalf("%x is in another partition, or not in its own", []byte(key))
		}
	}
}

func (r Range) has(key []byte) bool {
	return bytes.Compare(key, r.From) >= 0 && (r.To == nil || bytes.Compare(key, r.To) < 0)
}

// allows reports whether the condition allows the sort key.
func allows(c RangeCondition, sort Value) bool {
	low, _ := sort.Compare(c.Low)
	high, _ := sort.Compare(c.High)
	switch c.Op {
	case EQ:
		return low == 0
	case LT:
		return low < 0
	case LE:
		return low <= 0
	case GT:
		return low > 0
	case GE:
		return low >= 0
	case Between:
		return low >= 0 && high <= 0
	}
	return strings.HasPrefix(sort.Text, c.Low.Text)
}

func TestPartitionsAreApart(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	for range 5000 {
		typ := S + Type(r.IntN(3))
		schema := KeySchema{Hash: KeyAttr{"k", typ}, Range: KeyAttr{"s", S}}
		a, b := randomPart(r, typ), randomPart(r, typ)
		key, err := schema.Key(New(Attr{"k", a}, Attr{"s", Text(randomText(r) + "x")}))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := schema.Index().Partition(b).has(key), a.Equal(b); got != want {
			t.Fatalf("a key of %q in the partition of %q: got %v; want %v", a.Text, b.Text, got, want)
		}
	}
}

func TestBehind(t *testing.T) {
	for _, test := range []struct{ in, want string }{{"a", "b"}, {"a\xff", "b"}, {"a\x00", "a\x01"}, {"\xff\xff", ""},
		{"", ""}} {
		if got := string(behind([]byte(test.in))); got != test.want {
			t.Errorf("behind %q: got %q; want %q", test.in, got, test.want)
		}
	}
}
