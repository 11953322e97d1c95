package route_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"holdfast/ring"
	"holdfast/route"
)

// randomText returns a text of pieces that a terminal, a key or a prefix may stumble over.
func randomText(rnd *rand.Rand) string {
	pieces := []string{"a", "k1", "/", "//", "*", " ", "ü", "日本", "\x1b[31m", "\n", "\r", "\t", "\x00", "\x7f",
		"\x9b", "\xff", "\u202e", "\u2066", "\u200b", "\ufeff", "\U000e0001", "\u00ad", "\u2028", "\ufffd", `\x1b`}
	var b strings.Builder
	for range rnd.IntN(8) {
		b.WriteString(pieces[rnd.IntN(len(pieces))])
	}
	return b.String()
}

// TestPrintable checks that nothing remains that a terminal could act on, that texts without such
// characters stay, and that each piece is translated by itself.
func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "plain key": "plain key", "ü日本": "ü日本",
		"a\x1b[31mb": `a\x1b[31mb`, "a\nb": `a\x0ab`, "\x7f\x00": `\x7f\x00`,
		"\u202eabc": `\u202eabc`, "\xffx": `\xffx`, "\ufffd": `\ufffd`, "\u0085": `\u0085`, "\U000e0001": `\ue0001`,
	} {
		if got := route.Printable(text); got != want {
			t.Errorf("%q: got %q; want %q", text, got, want)
		}
	}
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		one, other := randomText(rnd), randomText(rnd)
		got := route.Printable(one)
		for _, r := range got {
			if !unicode.IsGraphic(r) || r == unicode.ReplacementChar {
				t.Fatalf("seed %d: %q: got %q with %U", seed, one, got, r)
			}
		}
		if again := route.Printable(got); again != got {
			t.Fatalf("seed %d: %q: got %q of what is printable; want it unchanged", seed, got, again)
		}
		if both := route.Printable(one + "|" + other); both != got+"|"+route.Printable(other) {
			t.Fatalf("seed %d: %q and %q: got %q together", seed, one, other, both)
		}
	}
}

// TestClusterPrefixes compares the readers of routing prefixes with regular expressions.
func TestClusterPrefixes(t *testing.T) {
	key := regexp.MustCompile(`(?s)^/([^/]+)/([^/]+)/(.*)$`)
	whole := regexp.MustCompile(`(?s)^/([^/*]+)/([^/*]+)/$`)
	for seed := range uint64(5000) {
		rnd := rand.New(rand.NewPCG(seed, 6))
		text := randomText(rnd)
		if rnd.IntN(2) == 0 {
			text = "/" + randomText(rnd) + "/" + randomText(rnd) + "/" + text
		}
		region, name, rest, ok := route.CutCluster([]byte(text))
		if m := key.FindStringSubmatch(text); ok != (m != nil) ||
			ok && (region != m[1] || name != m[2] || string(rest) != m[3]) {
			t.Fatalf("seed %d: CutCluster(%q): got %q, %q, %q, %v; want %q", seed, text, region, name, rest, ok, m)
		}
		region, name, ok = route.ParseCluster(text)
		m := whole.FindStringSubmatch(text)
		if ok != (m != nil) || ok && (region != m[1] || name != m[2]) {
			t.Fatalf("seed %d: ParseCluster(%q): got %q, %q, %v; want %q", seed, text, region, name, ok, m)
		}
		o := twoPools()
		o.Clusters = []route.ClusterRoute{{Prefix: text, Route: toPool("a")}}
		o.SetDefaults()
		if faults := o.Check(); (len(faults) == 0) != (m != nil && !strings.Contains(text, " ")) {
			t.Fatalf("seed %d: prefix %q: got faults %v", seed, text, faults)
		}
	}
}

// randomHop returns a hop with others after it.
func randomHop(rnd *rand.Rand, depth int) route.Hop {
	h := route.Hop{Route: "pool", Name: randomText(rnd), Why: randomText(rnd), Later: rnd.IntN(4) == 0}
	if depth == 0 || rnd.IntN(3) == 0 {
		h.Route, h.Address = "member", fmt.Sprintf("10.0.0.%d:11211", rnd.IntN(256))
		return h
	}
	for range rnd.IntN(4) {
		h.Next = append(h.Next, randomHop(rnd, depth-1))
	}
	return h
}

// TestHopsAsText checks of random hops that each is on one line, indented by its depth, and that
// Addresses are those of the members that no hop puts off.
func TestHopsAsText(t *testing.T) {
	for seed := range uint64(1000) {
		h := randomHop(rand.New(rand.NewPCG(seed, 7)), 4)
		lines := strings.Split(h.String(), "\n")
		var addresses []string
		var check func(h route.Hop, depth int, later bool)
		check = func(h route.Hop, depth int, later bool) {
			if len(lines) == 0 {
				t.Fatalf("seed %d: too few lines", seed)
			}
			line := lines[0]
			lines = lines[1:]
			if rest, ok := strings.CutPrefix(line, strings.Repeat(" ", depth)+h.Route); !ok ||
				!strings.Contains(rest, h.Address) || !strings.Contains(rest, route.Printable(h.Why)) {
				t.Fatalf("seed %d: got %q; want %s at depth %d, for %+v", seed, line, h.Route, depth, h)
			}
			later = later || h.Later
			if h.Address != "" && !later {
				addresses = append(addresses, h.Address)
			}
			for _, next := range h.Next {
				check(next, depth+1, later)
			}
		}
		check(h, 0, false)
		if len(lines) > 0 {
			t.Fatalf("seed %d: got further lines %q", seed, lines)
		}
		if got := route.Addresses(nil, []route.Hop{h}); !slices.Equal(got, addresses) {
			t.Fatalf("seed %d: got addresses %q; want %q of\n%s", seed, got, addresses, h)
		}
	}
}

func TestHopText(t *testing.T) {
	member := route.Hop{Route: "member", Name: "m1", Address: "h:1"}
	for _, test := range []struct {
		hop  route.Hop
		want string
	}{
		{member, "member m1 h:1"},
		{route.Hop{Route: "member", Name: "h:1", Address: "h:1"}, "member h:1"},
		{route.Hop{Route: "null"}, "null"},
		{member.Because("down"), "member m1 h:1 (down)"},
		{member.Because("down").Because("owns the key"), "member m1 h:1 (owns the key; down)"},
		{member.Because("down").Because(""), "member m1 h:1 (down)"},
		{member.Because("").Because(""), "member m1 h:1"},
		{route.Hop{Route: "pool", Name: "p\n", Next: []route.Hop{member, member.AskedLater("if that fails")}},
			"pool p\\x0a\n member m1 h:1\n member m1 h:1 (if that fails)"},
	} {
		if got := test.hop.String(); got != test.want {
			t.Errorf("got %q; want %q", got, test.want)
		}
	}
	if later := member.AskedLater("x"); !later.Later || member.Later || member.Why != "" {
		t.Errorf("got %+v, and %+v for the hop that it is from", later, member)
	}
}

func TestFaultsAsText(t *testing.T) {
	var f route.Faults
	if len(f.Error()) != 0 {
		t.Errorf("got %q of no faults", f.Error())
	}
	f.Add("", "%d pools", 3)
	f.Add("a.b", "is %q", "x%d")
	for _, n := range []int64{0, 1, 5, 9, 10} {
		f.Within("n", n, 1, 9)
	}
	want := "3 pools\na.b: is \"x%d\"\nn: 0 is not in [1, 9]\nn: 10 is not in [1, 9]"
	if got := f.Error(); got != want {
		t.Errorf("got %q; want %q", got, want)
	}
}

// TestRingOptions sets each field of a hash: all but the load, which the router applies, must reach
// package ring.
func TestRingOptions(t *testing.T) {
	fields := reflect.TypeFor[route.Hash]()
	for i := range fields.NumField() {
		var h route.Hash
		switch field := reflect.ValueOf(&h).Elem().Field(i); field.Kind() {
		case reflect.String:
			field.SetString("x")
		case reflect.Float64:
			field.SetFloat(1.5)
		default:
			h.Weights = []float64{0.5}
		}
		name := fields.Field(i).Name
		got := reflect.ValueOf(h.RingOptions())
		if name == "Load" {
			if !reflect.DeepEqual(h.RingOptions(), ring.Options{}) {
				t.Errorf("Load: got %+v", got)
			}
			continue
		}
		if want := reflect.ValueOf(h).Field(i).Interface(); !reflect.DeepEqual(got.FieldByName(name).Interface(), want) {
			t.Errorf("%s: got %+v; want %v in it", name, got, want)
		}
		if h.IsZero() {
			t.Errorf("%s: the hash is zero; want it not to be", name)
		}
	}
}
