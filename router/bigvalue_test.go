package router

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/route"
)

// A value as mcrouter's BigValueRoute stores it.
func storeBigValue(t *testing.T, a *stub, clientFlags int, pieces ...string) {
	t.Helper()
	manifest := fmt.Sprintf("1-%d-1234", len(pieces))
	a.do(t, fmt.Sprintf("set k %d 100 %d\r\n%s\r\n", clientFlags|32768, len(manifest), manifest))
	for i, p := range pieces {
		a.do(t, fmt.Sprintf("set k:%d:1234 %d 100 %d\r\n%s\r\n", i, clientFlags, len(p), p))
	}
}

func bigValueRig(t *testing.T) (*rig, *stub) {
	r := riggedWith(t, 1, route.Options{Pools: []route.Pool{{Name: "p", ChunkBytes: 1024, BigValues: true,
		Members: []route.Member{{Address: "127.0.0.1:1", Name: "a"}}}}})
	return r, r.stubs["a"]
}

func TestBigValuesAreJoined(t *testing.T) {
	r, a := bigValueRig(t)
	one, two := big(1500, "a"), big(700, "b")
	storeBigValue(t, a, 5, one, two)
	whole := one + two
	classic := fmt.Sprintf("VALUE k 5 2200\r\n%s\r\nEND\r\n", whole)
	r.want("get k\r\nget none k\r\n", classic+classic)
	r.want("mg k v\r\nmg k f v t s k Oq\r\nmg k s\r\n",
		"VA 2200\r\n"+whole+"\r\nVA 2200 f5 t100 s2200 kk Oq\r\n"+whole+"\r\nHD s2200\r\n")
	if got := r.ask(0, "gets k\r\n"); !strings.HasPrefix(got, "VALUE k 5 2200 ") || !strings.Contains(got, whole) {
		t.Errorf("got %.60q", got)
	}
	r.want("append k 0 0 1\r\nx\r\n", "CLIENT_ERROR a value stored in pieces can't be appended to\r\n")
	r.want("gat 50 k\r\n", classic)
	for _, key := range []string{"k", "k:0:1234", "k:1:1234"} {
		if got := a.do(t, "mg "+key+" t\r\n"); got != "HD t50\r\n" {
			t.Errorf("%s: got %q; want it touched", key, got)
		}
	}
	r.want("touch k 70\r\n", "TOUCHED\r\n")
	if got := a.do(t, "mg k:1:1234 t\r\n"); got != "HD t70\r\n" {
		t.Errorf("got %q; want the pieces touched", got)
	}
	r.want("delete k\r\nget k\r\n", "DELETED\r\nEND\r\n")
	storeBigValue(t, a, 0, "a", "b")
	r.want("set k 0 0 1\r\nx\r\nget k\r\n", "STORED\r\n"+value("k", "x"))
}

func TestBigValuesThatAreNotWhole(t *testing.T) {
	r, a := bigValueRig(t)
	storeBigValue(t, a, 0, "a", "b")
	a.do(t, "delete k:1:1234\r\n")
	r.want("get k\r\nmg k v\r\n", "END\r\nEN\r\n")
	for _, test := range []struct {
		flags int
		value string
	}{{0, "1-2-1234"}, {32768, "2-2-1234"}, {32768, "1-0-1234"}, {32768, "1-2"}, {32768, "1-2-x"}, {32768,
		"1-99999999-1"}, {32768, "plain"}} {
		r.want(fmt.Sprintf("set k %d 0 %d\r\n%s\r\nget k\r\n", test.flags, len(test.value), test.value),
			fmt.Sprintf("STORED\r\nVALUE k %d %d\r\n%s\r\nEND\r\n", test.flags, len(test.value), test.value))
	}
}

// Pools that mcrouter never wrote to have no such values: a client's own may look like one.
func TestBigValuesAreForPoolsThatMayHoldThem(t *testing.T) {
	r, a := chunkRig(t, 1)
	storeBigValue(t, a, 0, "a", "b")
	r.want("get k\r\n", "VALUE k 32768 8\r\n1-2-1234\r\nEND\r\n")
}
