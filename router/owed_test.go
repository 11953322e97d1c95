package router

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"holdfast/route"
	"holdfast/upstream"
)

// A member that refuses deletes as long as it is told to, as a proxy does whose server is away.
func refusingMember(t *testing.T) (*fakeMember, *atomic.Bool) {
	refuses := &atomic.Bool{}
	refuses.Store(true)
	return startFake(t, func(f *fakeMember, line, block string) string {
		if strings.HasPrefix(line, "delete ") && refuses.Load() {
			return "SERVER_ERROR out of memory\r\n"
		}
		return f.store(line, block)
	}), refuses
}

func (f *fakeMember) holds(key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, found := f.items[key]
	return found
}

// A delete that the member refuses is done for the client, at once and later for the member too.
func TestRefusedDeletesAreOwed(t *testing.T) {
	f, refuses := refusingMember(t)
	r := run(t, route.Options{Pools: []route.Pool{{Name: "p", Journal: true,
		Members: []route.Member{{Address: f.address()}}}}}, 2)
	r.want(0, "set k 0 0 1\r\nx\r\nset other 0 0 1\r\ny\r\n", "STORED\r\nSTORED\r\n")
	r.want(0, "delete k\r\n", "NOT_FOUND\r\n")
	r.want(1, "get k\r\nmg k v\r\nget k other\r\nadd k 0 0 1\r\nz\r\nincr k 1\r\n",
		"END\r\nEN\r\nVALUE other 0 1\r\ny\r\nEND\r\nNOT_STORED\r\nNOT_FOUND\r\n")
	if !f.holds("k") || r.state(0, 0) != "up" {
		t.Errorf("the member is %s, and holds k: %v; want it up, with the item that it didn't delete", r.state(0, 0),
			f.holds("k"))
	}
	refuses.Store(false)
	await(t, "the delete is sent again", func() bool { return !f.holds("k") })
	r.want(0, "set k 0 0 1\r\nz\r\n", "STORED\r\n")
	await(t, "the key is read again", func() bool { return r.ask(0, "get k\r\n") == value("k", "z") })
}

// Without journal: true the error is the client's.
func TestRefusedDeletesAreToldWithoutAJournal(t *testing.T) {
	f, _ := refusingMember(t)
	r := run(t, route.Options{Pools: []route.Pool{{Name: "p", Members: []route.Member{{Address: f.address()}}}}}, 1)
	r.want(0, "set k 0 0 1\r\nx\r\ndelete k\r\nget k\r\n", "STORED\r\nSERVER_ERROR out of memory\r\n"+value("k", "x"))
}

// A router that is stopped leaves what it owes to the next one.
func TestOwedDeletesOutliveTheRouter(t *testing.T) {
	f, refuses := refusingMember(t)
	o := route.Options{
		Pools: []route.Pool{{Name: "p", Journal: true, Members: []route.Member{{Address: f.address()}}, ProbeMin: 1e6,
			ProbeMax: 1e7}},
		Journal: route.Journal{Folder: t.TempDir()},
	}
	r := run(t, o, 1)
	r.want(0, "set k 0 0 1\r\nx\r\ndelete k\r\n", "STORED\r\nNOT_FOUND\r\n")
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	refuses.Store(false)
	again := run(t, o, 1)
	await(t, "the next router has sent the delete", func() bool { return !f.holds("k") })
	await(t, "the member is up", func() bool { return again.state(0, 0) == "up" })
	again.want(0, "get k\r\n", "END\r\n")
}

// A router that is killed leaves it, too, in its ledger.
func TestOwedDeletesOutliveAKill(t *testing.T) {
	f, refuses := refusingMember(t)
	o := route.Options{
		Pools: []route.Pool{{Name: "p", Journal: true, Members: []route.Member{{Address: f.address()}}, ProbeMin: 1e6,
			ProbeMax: 1e7}},
		Journal: route.Journal{Folder: t.TempDir()},
	}
	r := run(t, o, 1)
	r.want(0, "set k 0 0 1\r\nx\r\nset other 0 0 1\r\ny\r\ndelete k\r\n", "STORED\r\nSTORED\r\nNOT_FOUND\r\n")
	o.Journal.Folder = killed(t, o.Journal.Folder)
	o.Journal.Name = "again"          // the first router has marked the member later
	if err := r.Close(); err != nil { // else it sends the delete itself
		t.Fatal(err)
	}
	refuses.Store(false)
	again := run(t, o, 1)
	await(t, "the next router has sent the delete",
		func() bool { return again.ask(0, "get k\r\n") == "END\r\n" && !f.holds("k") })
	again.want(0, "get other\r\n", value("other", "y")) // it wasn't flushed
}

// Beyond a number of keys the member is taken down, and its journal keeps them.
func TestOwedDeletesAreBounded(t *testing.T) {
	f, _ := refusingMember(t)
	r := run(t, route.Options{Pools: []route.Pool{{Name: "p", Journal: true,
		Members: []route.Member{{Address: f.address()}}}}}, 1)
	d := r.tree.Load().pools[0].members[0].to
	for i := range upstream.MaxOwed {
		if !d.Owed.Add([]byte(fmt.Sprint("k", i)), func() {}) {
			t.Fatalf("%d are too many", i)
		}
	}
	r.want(0, "delete one-more\r\n", "NOT_FOUND\r\n")
	if got := r.state(0, 0); got == "up" {
		t.Errorf("the member is %s; want it down", got)
	}
}
