package item

import (
	"strings"
	"testing"
)

func TestProjection(t *testing.T) {
	for text, want := range map[string]string{
		"pk":                       `pk:"k"`,
		"n, l, none_":              `l:["a" "b" "c" "d"] n:10`,
		"#p":                       `pk:"k"`,
		"m.x":                      `m:{x:1}`,
		"m.y[1], m.x":              `m:{x:1 y:[SS["p"]]}`,
		"m.y[0].z":                 `m:{y:[{z:null}]}`,
		"l[3], l[0]":               `l:["a" "d"]`,
		"l[2],l[9],s":              `l:["c"] s:"t"`,
		"none_":                    "",
		"m.none_, l.x, n[0], s[1]": "",
		"m.y[1].z, l[9]":           "",
	} {
		p, err := scopeOf(t, map[string]string{"#p": "pk"}).Projection(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		before := document()
		got := p.Apply(before)
		if got == nil || showItem(got) != want {
			t.Errorf("%s: got %s; want %s", text, showItem(got), want)
		}
		if got := p.Apply(nil); got != nil {
			t.Errorf("%s of no item: got %v; want nil", text, got)
		}
	}
	var all *Projection
	if got, want := showItem(all.Apply(document())), showItem(document()); got != want {
		t.Errorf("no projection: got %s; want %s", got, want)
	}
}

func TestProjectionFaults(t *testing.T) {
	const (
		overlap  = "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: "
		conflict = "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: "
	)
	for text, want := range map[string]string{
		"a.abORt":               "Attribute name is a reserved keyword; reserved keyword: abORt",
		"#z,ABSoLUTE":           "Attribute name is a reserved keyword; reserved keyword: ABSoLUTE",
		"a,b,a,#z":              "An expression attribute name used in the document path is not defined; attribute name: #z",
		"b[1], b.a, #a.b, a":    overlap + "[a, b], path two: [a]",
		"a, #a[1]":              overlap + "[a], path two: [a, [1]]",
		"a,b,a":                 overlap + "[a], path two: [a]",
		"a.b, #a[1], #b":        conflict + "[a, b], path two: [a, [1]]",
		"a.b[1], #a[1], #b":     conflict + "[a, b, [1]], path two: [a, [1]]",
		"a[3].b, #a.#b.b":       conflict + "[a, [3], b], path two: [a, [3], b]",
		" a , a_b.#a [ 0 ] . b": "",
		"a.b[1].c,a.b[2].c":     "",
	} {
		if want != "" {
			want = "Invalid ProjectionExpression: " + want
		}
		_, err := scopeOf(t, map[string]string{"#a": "a", "#b": "[3]"}).Projection(text)
		wantError(t, err, want)
	}
}

func TestAttributesToGet(t *testing.T) {
	p, err := AttributesToGet([]string{"s", "size", "pk"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := showItem(p.Apply(document())), `pk:"k" s:"t"`; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
	if got, want := strings.Join(p.Names(), " "), "pk s size"; got != want || len(p.Nested()) != 0 {
		t.Errorf("names: got %s, nested %s; want %s", got, p.Nested(), want)
	}
	_, err = AttributesToGet([]string{"a", "b", "a"})
	wantError(t, err, "One or more parameter values were invalid: Duplicate value in attribute name: a")
}
