package router

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"holdfast/mc"
	"holdfast/route"
	"holdfast/upstream"
)

func chunkRig(t testing.TB, lanes int) (*rig, *stub) {
	t.Helper()
	pool := route.Pool{Name: "p", ChunkBytes: 1024, Members: []route.Member{{Address: "127.0.0.1:1", Name: "a"}}}
	r := riggedWith(t, lanes, route.Options{Pools: []route.Pool{pool}})
	return r, r.stubs["a"]
}

// big is a value that differs at each place.
func big(size int, seed string) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "%s%d,", seed, i)
	}
	return b.String()[:size]
}

func TestChunksComeBackWhole(t *testing.T) {
	r, a := chunkRig(t, 1)
	for _, size := range []int{0, 1, 1023, 1024, 1025, 2048, 100_000} {
		v := big(size, "v")
		r.want(fmt.Sprintf("set k 7 100 %d\r\n%s\r\n", size, v), "STORED\r\n")
		r.want("get k none k\r\n", fmt.Sprintf("VALUE k 7 %[1]d\r\n%[2]s\r\nVALUE k 7 %[1]d\r\n%[2]s\r\nEND\r\n", size, v))
		r.want("mg k v f s k t Oq\r\n", fmt.Sprintf("VA %[1]d f7 s%[1]d kk t100 Oq\r\n%[2]s\r\n", size, v))
		r.want("mg k s f\r\n", fmt.Sprintf("HD s%d f7\r\n", size))
		for _, asked := range a.takeAsked() {
			if len(asked) > 1024+200 {
				t.Errorf("%d bytes: a request of %d bytes", size, len(asked))
			}
		}
	}
}

func TestChunksByMetaSet(t *testing.T) {
	r, _ := chunkRig(t, 1)
	v := big(3000, "m")
	r.want("ms k 3000 F9 T50 k\r\n"+v+"\r\n", "HD kk\r\n")
	r.want("mg k v f t\r\n", "VA 3000 f9 t50\r\n"+v+"\r\n")
	r.want("ms k 3000 ME\r\n"+v+"\r\nms k 3000 MA\r\n"+v+"\r\n",
		"NS\r\nCLIENT_ERROR a value stored in pieces can't be appended to\r\n")
	r.want("ms YSBi 3000 b q\r\n"+v+"\r\nmg YSBi b v k\r\n", "VA 3000 kYSBi b\r\n"+v+"\r\n")
}

func TestChunksCASAndConditions(t *testing.T) {
	r, a := chunkRig(t, 1)
	one, two := big(3000, "a"), big(4000, "b")
	r.want(set("k", one), "STORED\r\n")
	answer := r.ask(0, "gets k\r\n")
	var size, cas int
	if _, err := fmt.Sscanf(answer, "VALUE k 0 %d %d\r\n", &size, &cas); err != nil || size != 3000 {
		t.Fatalf("got %.60q", answer)
	}
	r.want(fmt.Sprintf("cas k 0 0 4000 %d\r\n%s\r\n", cas+1, two), "EXISTS\r\n")
	r.want(fmt.Sprintf("cas k 0 0 4000 %d\r\n%s\r\n", cas, two), "STORED\r\n")
	r.want("get k\r\n", value("k", two))
	a.takeAsked()
	r.want("add k 0 0 3000\r\n"+one+"\r\n", "NOT_STORED\r\n")
	r.settle()
	left := 0
	for _, asked := range a.takeAsked() {
		switch {
		case strings.HasPrefix(asked, "set "):
			left++
		case strings.HasPrefix(asked, "delete "):
			left--
		}
	}
	if left != 0 {
		t.Errorf("%d pieces are left of a store that was refused", left)
	}
	r.want("append k 0 0 1\r\nx\r\nprepend k 0 0 1\r\nx\r\nincr k 1\r\n",
		strings.Repeat("CLIENT_ERROR a value stored in pieces can't be appended to\r\n", 2)+
			"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n")
	r.want(set("s", "v")+"append s 0 0 1\r\nx\r\nappend none 0 0 1\r\nx\r\nget s\r\n",
		"STORED\r\nSTORED\r\nNOT_STORED\r\n"+value("s", "vx"))
	r.want("delete k\r\nget k\r\n", "DELETED\r\nEND\r\n")
}

func TestChunksTouch(t *testing.T) {
	r, a := chunkRig(t, 1)
	v := big(3000, "t")
	r.want("touch k 50\r\n", "NOT_FOUND\r\n")
	r.want(set("k", v)+"touch k 50\r\n", "STORED\r\nTOUCHED\r\n")
	a.takeAsked()
	r.want("gat 60 k\r\nmg k T70 t\r\nmg k T80 v\r\n",
		strings.TrimSuffix(value("k", v), "\r\n")+"\r\nHD t70\r\nVA 3000\r\n"+v+"\r\n")
	pieces := map[string]int{}
	for _, asked := range a.takeAsked() {
		if strings.Contains(asked, ":chunk:") {
			pieces[strings.Join(strings.Fields(asked)[:1], "")]++
		}
	}
	if pieces["gat"] != 6 || pieces["touch"] != 3 {
		t.Errorf("pieces were touched by %v", pieces)
	}
}

// losePiece deletes a piece of the value under k.
func losePiece(t *testing.T, a *stub) {
	t.Helper()
	m, ok := parseManifest([]byte(strings.SplitN(a.do(t, "get k\r\n"), "\r\n", 3)[1]))
	if !ok {
		t.Fatal("no manifest under k")
	}
	if got := a.do(t, "delete "+string(pieceKey([]byte("k"), m.suffix, m.pieces-1))+"\r\n"); got != "DELETED\r\n" {
		t.Fatalf("no such piece: %q", got)
	}
}

func TestChunksWithAMissingPieceAreAMiss(t *testing.T) {
	r, a := chunkRig(t, 1)
	r.want(set("k", big(3000, "v")), "STORED\r\n")
	losePiece(t, a)
	r.want("get k\r\ngets k\r\nmg k v\r\ntouch k 10\r\n", "END\r\nEND\r\nEN\r\nNOT_FOUND\r\n")
}

func TestChunksOfAMemberThatFails(t *testing.T) {
	r, a := chunkRig(t, 1)
	r.want(set("k", big(3000, "old")), "STORED\r\n")
	a.set(func(s *stub) {
		s.fails = func(r *mc.Request) upstream.Result {
			if bytes.HasSuffix(r.Key, []byte(":2")) {
				return upstream.Timeout
			}
			return upstream.Hit
		}
	})
	r.want(set("k", big(5000, "new")), failure("a"))
	r.want("get k\r\n", failure("a"))
	a.failing(upstream.Hit)
	r.want("get k\r\n", value("k", big(3000, "old")))
}

func TestChunksNeverShowAManifest(t *testing.T) {
	r, a := chunkRig(t, 1)
	forged := (&manifest{pieces: 1, pieceBytes: 10, total: 10, suffix: 1}).append(nil)
	r.want(set("k", string(forged)), "STORED\r\n")
	r.want("get k\r\n", value("k", string(forged)))
	for _, damage := range []string{"append k 0 0 3\r\nxyz\r\n", "prepend k 0 0 3\r\nxyz\r\n", set("k", manifestMark),
		set("k", manifestMark+"1 0 5 0\x00"), set("k", manifestMark+"65537 1 65537 0000000000000000\x00")} {
		r.want(set("k", big(3000, "v")), "STORED\r\n")
		a.do(t, damage)
		r.want("get k\r\nmg k v\r\n", "END\r\nEN\r\n")
	}
}

func TestChunksOfLongKeys(t *testing.T) {
	r, a := chunkRig(t, 1)
	key := strings.Repeat("k", mc.MaxKeyBytes)
	v := big(5000, "v")
	r.want(set(key, v)+"get "+key+"\r\n", "STORED\r\n"+value(key, v))
	for _, asked := range a.takeAsked() {
		if words := strings.Fields(asked); len(words[1]) > mc.MaxKeyBytes {
			t.Errorf("a key of %d bytes", len(words[1]))
		}
	}
}

// Stores and reads of one key at once, answered in any order: a read has one store's value, whole.
func TestChunksOfDifferentStoresNeverMix(t *testing.T) {
	const lanes = 3
	r, a := chunkRig(t, lanes)
	a.set(func(s *stub) { s.late = true })
	valid := map[string]bool{"END\r\n": true}
	for seed := range 30 {
		valid[value("k", big(3000+seed*100, fmt.Sprint("s", seed, "-")))] = true
	}
	var all sync.WaitGroup
	for lane := range lanes {
		all.Go(func() {
			for seed := range 30 {
				if lane == 0 || seed%lanes == lane {
					r.ask(lane, set("k", big(3000+seed*100, fmt.Sprint("s", seed, "-"))))
				}
				if got := r.ask(lane, "get k\r\n"); !valid[got] {
					t.Errorf("got %.100q, of %d bytes", got, len(got))
				}
			}
		})
	}
	all.Wait()
}
