package item

import (
	"errors"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"holdfast"
)

func TestParseNumber(t *testing.T) {
	nines := strings.Repeat("9", 38)
	for _, test := range []struct{ in, want string }{
		{"0", "0"}, {"-0", "0"}, {"+0", "0"}, {"0.000", "0"}, {"-0e500", "0"}, {".0", "0"}, {"000", "0"},
		{"1", "1"}, {"00042", "42"}, {"+7", "7"}, {"-7", "-7"}, {"10", "10"}, {"100", "100"}, {"1E2", "100"},
		{"1.0", "1"}, {"3.1400", "3.14"}, {"1.5E2", "150"}, {"1.5e+2", "150"}, {"150e-2", "1.5"}, {".5", "0.5"}, {"5.", "5"},
		{"0.5", "0.5"}, {"-00.050", "-0.05"}, {"1.0e0", "1"}, {"0.00001e5", "1"}, {"120.0", "120"}, {"0.1e-1", "0.01"},
		{nines, nines}, {"-" + nines, "-" + nines}, {"1" + strings.Repeat("0", 125), "1" + strings.Repeat("0", 125)},
		{"9." + nines[1:] + "E+125", nines + strings.Repeat("0", 88)},
		{"-9." + nines[1:] + "E+125", "-" + nines + strings.Repeat("0", 88)},
		{"1E-130", "0." + strings.Repeat("0", 129) + "1"},
		{"-1.2e-130", "-0." + strings.Repeat("0", 129) + "12"},
		{strings.Repeat("0", 500) + "1" + strings.Repeat("0", 100) + "." + strings.Repeat("0", 500), "1" +
			strings.Repeat("0", 100)},
		{"0." + strings.Repeat("0", 1000) + "1e1001", "1"},
	} {
		got, err := ParseNumber(test.in)
		if err != nil || got != test.want {
			t.Errorf("ParseNumber(%q): got %q, %v; want %q", test.in, got, err, test.want)
			continue
		}
		if again, err := ParseNumber(got); again != got || err != nil {
			t.Errorf("ParseNumber(%q), which is canonical: got %q, %v", got, again, err)
		}
	}
}

func TestParseNumberErrors(t *testing.T) {
	const text = "The parameter cannot be converted to a numeric value"
	for _, test := range []struct{ in, want string }{
		{"", text},
		{"b", text + ": b"}, {"-", text + ": -"}, {".", text + ": ."}, {"1e", text + ": 1e"}, {"1e+", text + ": 1e+"},
		{"e5", text + ": e5"}, {"1 ", text + ": 1 "}, {" 1", text + ":  1"}, {"1.2.3", text + ": 1.2.3"},
		{"--1", text + ": --1"},
		{"0x10", text + ": 0x10"}, {"NaN", text + ": NaN"}, {"Infinity", text + ": Infinity"}, {"1_0", text + ": 1_0"},
		{"1e5.5", text + ": 1e5.5"}, {"１", text + ": １"},
		{"1e126", overflowText}, {"-1e126", overflowText}, {"1e99999999999999999999999", overflowText},
		{"1" + strings.Repeat("0", 126), overflowText},
		{"1e-131", underflowText}, {"-1e-131", underflowText}, {"1e-99999999999999999999999", underflowText},
		{"123456789012345678901234567890123456789", precisionText},
		{"-1.23456789012345678901234567890123456789", precisionText},
		{"1" + strings.Repeat("0", 37) + "1", precisionText},
		{"123456789012345678901234567890123456789e125", overflowText},
	} {
		got, err := ParseNumber(test.in)
		if err == nil || err.Error() != test.want || !errors.Is(err, holdfast.Invalid) {
			t.Errorf("ParseNumber(%q): got %q, %v; want %s", test.in, got, err, test.want)
		}
	}
}

// randomNumber returns a canonical number: of all lengths and magnitudes, with those that differ in
// one digit, sign or place often among them.
func randomNumber(r *rand.Rand) string {
	digits := 1 + r.IntN(4)
	if r.IntN(3) == 0 {
		digits = 1 + r.IntN(maxDigits)
	}
	var b strings.Builder
	if r.IntN(2) == 0 {
		b.WriteByte('-')
	}
	alphabet := "0123456789"
	if r.IntN(2) == 0 {
		alphabet = "019"
	}
	for range digits {
		b.WriteByte(alphabet[r.IntN(len(alphabet))])
	}
	exponent := r.IntN(6) - 3
	if r.IntN(3) == 0 {
		exponent = minExponent + r.IntN(maxExponent-minExponent-digits)
	}
	text, err := ParseNumber(b.String() + "e" + strconv.Itoa(exponent))
	if err != nil {
		panic(err)
	}
	return text
}

func exact(text string) *big.Rat {
	value, ok := new(big.Rat).SetString(text)
	if !ok {
		panic(text)
	}
	return value
}

func TestCompareNumbersIsTheOrderOfValues(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 30000 {
		a, b := randomNumber(r), randomNumber(r)
		if got, want := CompareNumbers(a, b), exact(a).Cmp(exact(b)); got != want {
			t.Fatalf("CompareNumbers(%s, %s): got %d; want %d", a, b, got, want)
		}
	}
}

func TestSumsAreExact(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	refused := 0
	for range 30000 {
		a, b := randomNumber(r), randomNumber(r)
		plus, minus := new(big.Rat).Add(exact(a), exact(b)), new(big.Rat).Sub(exact(a), exact(b))
		for _, test := range []struct {
			name string
			do   func(a, b string) (string, error)
			want *big.Rat
		}{{"AddNumbers", AddNumbers, plus}, {"SubNumbers", subNumbers, minus}} {
			// 300 digits behind the point are more than any sum has.
			want, wantErr := ParseNumber(test.want.FloatString(300))
			if wantErr != nil && wantErr.Error() == precisionText {
				wantErr = errors.New(overflowText) // as the service says of sums
			}
			got, err := test.do(a, b)
			if got != want || (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
				t.Fatalf("%s(%s, %s): got %s, %v; want %s, %v", test.name, a, b, got, err, want, wantErr)
			}
			if err != nil {
				refused++
			}
		}
	}
	if refused == 0 {
		t.Error("no sum was refused")
	}
}

func TestSumsOutOfRange(t *testing.T) {
	most := strings.Repeat("9", 38) + strings.Repeat("0", 88)
	ulp := "1" + strings.Repeat("0", 88)
	least := "0." + strings.Repeat("0", 129) + "1"
	for _, test := range []struct{ a, b, want string }{
		{most, ulp, overflowText},
		{"-" + most, "-" + ulp, overflowText},
		{least + "1", "-" + least, underflowText},
		{most, "1", overflowText},
		{strings.Repeat("9", 38), "0.1", overflowText},
	} {
		if got, err := AddNumbers(test.a, test.b); err == nil || err.Error() != test.want {
			t.Errorf("AddNumbers(%s, %s): got %s, %v; want %s", test.a, test.b, got, err, test.want)
		}
	}
	if got, err := subNumbers(most, most); got != "0" || err != nil {
		t.Errorf("SubNumbers of the greatest from itself: got %s, %v; want 0", got, err)
	}
}

func FuzzParseNumber(f *testing.F) {
	for _, text := range []string{"0", "-00.050", "1.5E+2", ".5", "5.", "1e-130", "9.99e125", "+1", "1e", "-"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseNumber(text)
		if err != nil {
			return
		}
		if again, err := ParseNumber(got); again != got || err != nil {
			t.Errorf("%q is %q: got %q, %v of that", text, got, again, err)
		}
		if i := strings.IndexAny(text, "eE"); i >= 0 && len(text)-i > 6 {
			return // zero with any exponent, which takes big.Rat long
		}
		if want := exact(text); exact(got).Cmp(want) != 0 {
			t.Errorf("%q: got %q", text, got)
		}
	})
}

func BenchmarkParseNumber(b *testing.B) {
	for _, text := range []string{"1234567", "-1234.5678", "1.5E2", "12345678901234567890123456789012345678"} {
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseNumber(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCompareNumbers(b *testing.B) {
	for _, pair := range [][2]string{{"1234567", "1234568"}, {"-1234.5678", "-1234.5679"},
		{"12345678901234567890123456789012345678", "12345678901234567890123456789012345679"}} {
		b.Run(pair[0], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				CompareNumbers(pair[0], pair[1])
			}
		})
	}
}

func BenchmarkAddNumbers(b *testing.B) {
	for _, pair := range [][2]string{{"1234567", "1"}, {"1234.5678", "-0.001"}} {
		b.Run(pair[0], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := AddNumbers(pair[0], pair[1]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
