package mc

import (
	"strings"
	"testing"
)

// in is decoded and printed again, which must give want; an empty want means in.
func TestAppendRequests(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"get a b c\r\nget d\r\n", ""},
		{"gats 5 a b\r\ngats 5 c\r\n", ""},
		{"get  a   b \n", "get a b\r\n"},
		{"set k 1 -2 3 noreply\r\nabc\r\n", ""},
		{"add k 1 2 3 whatever\r\nabc\r\n", "add k 1 2 3\r\nabc\r\n"},
		{"cas k 0 0 1 7 noreply\r\na\r\n", ""},
		{"delete k 0 noreply\r\n", "delete k noreply\r\n"},
		{"delete noreply\r\n", "delete noreply noreply\r\n"},
		{"delete noreply 0\r\n", ""},
		{"incr k +5 noreply\r\n", "incr k 5 noreply\r\n"},
		{"touch k -1\r\n", ""},
		{"flush_all\r\nflush_all 0 noreply\r\n", ""},
		{"mn\r\nmg k v  t Oabc\r\nma k\r\nmd k q\r\nme k v\r\n", ""},
		{"mn and more\r\n", "mn\r\n"},
		{"ms k 2 c q\r\nab\r\nms a!2V5 0 b\r\n\r\n", "ms k 2 c q\r\nab\r\nms a2V5 0 b\r\n\r\n"},
		{"version\r\nstats detail on\r\nverbosity 1 noreply\r\n", ""},
		{"bogus\r\nmn\r\n", "mn\r\n"},
	} {
		f := newFeeder(Decoder{})
		if err := f.feed([]byte(c.in)); err != nil {
			t.Fatal(err)
		}
		if c.want == "" {
			c.want = c.in
		}
		if got := string(AppendRequests(nil, f.got)); got != c.want {
			t.Errorf("%q:\n got %q\nwant %q", c.in, got, c.want)
		}
	}
}

func TestOpString(t *testing.T) {
	for op := Invalid; op <= Malformed; op++ {
		if op.String() == "" || strings.Contains(op.String(), " ") {
			t.Errorf("op %d has the name %q", op, op)
		}
	}
	if got := Op(200).String(); got != "unknown" {
		t.Errorf("got %q; want unknown", got)
	}
}
