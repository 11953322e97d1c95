package item

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func number(t *testing.T, text string) Value {
	t.Helper()
	v, err := Number(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The orders and segments are what scans of DynamoDB returned, as dynalite's tests have them.
func TestHashOrder(t *testing.T) {
	for name, test := range map[string]struct {
		of   func(text string) Value
		want []string
	}{
		"texts": {Text, []string{"2", "8", "9", "1", "6", "hello", "0", "5", "4", "äáöü", "aardman", "7", "3", "zapf"}},
		"numbers": {func(text string) Value { return number(t, text) },
			[]string{"7", "999.9", "8", "3", "2", "-999.9", "9", "4", "-0.09", "6", "1", "0", "0.012345", "5"}},
	} {
		got := slices.Clone(test.want)
		slices.Sort(got)
		slices.SortFunc(got, func(a, b string) int {
			if HashOf(test.of(a)) < HashOf(test.of(b)) {
				return -1
			}
			return 1
		})
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q; want %q", name, got, test.want)
		}
	}
}

func TestHashSegments(t *testing.T) {
	for _, test := range []struct {
		v    Value
		want int
	}{
		{Text("3635"), 0}, {Text("228"), 0}, {Text("1668"), 1}, {Text("3435"), 4},
		{number(t, "251"), 1}, {number(t, "2388"), 4095},
	} {
		schema := KeySchema{Hash: KeyAttr{"a", test.v.Type}}
		key, err := schema.Key(New(Attr{"a", test.v}))
		if err != nil {
			t.Fatal(err)
		}
		for segment := range 4096 {
			r := HashRange(segment, 4096)
			in := bytes.Compare(key, r.From) >= 0 && (r.To == nil || bytes.Compare(key, r.To) < 0)
			if in != (segment == test.want) {
				t.Errorf("%s: in segment %d: got %v; want only in %d", test.v.Text, segment, in, test.want)
			}
		}
	}
}

// The first three bytes of hashes, from dynalite.
func TestHashOfNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"0": "ce212d", "1": "c3a031", "-1": "0267df", "10": "3c465f", "100": "6840bd", "12": "70366a", "123": "574207",
		"1234": "dbf25c", "-12": "f5e199", "-123": "410ac7", "0.1": "e2d171", "0.01": "355037", "0.012": "083cbb",
		"-0.012": "db6d99", "1.5": "8158bd", "-15.25": "d34d88", "12345.67": "52e463", "1e125": "2f2857", "-1e-130": "3ad3e0",
		"12345678901234567890123456789012345678":   "b50a4c",
		"-12345678901234567890123456789012345678":  "089522",
		"-1234567890123456789012345678901234567.8": "335ecc",
		"123456789012345678901234567890123456.78":  "07bdff",
	} {
		if got := fmt.Sprintf("%016x", HashOf(number(t, text)))[:6]; got != want {
			t.Errorf("%s: got %s; want %s", text, got, want)
		}
	}
	if got := fmt.Sprintf("%016x", hashOf(Text("a"), number(t, "1.5")))[:6]; got != "90bb0d" {
		t.Errorf(`"a" and 1.5: got %s; want 90bb0d`, got)
	}
}

func TestHashRangesCoverAllHashes(t *testing.T) {
	for _, segments := range []int{1, 2, 3, 7, 1000, 1 << 20} {
		if from := HashRange(0, segments).From; !bytes.Equal(from, make([]byte, 8)) {
			t.Errorf("%d segments: they begin at %x; want 0", segments, from)
		}
		for _, segment := range []int{0, segments/2 - 1, segments - 2} {
			if segment < 0 || segment+1 >= segments {
				continue
			}
			r, next := HashRange(segment, segments), HashRange(segment+1, segments)
			if !bytes.Equal(r.To, next.From) || bytes.Compare(r.From, r.To) >= 0 {
				t.Errorf("segment %d of %d ends at %x; the next begins at %x", segment, segments, r.To, next.From)
			}
		}
		if to := HashRange(segments-1, segments).To; to != nil {
			t.Errorf("%d segments: they end at %x; want nil", segments, to)
		}
	}
}

func BenchmarkKey(b *testing.B) {
	schema := KeySchema{Hash: KeyAttr{"id", S}, Range: KeyAttr{"at", N}}
	it := New(Attr{"id", Text("user#0000012345")}, Attr{"at", Value{Type: N, Text: "1722500000123"}},
		Attr{"x", Text(strings.Repeat("x", 99))})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := schema.Key(it); err != nil {
			b.Fatal(err)
		}
	}
}
