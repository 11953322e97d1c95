package item

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// randomText returns a text with many of the bytes that the form escapes.
func randomText(r *rand.Rand) string {
	b := make([]byte, r.IntN(6))
	for i := range b {
		b[i] = [...]byte{0, 1, 2, 'a', 0xFE, 0xFF}[r.IntN(6)]
	}
	return string(b)
}

func TestPartsHaveTheOrderOfValues(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	random := map[string]func() Value{
		"numbers": func() Value { return Value{Type: N, Text: randomNumber(r)} },
		"texts":   func() Value { return Text(randomText(r)) },
		"bytes":   func() Value { return Bytes(randomText(r)) },
	}
	for name, next := range random {
		t.Run(name, func(t *testing.T) {
			for range 30000 {
				a, b := next(), next()
				want, _ := a.Compare(b)
				formA, formB := appendPart(nil, a), appendPart(nil, b)
				if got := bytes.Compare(formA, formB); got != want {
					t.Fatalf("%q and %q, in bytes %x and %x: got %d; want %d", a.Text, b.Text, formA, formB, got, want)
				}
				if want != 0 && bytes.HasPrefix(formB, formA) {
					t.Fatalf("%x of %q is the beginning of %x of %q", formA, a.Text, formB, b.Text)
				}
				got, rest, ok := cutPart(append(formA, "rest"...), a.Type)
				if !ok || !got.Equal(a) || string(rest) != "rest" {
					t.Fatalf("%q and back: got %q, rest %q, %v", a.Text, got.Text, rest, ok)
				}
			}
		})
	}
}

func TestPartsOfExtremeNumbers(t *testing.T) {
	nines := strings.Repeat("9", 38)
	ascending := []string{"-" + nines + "e88", "-" + nines, "-1.1", "-1.01", "-1", "-0.1", "-1e-130", "0", "1e-130",
		"1.1e-130", "0.1",
		"1", "1.01", "1.1", nines, nines + "e88"}
	var before []byte
	for _, text := range ascending {
		v, err := Number(text)
		if err != nil {
			t.Fatal(err)
		}
		form := appendPart(nil, v)
		if bytes.Compare(before, form) >= 0 {
			t.Errorf("%s: got %x, which isn't behind %x", text, form, before)
		}
		if len(form) > 21 {
			t.Errorf("%s takes %d bytes", text, len(form))
		}
		before = form
	}
}

func FuzzCutPart(f *testing.F) {
	for _, text := range []string{"0", "-1.5", "100", "12345678901234567890123456789012345678"} {
		f.Add(appendPart(nil, Value{Type: N, Text: text}))
	}
	f.Add(appendPart(nil, Text("a\x00b")))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, typ := range []Type{S, N, B} {
			v, rest, ok := cutPart(b, typ)
			if !ok {
				continue
			}
			if got := append(appendPart(nil, v), rest...); !bytes.Equal(got, b) {
				t.Errorf("%x as %s is %q: got %x back", b, typ, v.Text, got)
			}
			if typ == N {
				if text, err := ParseNumber(v.Text); text != v.Text {
					t.Errorf("%x: got %s, %v, which isn't canonical", b, v.Text, err)
				}
			}
		}
	})
}
