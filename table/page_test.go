package table

import (
	"strings"
	"testing"

	"holdfast/item"
)

// Number returns a number that is one.
func number(s string) item.Value {
	v, err := item.Number(s)
	if err != nil {
		panic(err)
	}
	return v
}

// The items of dynalite's slow tests of Query and Scan, which ran on the real service: how many of
// them fill a page.
func TestPageSize(t *testing.T) {
	text := func(n int) item.Value { return item.Text(strings.Repeat("e", n)) }
	many := func(last2 string, value item.Value) item.Item {
		return item.New(
			item.Attr{Name: "z", Value: value},
			item.Attr{Name: "y", Value: number("12.3456")},
			item.Attr{Name: "x", Value: item.Bytes("\x01\x02")},
			item.Attr{Name: "w", Value: item.Value{Type: item.SS, Set: []string{"a", "bc"}}},
			item.Attr{Name: "v", Value: item.Value{Type: item.NS, Set: []string{"1.23", "12.3"}}},
			item.Attr{Name: "u", Value: item.Value{Type: item.BS, Set: []string{"\x01\x02", "\x02", "\x01"}}},
			item.Attr{Name: "a", Value: item.Text("23")},
			item.Attr{Name: "b", Value: item.Text(last2)},
		)
	}
	ranged := func(id, name string, n int) item.Item {
		return item.New(item.Attr{Name: "a", Value: item.Text(id)}, item.Attr{Name: "b", Value: item.Text("01")},
			item.Attr{Name: name, Value: text(n)})
	}
	long := strings.Repeat("e", 255)
	id := "0123456789" // dynalite's random ids are that long or less
	for _, c := range []struct {
		name  string
		items []item.Item
		want  int // how many fit
		full  bool
	}{
		{"25 equal ones of a range table, just under", append(repeat(24, ranged("01", long, 43380)),
			many("23", text(43381-22))), 25, false},
		{"25 equal ones of a range table, just over", append(repeat(23, ranged("01", "z", 43380)),
			many("23", text(43381-21)), ranged("24", "z", 1)), 24, true},
		{"13 of 86 KB", append(repeat(11, item.New(item.Attr{Name: "a", Value: item.Text("01")},
			item.Attr{Name: "b", Value: item.Text("0000001")}, item.Attr{Name: "z", Value: text(86647)})),
			item.New(item.Attr{Name: "a", Value: item.Text("11")}, item.Attr{Name: "b", Value: item.Text("0000011")},
				item.Attr{Name: "z", Value: text(86648 - 9)}), ranged("12", "z", 1)), 12, true},
		{"one partition, all small", repeat(5, ranged(id, "z", 10)), 5, false},
	} {
		size, n := 0, 0
		for _, it := range c.items {
			if size >= pageBytes {
				break
			}
			size += pageSize(it, "b")
			n++
		}
		if full := size >= pageBytes; n != c.want || (n == len(c.items)) == c.full && full != c.full {
			t.Errorf("%s: got %d items, %d bytes; want %d, full %v", c.name, n, size, c.want, c.full)
		}
	}
}

func repeat(n int, it item.Item) []item.Item {
	all := make([]item.Item, n)
	for i := range all {
		all[i] = it
	}
	return all
}

func TestPackedSize(t *testing.T) {
	for _, c := range []struct {
		v    item.Value
		want int
	}{
		{item.Text(""), 1},
		{item.Text(strings.Repeat("a", 127)), 128},
		{item.Text(strings.Repeat("a", 128)), 130},
		{item.Text(strings.Repeat("a", 16384)), 16387},
		{item.Bytes("abc"), 4},
		{number("12.3456"), 1 + number("12.3456").Size()},
		{item.Bool(true), 1},
		{item.Null, 0},
		{item.Value{Type: item.SS, Set: []string{"a", "bc"}}, 6},
		{item.List(item.Text("a"), item.Null), 3 + 1 + 2 + 1},
		{item.Map(item.New(item.Attr{Name: "long name", Value: item.Text("a")})), 3 + 2 + 2},
	} {
		if got := packedSize(c.v); got != c.want {
			t.Errorf("packedSize(%v): got %d; want %d", c.v, got, c.want)
		}
	}
}
