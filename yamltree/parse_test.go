package yamltree

import (
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", "<nil>"},
		{"# nothing\n", "<nil>"},
		{"a: 1\n", "a: 1"},
		{"a: [x, y] # [[[\n", "a: [x, y]"},
		{"a: 1\n---\nb: 1\n", "error: the file has 2 documents, and must have one"},
		{"a: [", "error: not YAML: [1:4] sequence end token ']' not found"},
	} {
		node, err := Parse([]byte(test.text))
		got := "<nil>"
		switch {
		case err != nil:
			got, _, _ = strings.Cut("error: "+err.Error(), "\n")
		case node != nil:
			got = node.String()
		}
		if got != test.want {
			t.Errorf("%q: got %q; want %q", test.text, got, test.want)
		}
	}
}

// TestBounds has inputs that keep an unbounded parser busy for seconds or minutes.
func TestBounds(t *testing.T) {
	lines := func(n int, line func(i int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(line(i))
		}
		return b.String()
	}
	const nested = "line 1: lists and mappings nest deeper than 100"
	for _, test := range []struct{ what, text, want string }{
		{"brackets", strings.Repeat("[", 20_000), nested},
		{"braces", strings.Repeat("{a: ", 20_000), nested},
		{"brackets on lines of their own", "\n" + strings.Repeat("[\n", 20_000),
			"line 102: lists and mappings nest deeper than 100"},
		{"dashes on a line", strings.Repeat("- ", 20_000), nested},
		{"question marks on a line", strings.Repeat("? ", 20_000), nested},
		{"both, in brackets", strings.Repeat("[", 60) + "\n" + strings.Repeat("- ", 60),
			"line 2: lists and mappings nest deeper than 100"},
		{"keys", lines(20_000, func(i int) string { return fmt.Sprintf("k%d: 1\n", i) }),
			"line 10001: more than 10000 keys in the file"},
		{"quoted keys in braces", "{" + lines(20_000, func(i int) string { return fmt.Sprintf(`"k%d":1,`, i) }), "line 1: more than 10000 keys in the file"},
		{"keys without a colon", lines(20_000, func(i int) string { return fmt.Sprintf("? k%d\n", i) }),
			"line 10001: more than 10000 keys in the file"},
		{"items", lines(60_000, func(int) string { return "- a\n" }),
			"line 50001: more than 50000 items of lists in the file"},
		{"items in brackets", "a: [" + strings.Repeat("1,", 60_000) + "1]",
			"line 1: more than 50000 items of lists in the file"},
		{"bytes", strings.Repeat(" ", 2<<20), "the file has 2097152 bytes; at most 1048576"},
		{"after an escape in quotes", `a: "\""` + "\n" + strings.Repeat("[", 101), "line 2: lists and mappings nest deeper than 100"},
		{"after an apostrophe", "a: it's\n" + strings.Repeat("[", 101), "line 2: lists and mappings nest deeper than 100"},
	} {
		if _, err := Parse([]byte(test.text)); err == nil || err.Error() != test.want {
			t.Errorf("%s: got %v; want %s", test.what, err, test.want)
		}
	}
}

// TestWithinBounds has valid files for which a scan might overestimate the nesting or the numbers.
func TestWithinBounds(t *testing.T) {
	for what, text := range map[string]string{
		"brackets in comments":      strings.Repeat("a: 1 # [ {\n", 1) + strings.Repeat("# [ {\n", 500),
		"brackets in quotes":        "a: '" + strings.Repeat("[{", 200) + "'\nb: \"" + strings.Repeat("[{", 200) + "\"\n",
		"many addresses":            "a: [" + strings.Repeat("'[2001:db8:1:2:3:4:5:6]:11211', 127.0.0.1:11211, ", 2000) + "]",
		"many lists, one at a time": "a:\n" + strings.Repeat("  - [1, 2]\n", 2000),
	} {
		if _, err := Parse([]byte(text)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// FuzzParse can find only panics and hangs.
func FuzzParse(f *testing.F) {
	f.Add([]byte("a: [b, {c: d}]\n- 'e'\n? f\n"))
	f.Fuzz(func(t *testing.T, text []byte) { Parse(text) })
}
