package holdfast_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"holdfast"
)

// Each kind has a name of its own, which no caller has to guess; a number that is no kind shows it.
func TestKindsHaveNames(t *testing.T) {
	seen := map[string]holdfast.Kind{}
	for k := holdfast.Invalid; k <= holdfast.Closed; k++ {
		name := k.Error()
		if other, twice := seen[name]; twice || strings.HasPrefix(name, "kind ") {
			t.Errorf("kind %d: got the name %q, which kind %d has; want one of its own", uint8(k), name, uint8(other))
		}
		seen[name] = k
	}
	for _, k := range []holdfast.Kind{0, holdfast.Closed + 1, 255} {
		if got, want := k.Error(), fmt.Sprintf("kind %d", uint8(k)); got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	}
}

// An error is of its kind and no other, also where it is wrapped, and keeps its cause.
func TestErrorsAreOfTheirKind(t *testing.T) {
	cause := holdfast.Errorf(holdfast.Corrupt, "block 7: %w", io.ErrUnexpectedEOF)
	outer := holdfast.Errorf(holdfast.Unavailable, "reading: %w", cause)
	wrapped := fmt.Errorf("table t: %w", outer)
	for _, test := range []struct {
		err  error
		of   error
		want bool
	}{
		{outer, holdfast.Unavailable, true},
		{outer, holdfast.Corrupt, true}, // of its cause
		{outer, holdfast.Full, false},
		{wrapped, holdfast.Unavailable, true},
		{wrapped, io.ErrUnexpectedEOF, true},
		{holdfast.Errorf(holdfast.Gone, "no cause"), io.ErrUnexpectedEOF, false},
		{holdfast.Gone, holdfast.Gone, true},
	} {
		if got := errors.Is(test.err, test.of); got != test.want {
			t.Errorf("errors.Is(%q, %q): got %v; want %v", test.err, test.of, got, test.want)
		}
	}
	if want := "reading: block 7: unexpected EOF"; outer.Error() != want || outer.Text != want {
		t.Errorf("got %q, %q; want %q", outer.Error(), outer.Text, want)
	}
}

// Positions are in the order of their transactions, and within one of their changes.
func TestPositionsAreOrdered(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	random := func() holdfast.Position {
		return holdfast.Position{Index: rng.Uint64() >> rng.IntN(64), N: rng.Uint32() >> rng.IntN(32)}
	}
	for range 1000 {
		p, o := random(), random()
		if rng.IntN(3) == 0 {
			o.Index = p.Index
		}
		want := cmp.Compare(p.Index, o.Index)
		if want == 0 {
			want = cmp.Compare(p.N, o.N)
		}
		if p.Compare(o) != want || o.Compare(p) != -want || p.Compare(p) != 0 {
			t.Fatalf("%v and %v: got %d, %d; want %d", p, o, p.Compare(o), o.Compare(p), want)
		}
		if first := (holdfast.Position{}); p != first && p.Compare(first) != 1 {
			t.Fatalf("%v is not behind the zero position", p)
		}
	}
}
