package router

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/route"
)

// missedBySecond has a router whose second member misses a write, and ends it. The member can be
// reached again.
func missedBySecond(t testing.TB, o route.Options, cutters []*cutter) {
	t.Helper()
	r := run(t, o, 1)
	r.want(0, set("k", "1")+set("kept", "1"), "STORED\r\nSTORED\r\n")
	r.marks.round()
	cutters[1].setCut(true)
	r.want(0, set("k", "2"), "STORED\r\n")
	r.stop()
	cutters[1].setCut(false)
}

// upAgain waits until all members of the first pool are.
func (r *running) upAgain() {
	r.t.Helper()
	await(r.t, "the members are up", func() bool {
		for _, m := range r.Pools()[0].Members {
			if m.State != "up" {
				return false
			}
		}
		return true
	})
}

// A start without the journal directory that counted for the members has them flushed: it was
// deleted, or is a copy of before the member missed anything.
func TestJournalFolderIsLost(t *testing.T) {
	for _, test := range []struct {
		name   string
		folder func(t *testing.T, before string) string
		kept   bool
	}{
		{"the same", func(_ *testing.T, folder string) string { return folder }, true},
		{"another", func(t *testing.T, _ string) string { return t.TempDir() }, false},
		{"a copy", nil, false},
	} {
		for _, kind := range []route.PoolKind{route.Replicated, route.Sharded} {
			t.Run(test.name+" "+string(kind), func(t *testing.T) {
				_, cutters, o := replicas(t, 2)
				o.Pools[0].Kind, o.Pools[0].RefillRate = kind, -1
				if kind == route.Sharded {
					gutter := o.Pools[0]
					o.Pools[0].Members, gutter.Members, gutter.Name = gutter.Members[1:], gutter.Members[:1], "gutter"
					o.Pools[0].Failover = "gutter"
					o.Pools = append(o.Pools, gutter)
				}
				o.Journal.Folder = t.TempDir()
				first := run(t, o, 1)
				first.stop()
				folder := killed(t, o.Journal.Folder)
				missedBySecond(t, o, cutters)
				if test.folder != nil {
					folder = test.folder(t, o.Journal.Folder)
				}
				o.Journal.Folder = folder
				r := run(t, o, 2)
				hits := 0
				for i := range 40 {
					switch got := r.ask(i%2, "get k\r\n"); got {
					case value("k", "1"):
						t.Fatalf("read %d: got what was overwritten", i)
					case value("k", "2"):
						hits++
					}
				}
				r.upAgain()
				for range 20 {
					if got := r.ask(0, "get k\r\n"); got == value("k", "1") {
						t.Fatal("got what was overwritten")
					}
				}
				if kind == route.Replicated && test.kept != (hits > 0) {
					t.Errorf("%d hits", hits)
				}
				r.stop()
				again := run(t, o, 1) // whose folder is the one that counts now
				again.upAgain()
				again.want(0, set("k", "3"), "STORED\r\n")
				again.stop()
				run(t, o, 1).want(0, "get k\r\n", value("k", "3"))
			})
		}
	}
}

// A member that can't be reached when the router starts is looked at when it comes back.
func TestJournalFolderIsLostWhileMembersAreAway(t *testing.T) {
	_, cutters, o := replicas(t, 2)
	o.Pools[0].RefillRate, o.Journal.Folder = -1, t.TempDir()
	missedBySecond(t, o, cutters)
	for _, c := range cutters {
		c.setCut(true)
	}
	o.Journal.Folder = t.TempDir()
	r := run(t, o, 1)
	r.wantError(0, "get k\r\n")
	cutters[1].setCut(false)
	await(t, "the member is up", func() bool { return r.state(0, 1) == "up" })
	r.want(0, "get k\r\n", "END\r\n")
	cutters[0].setCut(false)
	r.upAgain()
	for range 20 {
		r.want(0, "get k kept\r\n", "END\r\n")
	}
}

// Members that hold items before a router begins, and those of another router, are believed.
func TestFirstStartKeepsItems(t *testing.T) {
	caches, _, o := replicas(t, 2)
	for _, c := range caches {
		direct(t, c).want(0, set("k", "1"), "STORED\r\n")
	}
	for _, name := range []string{"one", "two"} {
		o.Journal.Folder, o.Journal.Name = t.TempDir(), name
		r := run(t, o, 1)
		r.marks.round()
		for range 10 {
			r.want(0, "get k\r\n", value("k", "1"))
		}
	}
}

// A member without a mark beside one with it was restarted, or was never of this pool: it holds
// nothing that counts.
func TestMemberWithoutAMark(t *testing.T) {
	caches, _, o := replicas(t, 3)
	o = byOwnWays(o, t.TempDir(), caches)
	first := run(t, o, 1)
	first.want(0, set("k", "1"), "STORED\r\n")
	first.marks.round()
	first.stop()
	direct(t, caches[2]).want(0, "flush_all\r\n"+set("k", "0"), "OK\r\nSTORED\r\n")
	r := run(t, o, 1)
	r.upAgain()
	for range 20 {
		r.want(0, "get k\r\n", value("k", "1"))
	}
	await(t, "it was filled", func() bool { return direct(t, caches[2]).ask(0, "get k\r\n") == value("k", "1") })
}

// A member that was out of the configuration between two starts is flushed.
func TestMemberThatWasOut(t *testing.T) {
	caches, _, o := replicas(t, 2)
	o = byOwnWays(o, t.TempDir(), caches)
	first := run(t, o, 1)
	first.want(0, set("k", "1"), "STORED\r\n")
	first.marks.round()
	first.stop()
	without := o
	without.Pools = []route.Pool{o.Pools[0]}
	without.Pools[0].Members = o.Pools[0].Members[:1]
	second := run(t, without, 1)
	second.want(0, set("k", "2"), "STORED\r\n")
	for range markSpan {
		second.marks.round()
	}
	second.stop()
	r := run(t, o, 1)
	for range 20 {
		r.want(0, "get k\r\n", value("k", "2"))
	}
}

// A flush takes the marks along, which are then set again.
func TestMarksAfterAFlush(t *testing.T) {
	caches, _, o := replicas(t, 2)
	o = byOwnWays(o, t.TempDir(), caches)
	r := run(t, o, 1)
	key := r.marks.key(r.tree.Load().upstreams[0])
	await(t, "the member is marked", func() bool {
		return strings.HasPrefix(direct(t, caches[0]).ask(0,
			"get "+key+"\r\n"), "VALUE ")
	})
	r.want(0, "flush_all\r\n", "OK\r\n")
	await(t, "it is marked again", func() bool {
		return strings.HasPrefix(direct(t, caches[0]).ask(0, "get "+key+"\r\n"),
			"VALUE ")
	})
}

// What else stands under the key of a mark, as long as it may be, is no mark of these journals.
func TestMarkOfSomethingElse(t *testing.T) {
	for _, other := range []string{"", "x", "x\r\nEND", strings.Repeat("x", 1+markBytes), strings.Repeat("x", 100_000),
		"deadbeef -1"} {
		caches, _, o := replicas(t, 2)
		o = byOwnWays(o, t.TempDir(), caches)
		first := run(t, o, 1)
		first.want(0, set("k", "1"), "STORED\r\n")
		key := first.marks.key(first.tree.Load().upstreams[0])
		first.stop()
		direct(t, caches[1]).want(0, set(key, other), "STORED\r\n")
		r := run(t, o, 1)
		r.upAgain()
		r.want(0, "get k\r\n", "END\r\n")
		r.want(0, set("k", "2")+"get k\r\n", "STORED\r\n"+value("k", "2"))
	}
}

// A folder that is removed while the router runs stops no writes, and the next start knows of it.
func TestJournalFolderIsRemovedInUse(t *testing.T) {
	caches, cutters, o := replicas(t, 2)
	o.Journal.Folder = filepath.Join(t.TempDir(), "journal")
	o.Pools[0].Read = route.ReadFirst
	r := run(t, o, 1)
	r.want(0, set("k", "1"), "STORED\r\n")
	if err := os.RemoveAll(o.Journal.Folder); err != nil {
		t.Fatal(err)
	}
	cutters[0].setCut(true)
	r.want(0, set("k", "2"), "STORED\r\n")
	r.want(0, "get k\r\n", value("k", "2"))
	r.stop()
	cutters[0].setCut(false)
	r = run(t, o, 1)
	await(t, "the members are up", func() bool { return r.state(0, 0) == "up" && r.state(0, 1) == "up" })
	r.want(0, "get k\r\n", "END\r\n")
	direct(t, caches[0]).want(0, "get k\r\n", "END\r\n") // not what it missed the replacement of
}

// One that can't be made again: writes that a member misses are refused, in words that say why.
func TestJournalFolderCannotBeMadeAgain(t *testing.T) {
	_, cutters, o := replicas(t, 2)
	above := filepath.Join(t.TempDir(), "above")
	o.Journal.Folder = filepath.Join(above, "journal")
	r := run(t, o, 1)
	if err := errors.Join(os.RemoveAll(above), os.WriteFile(above, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	cutters[0].setCut(true)
	got := r.ask(0, set("k", "2"))
	if !strings.HasPrefix(got, "SERVER_ERROR journal: member users") || strings.Count(got, "journal: ") != 1 {
		t.Errorf("got %q; want an error of the journal's", got)
	}
	if err := os.Remove(above); err != nil {
		t.Fatal(err)
	}
	r.want(0, set("k", "3"), "STORED\r\n")
}
