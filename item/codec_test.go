package item

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"holdfast"
)

// randomValue returns a value of any type, with up to so many levels.
func randomValue(r *rand.Rand, levels int) Value {
	v := Value{Type: S + Type(r.IntN(int(M)))}
	if levels == 1 && v.Type >= L {
		v.Type = S
	}
	switch v.Type {
	case S, B:
		v.Text = strings.Repeat(randomText(r), r.IntN(60))
	case N:
		v.Text = randomNumber(r)
	case SS, NS, BS:
		for i := range 1 + r.IntN(20) {
			v.Set = append(v.Set, fmt.Sprint(i))
		}
	case BOOL:
		v.Bool = r.IntN(2) == 0
	case L:
		for range r.IntN(5) {
			v.List = append(v.List, randomValue(r, levels-1))
		}
	case M:
		v.Map = randomItem(r, levels-1)
	}
	return v
}

func randomItem(r *rand.Rand, levels int) Item {
	var attrs []Attr
	for range r.IntN(8) {
		attrs = append(attrs, Attr{randomText(r) + fmt.Sprint(r.IntN(20)), randomValue(r, levels)})
	}
	return New(attrs...)
}

func TestDecodeReturnsWhatWasAppended(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 3000 {
		it := randomItem(r, 5)
		form := string(Append([]byte("before"), it))[len("before"):]
		got, err := Decode(form)
		if err != nil || !got.Equal(it) || got == nil {
			t.Fatalf("got %v, %v; want %v", got, err, it)
		}
		if again := string(Append(nil, got)); again != form {
			t.Fatalf("%v: its form is %x, then %x", it, form, again)
		}
	}
}

func TestDecodeRefusesWhatIsNoItem(t *testing.T) {
	it := New(Attr{"a", Text("x")}, Attr{"l", List(Bool(true), Null)}, Attr{"s", Value{Type: SS, Set: []string{"p", "q"}}})
	form := string(Append(nil, it))
	for n := range form {
		if _, err := Decode(form[:n]); !errors.Is(err, holdfast.Corrupt) {
			t.Errorf("its first %d bytes: got %v; want Corrupt", n, err)
		}
	}
	deep := Text("x")
	for range deepest {
		deep = List(deep)
	}
	for name, form := range map[string]string{
		"more behind it":        form + "\x00",
		"another version":       "\x02" + form[1:],
		"names out of order":    "\x01\x02\x00\x00\x02\x01b\x08\x01a\x08",
		"a name twice":          "\x01\x02\x00\x00\x02\x01a\x08\x01a\x08",
		"a long length":         "\x01\x81\x00\x00\x00\x01\x01a\x08",
		"too much":              "\x01\xff\xff\xff\xff\x0f\x00\x00",
		"sums that are too big": "\x01\x02\x00\x00\x01\x01a\x01\x05xxxxx",
		"an unknown type":       "\x01\x01\x00\x00\x01\x01a\x0b",
		"no truth":              "\x01\x01\x00\x00\x01\x01a\x07\x02",
		"no end of nesting":     string(Append(nil, New(Attr{"a", deep}))),
	} {
		if got, err := Decode(form); !errors.Is(err, holdfast.Corrupt) {
			t.Errorf("%s: got %v, %v; want Corrupt", name, got, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 20 {
		f.Add(string(Append(nil, randomItem(r, 4))))
	}
	f.Fuzz(func(t *testing.T, form string) {
		it, err := Decode(form)
		if err != nil {
			if !errors.Is(err, holdfast.Corrupt) {
				t.Errorf("got %v; want Corrupt", err)
			}
			return
		}
		if got := string(Append(nil, it)); got != form {
			t.Errorf("got %x back; want %x", got, form)
		}
		it.Size()
	})
}

// kilobyte is an item of 1 KB with ten attributes.
func kilobyte() Item {
	attrs := []Attr{{"id", Text("user#0000012345")}, {"score", Value{Type: N, Text: "1234567"}}, {"active", Bool(true)},
		{"tags", Value{Type: SS, Set: []string{"red", "green", "blue"}}},
		{"address", Map(New(Attr{"city", Text("Bergen")}, Attr{"zip", Value{Type: N, Text: "5003"}}))}}
	for i := range 5 {
		attrs = append(attrs, Attr{fmt.Sprintf("field%d", i), Text(strings.Repeat("x", 180))})
	}
	return New(attrs...)
}

func TestDecodeAllocates(t *testing.T) {
	form := string(Append(nil, kilobyte()))
	if got := testing.AllocsPerRun(100, func() { _, _ = Decode(form) }); got > 2 {
		t.Errorf("got %v allocations; want 2, of attributes and of elements of sets", got)
	}
}

func BenchmarkDecode(b *testing.B) {
	form := string(Append(nil, kilobyte()))
	b.SetBytes(int64(len(form)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(form); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeFlat(b *testing.B) {
	form := string(Append(nil, New(Attr{"id", Text("user#0000012345")}, Attr{"data", Text(strings.Repeat("x", 1000))})))
	b.SetBytes(int64(len(form)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(form); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	it := kilobyte()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = Append(buf[:0], it)
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkSize(b *testing.B) {
	it := kilobyte()
	b.ReportAllocs()
	for b.Loop() {
		it.Size()
	}
}
