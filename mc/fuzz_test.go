package mc

import (
	"bytes"
	"strings"
	"testing"
)

var fuzzSeeds = []string{
	"get a\r\n", "gets a b c\r\n", "get  a  b \r\nmn\r\n", "gat 5 a b\n", "gats -1 a\r\n", "get q\r\r\n",
	"set k 1 2 3\r\nabc\r\n", "set k 0 0 3 noreply\r\nabcde\nmn\r\n", "cas k 0 -1 1 7 noreply\r\na\r\n",
	"set k 0 0 2000\r\n" + strings.Repeat("v", 2002) + "mn\r\n", "set k 0 0 -1\r\n",
	"set k -18446744073709551615 0 0\r\n\r\n",
	"add k 0 0 0\r\n\r\nreplace k 0 0 1\r\na\r\nappend k 0 0 1\r\na\r\nprepend k 0 0 1\r\na\r\n",
	"delete noreply\r\ndelete noreply 0\r\ndelete k\r\n", "incr k 5\r\ndecr k 6 noreply\r\n", "touch k 5\t6\r\n",
	"flush_all\r\nflush_all 5\r\nflush_all 5 noreply\r\nflush_all -\r\n",
	"mn\r\nmg k v t Oabc q\r\nmd k q\r\nma k D5 J3 N60 MD\r\nme k\r\n", "ms k 2 F3 T9 MA q\r\nab\r\n",
	"ms k 2 v v\r\nab\r\n",
	"mg a!2V= b k\r\nms a2V5 2 b\r\nab\r\nme a2V5 b\r\n", "mg k " + strings.Repeat("v ", 30) + "\r\n",
	"version\r\nstats detail on\r\nverbosity 1 noreply\r\nquit\r\n",
	"debugtime p\r\nmisbehave\r\nwatch\r\nlru mode flat\r\n",
	"GET / HTTP/1.1\r\n", "\x80\x00\r\n", "\r\n", strings.Repeat("x", 2050), "get " + strings.Repeat("k ", 1100) + "\r\n",
}

// FuzzDecode checks that nothing panics, that cutting the input anywhere changes nothing, and that
// accepted requests print and decode as the same.
func FuzzDecode(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add([]byte(s), uint16(len(s)/2), uint8(0))
		f.Add([]byte(s+s), uint16(3), uint8(2))
	}
	f.Fuzz(func(t *testing.T, in []byte, cut uint16, limit uint8) {
		options := Decoder{ItemMaxBytes: 1024, MaxRequests: int(limit), Debug: true}
		whole := newFeeder(options)
		wholeErr := whole.feed(in)

		at := min(int(cut), len(in))
		split := newFeeder(options)
		splitErr := split.feed(in[:at])
		if splitErr == nil {
			splitErr = split.feed(in[at:])
		}
		if wholeErr != splitErr || !sameRequests(whole.got, split.got) {
			t.Errorf("cut at %d:\n got %s, %v\nwant %s, %v", at, showAll(split.got), splitErr, showAll(whole.got), wholeErr)
		}
		checkPrint(t, options, whole.got)
	})
}

func checkPrint(t *testing.T, options Decoder, requests []Request) {
	t.Helper()
	var valid []Request
	for _, r := range requests {
		if r.Op != Invalid {
			valid = append(valid, r)
		}
	}
	// The last get of an input that was cut may lack its Last, as there is no line end.
	if n := len(valid); n > 0 && valid[n-1].Op.IsGet() {
		valid[n-1].Last = true
	}
	text := AppendRequests(nil, valid)
	again := newFeeder(options)
	if err := again.feed(text); err != nil || !sameRequests(again.got, valid) {
		t.Errorf("printed as %q:\n got %s, %v\nwant %s", text, showAll(again.got), err, showAll(valid))
	}
	for i := range valid {
		one := newFeeder(options)
		text := AppendRequest(nil, &valid[i])
		err := one.feed(text)
		want := valid[i]
		want.Last = want.Op.IsGet()
		if err != nil || !sameRequests(one.got, []Request{want}) {
			t.Errorf("alone printed as %q:\n got %s, %v\nwant %s", text, showAll(one.got), err, show(&want))
		}
	}
}

func sameRequests(a, b []Request) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := a[i], b[i]
		if !bytes.Equal(x.Key, y.Key) || !bytes.Equal(x.Value, y.Value) || !bytes.Equal(x.Args, y.Args) {
			return false
		}
		x.Key, x.Value, x.Args, y.Key, y.Value, y.Args = nil, nil, nil, nil, nil, nil
		if x.Flags != y.Flags || show(&x) != show(&y) {
			return false
		}
	}
	return true
}
