package item

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// randomKey returns the key of an index with any number of attributes of any types.
func randomKey(r *rand.Rand) IndexKey {
	part := func(prefix string, n int) []KeyAttr {
		var attrs []KeyAttr
		for i := range n {
			attrs = append(attrs, KeyAttr{fmt.Sprint(prefix, i), S + Type(r.IntN(3))})
		}
		return attrs
	}
	return IndexKey{Hash: part("h", 1+r.IntN(MaxKeyAttrs)), Range: part("r", r.IntN(MaxKeyAttrs+1))}
}

// randomParts gives an item each attribute of the part. The values are such that texts begin with
// others, end in zero bytes, and go on as the next one begins.
func randomParts(r *rand.Rand, it Item, part []KeyAttr) Item {
	for _, a := range part {
		v := Value{Type: a.Type, Text: []string{"a", "a\x00", "a\x00\xff", "\x00", "ab", "b", "\x00\x01", "\xff"}[r.IntN(8)]}
		if a.Type == N {
			v.Text = []string{"-1", "0", "1", "12", "0.5", "120"}[r.IntN(6)]
		}
		it = it.With(a.Name, v)
	}
	return it
}

// compareParts compares the attributes of two items one after the other.
func compareParts(a, b Item, part []KeyAttr) int {
	for _, k := range part {
		if c, _ := a.must(k.Name).Compare(b.must(k.Name)); c != 0 {
			return c
		}
	}
	return 0
}

// Entries of an index whose key has several attributes stand in the order of those attributes, each
// by the order of its type, and those with another partition key stand elsewhere, even where the
// texts of both, one behind the other, are the same.
func TestEntriesOfSeveralAttributesHaveTheirOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	base := KeySchema{Hash: KeyAttr{"id", S}}
	same := 0
	for range 20000 {
		x := Index{Key: randomKey(r), Project: ProjectKeys}
		a := randomParts(r, randomParts(r, texts("id", "1", "other", "x"), x.Key.Hash), x.Key.Range)
		b := randomParts(r, randomParts(r, texts("id", "1"), x.Key.Hash), x.Key.Range)
		if r.IntN(2) == 0 {
			for _, k := range x.Key.Hash {
				b = b.With(k.Name, a.must(k.Name))
			}
		}
		aKey, entry, ok := x.Entry(base, a)
		bKey, _, _ := x.Entry(base, b)
		if want := a.Without("other"); !ok || !entry.Equal(want) {
			t.Fatalf("%v of %v: got %v, %v; want %v", x.Key, a, entry, ok, want)
		}
		if start, err := x.EntryKey(base, entry); err != nil || !bytes.Equal(start, aKey) {
			t.Fatalf("%v: the key of %v: got %x, %v; want %x", x.Key, entry, []byte(start), err, []byte(aKey))
		}
		var hash []Value
		for _, k := range x.Key.Hash {
			hash = append(hash, b.must(k.Name))
		}
		inPartition := compareParts(a, b, x.Key.Hash) == 0
		if got := x.Key.Partition(hash...).has(aKey); got != inPartition {
			t.Fatalf("%v: %v in the partition of %v: got %v; want %v", x.Key, a, b, got, inPartition)
		}
		if !inPartition {
			continue
		}
		same++
		if got, want := bytes.Compare(aKey, bKey), compareParts(a, b, x.Key.Range); got != want {
			t.Fatalf("%v: %v and %v: got order %d; want %d", x.Key, a, b, got, want)
		}
	}
	if same < 1000 {
		t.Errorf("only %d pairs were of one partition", same)
	}
}

func TestWithinOfSeveralAttributesIsWhatTheConditionsAllow(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 24))
	base := KeySchema{Hash: KeyAttr{"id", S}}
	inside := 0
	for range 20000 {
		x := Index{Key: randomKey(r)}
		it := randomParts(r, randomParts(r, texts("id", "1"), x.Key.Hash), x.Key.Range)
		wanted := randomParts(r, randomParts(r, nil, x.Key.Hash), x.Key.Range)
		high := randomParts(r, nil, x.Key.Range)
		var l Lookup
		for _, k := range x.Key.Hash {
			l.Hash = append(l.Hash, it.must(k.Name))
		}
		want, n := true, r.IntN(len(x.Key.Range)+1)
		for i, k := range x.Key.Range[:n] {
			c := RangeCondition{Op: EQ, Low: wanted.must(k.Name), High: high.must(k.Name)}
			if r.IntN(3) > 0 {
				c.Low = it.must(k.Name)
			}
			if i == n-1 {
				c.Op = EQ + RangeOp(r.IntN(int(BeginsWith)))
			}
			if c.Op == BeginsWith && k.Type == N {
				c.Op = GE
			}
			l.Sort = append(l.Sort, c)
			want = want && allows(c, it.must(k.Name))
		}
		key, _, _ := x.Entry(base, it)
		if got := x.Key.Within(l).has(key); got != want {
			t.Fatalf("%v: %v within %+v: got %v; want %v", x.Key, it, l, got, want)
		}
		if want {
			inside++
		}
		l.Hash[r.IntN(len(l.Hash))].Text += "1"
		if x.Key.Within(l).has(key) {
			t.Fatalf("%v: %v is within another partition, %+v", x.Key, it, l)
		}
	}
	if inside < 1000 || inside > 19000 {
		t.Errorf("%d of 20000 were inside", inside)
	}
}

func TestEntriesOfSeveralAttributesAreSparse(t *testing.T) {
	base := KeySchema{Hash: KeyAttr{"id", S}}
	x := Index{Name: "x", Key: IndexKey{Hash: []KeyAttr{{"a", S}, {"b", N}}, Range: []KeyAttr{{"c", S}, {"d", B}}}}
	whole := texts("id", "1", "a", "2", "c", "4").With("b", num("3")).With("d", Bytes("5"))
	if _, _, ok := x.Entry(base, whole); !ok || x.Check(whole) != nil {
		t.Errorf("got %v, %v; want an entry", ok, x.Check(whole))
	}
	for _, k := range x.Key.Names() {
		if _, _, ok := x.Entry(base, whole.Without(k)); ok || x.Check(whole.Without(k)) != nil {
			t.Errorf("without %s: got %v, %v; want no entry, and no error", k, ok, x.Check(whole.Without(k)))
		}
		wrong := whole.With(k, Bool(true))
		want := "Type mismatch for Index Key " + k
		if _, _, ok := x.Entry(base, wrong); ok || !strings.Contains(fmt.Sprint(x.Check(wrong)), want) {
			t.Errorf("%s of another type: got %v, %v; want %s", k, ok, x.Check(wrong), want)
		}
	}
	empty := whole.With("d", Bytes(""))
	if _, _, ok := x.Entry(base, empty); ok ||
		!strings.Contains(fmt.Sprint(x.Check(empty)), "an empty binary value. IndexName: x, IndexKey: d") {
		t.Errorf("empty: got %v, %v", ok, x.Check(empty))
	}
}

// The limits are those of a part of the key, whose attributes count together.
func TestLengthsOfSeveralAttributesCountTogether(t *testing.T) {
	base := KeySchema{Hash: KeyAttr{"id", S}}
	x := Index{Key: IndexKey{Hash: []KeyAttr{{"a", S}, {"b", S}}, Range: []KeyAttr{{"c", S}, {"d", N}, {"e", B}}}}
	at := func(a, b, c, e int) Item {
		text := func(n int) string { return strings.Repeat("x", n) }
		return texts("id", "1", "a", text(a), "b", text(b), "c", text(c)).With("d", num("1")).With("e", Bytes(text(e)))
	}
	const hash = "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit " +
		"of2048 bytes"
	const sort = "One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size " +
		"limit of 1024 bytes"
	for _, test := range []struct {
		it   Item
		want string
	}{
		{at(1024, 1024, 512, 512), "<nil>"},
		{at(1024, 1025, 512, 512), hash},
		{at(1, 1, 1000, 25), sort},
		{at(1, 1, 1025, 1), sort},
	} {
		_, _, ok := x.Entry(base, test.it)
		_, err := x.EntryKey(base, test.it)
		if got := fmt.Sprint(x.Check(test.it)); got != test.want || fmt.Sprint(err) != test.want || ok != (err == nil) {
			t.Errorf("got %s, and for a start %v, and %v; want %s", got, err, ok, test.want)
		}
	}
}

func TestIndexKeyForm(t *testing.T) {
	a, b, c := KeyAttr{"a", S}, KeyAttr{"b", N}, KeyAttr{"c", B}
	for _, test := range []struct {
		key  IndexKey
		want string
	}{
		{IndexKey{Hash: []KeyAttr{a}}, `{"Hash":{"Name":"a","Type":1},"Range":{"Name":"","Type":0}}`},
		{IndexKey{Hash: []KeyAttr{a}, Range: []KeyAttr{b}}, `{"Hash":{"Name":"a","Type":1},"Range":{"Name":"b","Type":2}}`},
		{IndexKey{Hash: []KeyAttr{a, b}}, `{"Hash":[{"Name":"a","Type":1},{"Name":"b","Type":2}],"Range":null}`},
		{IndexKey{Hash: []KeyAttr{a}, Range: []KeyAttr{b, c}},
			`{"Hash":[{"Name":"a","Type":1}],"Range":[{"Name":"b","Type":2},{"Name":"c","Type":3}]}`},
	} {
		got, err := json.Marshal(test.key)
		if err != nil || string(got) != test.want {
			t.Errorf("%v: got %s, %v; want %s", test.key, got, err, test.want)
		}
		var back IndexKey
		if err := json.Unmarshal(got, &back); err != nil || !reflect.DeepEqual(back, test.key) {
			t.Errorf("%s: got %v, %v; want %v", got, back, err, test.key)
		}
	}
	if err := json.Unmarshal([]byte(`{"Hash":"a"}`), new(IndexKey)); err == nil {
		t.Error("a key that is a text was read")
	}
}
