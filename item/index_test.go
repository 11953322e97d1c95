package item

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"holdfast"
)

var textKeys = KeySchema{Hash: KeyAttr{"a", S}, Range: KeyAttr{"b", S}}

func texts(pairs ...string) Item {
	var attrs []Attr
	for i := 0; i < len(pairs); i += 2 {
		attrs = append(attrs, Attr{pairs[i], Text(pairs[i+1])})
	}
	return New(attrs...)
}

// The orders are what queries of DynamoDB returned, as dynalite's tests have them.
func TestEntriesWithEqualKeysHaveTheirOrder(t *testing.T) {
	index := Index{Key: KeySchema{Hash: KeyAttr{"c", S}}.Index(), Project: ProjectKeys}
	for _, want := range [][]string{
		{"bb", "aa", "ce", "ea", "da", "cd"},
		{"aa", "da", "ba", "ca", "db", "cb"},
	} {
		keys := map[string]Key{}
		for _, own := range want {
			key, entry, ok := index.Entry(textKeys, texts("a", own[:1], "b", own[1:], "c", "same", "d", "x"))
			if !ok || !entry.Equal(texts("a", own[:1], "b", own[1:], "c", "same")) {
				t.Fatalf("%s: got %v, %v", own, entry, ok)
			}
			keys[own] = key
		}
		got := slices.Clone(want)
		slices.SortFunc(got, func(a, b string) int { return bytes.Compare(keys[a], keys[b]) })
		if !slices.Equal(got, want) {
			t.Errorf("got %v; want %v", got, want)
		}
	}
}

func TestEntry(t *testing.T) {
	index := Index{Key: KeySchema{Hash: KeyAttr{"c", S}, Range: KeyAttr{"d", N}}.Index(), Project: ProjectSome,
		Attrs: []string{"e", "nobody"}}
	it := texts("a", "1", "b", "2", "c", "3", "e", "5", "f", "6").With("d", Value{Type: N, Text: "4"})
	for name, test := range map[string]struct {
		project Projected
		want    []string
	}{
		"all":  {ProjectAll, []string{"a", "b", "c", "d", "e", "f"}},
		"keys": {ProjectKeys, []string{"a", "b", "c", "d"}},
		"some": {ProjectSome, []string{"a", "b", "c", "d", "e"}},
	} {
		index := index
		index.Project = test.project
		key, entry, ok := index.Entry(textKeys, it)
		if want := it.Only(test.want...); !ok || !entry.Equal(want) {
			t.Errorf("%s: got %v, %v; want %v", name, entry, ok, want)
		}
		ownKey, err := textKeys.Key(it)
		if err != nil {
			t.Fatal(err)
		}
		if !index.Key.Partition(Text("3")).has(key) || !bytes.HasSuffix(key, ownKey[hashBytes:]) {
			t.Errorf("%s: got key %x", name, []byte(key))
		}
		start := it.Only("a", "b", "c", "d")
		if got, err := index.EntryKey(textKeys, start); err != nil || !bytes.Equal(got, key) {
			t.Errorf("%s: the key of %v: got %x, %v; want %x", name, start, []byte(got), err, []byte(key))
		}
		for _, holds := range []string{"c", "d", "e", "f"} {
			if got, want := index.Holds(holds), slices.Contains(test.want, holds); got != want {
				t.Errorf("%s: Holds(%s): got %v; want %v", name, holds, got, want)
			}
		}
	}
	for name, without := range map[string]Item{
		"no partition key":    it.Without("c"),
		"no sort key":         it.Without("d"),
		"another type":        it.With("d", Text("4")),
		"an empty text":       it.With("c", Text("")),
		"too long for a part": it.With("c", Text(strings.Repeat("x", 2049))),
	} {
		if key, entry, ok := index.Entry(textKeys, without); ok {
			t.Errorf("%s: got %x, %v", name, []byte(key), entry)
		}
	}
}

func TestEntryKeyErrors(t *testing.T) {
	local := Index{Local: true, Key: KeySchema{Hash: KeyAttr{"a", S}, Range: KeyAttr{"c", S}}.Index()}
	const start = "The provided starting key is invalid"
	const schema = "The provided key element does not match the schema"
	for _, test := range []struct {
		start Item
		want  string
	}{
		{texts("a", "1", "b", "2", "c", "3"), ""},
		{texts("a", "1", "b", "2"), start},
		{texts("a", "1", "b", "2", "c", "3", "d", "4"), start},
		{texts("a", "1", "b", "2", "d", "3"), start},
		{texts("a", "1", "b", "2").With("c", Null), schema},
		{texts("a", "1", "c", "2", "d", "3"), start + ": " + schema},
		{texts("a", "1", "c", "2").With("b", Null), start + ": " + schema},
	} {
		_, err := local.EntryKey(textKeys, test.start)
		if (err == nil) != (test.want == "") || err != nil &&
			(err.Error() != test.want || !errors.Is(err, holdfast.Invalid)) {
			t.Errorf("%v: got %v; want %q", test.start, err, test.want)
		}
	}
}

func TestIndexCheck(t *testing.T) {
	index := Index{Name: "y", Key: KeySchema{Hash: KeyAttr{"x", S}, Range: KeyAttr{"z", B}}.Index()}
	const invalid = "One or more parameter values were invalid: "
	const notValid = "One or more parameter values are not valid. A value specified for a secondary index key is not " +
		"supported. "
	for _, test := range []struct {
		it   Item
		want string
	}{
		{texts("a", "b"), ""},
		{texts("x", "b"), ""},
		{New(Attr{"x", Value{Type: N, Text: "1"}}), invalid +
			"Type mismatch for Index Key x Expected: S Actual: N IndexName: y"},
		{texts("x", "b", "z", "c"), invalid + "Type mismatch for Index Key z Expected: B Actual: S IndexName: y"},
		{texts("x", ""), notValid +
			"The AttributeValue for a key attribute cannot contain an empty string value. IndexName: y, IndexKey: x"},
		{New(Attr{"z", Bytes("")}), notValid +
			"The AttributeValue for a key attribute cannot contain an empty binary value. IndexName: y, IndexKey: z"},
		{texts("x", strings.Repeat("x", 2049)), invalid + "Size of hashkey has exceeded the maximum size limit of2048 bytes"},
	} {
		err := index.Check(test.it)
		if (err == nil) != (test.want == "") || err != nil &&
			(err.Error() != test.want || !errors.Is(err, holdfast.Invalid)) {
			t.Errorf("%.100v: got %v; want %q", test.it, err, test.want)
		}
	}
}
