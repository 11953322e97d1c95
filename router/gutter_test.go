package router

import (
	"strings"
	"testing"
	"time"

	"holdfast/route"
)

// guttered returns options of a pool of two members before a gutter of one, and the ways to the
// three.
func gutteredPools(t testing.TB) ([]*cutter, route.Options) {
	t.Helper()
	_, cutters, o := replicas(t, 3)
	main, gutter := o.Pools[0], o.Pools[0]
	main.Kind, main.Members = route.Sharded, main.Members[:2]
	main.Failover, main.FailoverTTL = "gutter", time.Second
	gutter.Kind, gutter.Name, gutter.Members = route.Sharded, "gutter", gutter.Members[2:]
	o.Pools = []route.Pool{main, gutter}
	return cutters, o
}

// The keys of a member that is down live in the gutter meanwhile, and the member has forgotten
// those that were written when it comes back.
func TestGutter(t *testing.T) {
	cutters, o := gutteredPools(t)
	r := run(t, o, 1)
	const keys = "abcdefghij"
	set := func(value string) {
		t.Helper()
		for _, k := range keys {
			r.want(0, "set "+string(k)+" 0 0 1\r\n"+value+"\r\n", "STORED\r\n")
		}
	}
	read := func() string {
		var values strings.Builder
		for _, k := range keys {
			answer := r.ask(0, "get "+string(k)+"\r\n")
			if lines := strings.Split(answer, "\r\n"); len(lines) > 2 {
				values.WriteString(lines[1])
			} else {
				values.WriteString("-")
			}
		}
		return values.String()
	}
	set("1")
	cutters[0].setCut(true)
	set("2")
	if got, want := read(), "2222222222"; got != want {
		t.Errorf("with a member down: got %s; want %s", got, want)
	}
	cutters[0].setCut(false)
	await(t, "the member is up", func() bool { return r.state(0, 0) == "up" })
	after := read()
	if !strings.Contains(after, "-") || !strings.Contains(after, "2") || strings.Contains(after, "1") {
		t.Errorf("after its return: got %s; want misses of its keys", after)
	}
	set("3")
	cutters[0].setCut(true) // again, while the gutter still holds what it got
	r.ask(0, "get a b c d e f g h i j\r\n")
	await(t, "the member is down", func() bool {
		return r.state(0, 0) == "down" || read() != "" &&
			r.state(0, 0) == "down"
	})
	if got := read(); strings.Contains(got, "2") {
		t.Errorf("in its second outage: got %s, with values of before its return", got)
	}
}

// Requests of one connection on one key take effect in their order, also where writes wait for
// writes.
func TestPipelinesKeepTheirOrder(t *testing.T) {
	_, gutter := gutteredPools(t)
	_, _, replicated := replicas(t, 3)
	for name, o := range map[string]route.Options{"gutter": gutter, "replicated": replicated} {
		t.Run(name, func(t *testing.T) {
			r := run(t, o, 1)
			for range 100 {
				r.want(0, "set k 0 0 1\r\n1\r\nset k 0 0 1\r\n2\r\nincr k 3\r\nget k\r\nset k 0 0 1\r\n7\r\ndelete k\r\nget k\r\n",
					"STORED\r\nSTORED\r\n5\r\nVALUE k 0 1\r\n5\r\nEND\r\nSTORED\r\nDELETED\r\nEND\r\n")
			}
		})
	}
}

func TestNoReadThroughAGutterIsOlder(t *testing.T) {
	cutters, o := gutteredPools(t)
	huntStale(t, o, cutters)
}

func TestNoReadThroughAGutterIsOlderThanAFlush(t *testing.T) {
	cutters, o := gutteredPools(t)
	huntStaleBeside(t, o, cutters, flushOn)
}

func TestEarlier(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, test := range []struct {
		exptime int64
		ttl     time.Duration
		want    int64
	}{
		{0, 10 * time.Second, 10}, {5, 10 * time.Second, 5}, {50, 10 * time.Second, 10}, {-1, 10 * time.Second, -1},
		{1_800_000_005, 10 * time.Second, 1_800_000_005}, {1_800_000_050, 10 * time.Second, 10},
		{1_700_000_000, 10 * time.Second, 1_700_000_000}, {0, 500 * time.Millisecond, 1},
		{0, 60 * 24 * time.Hour, 1_800_000_000 + 60*24*3600}, {60, 60 * 24 * time.Hour, 60},
	} {
		if got := earlier(test.exptime, test.ttl, now); got != test.want {
			t.Errorf("%d capped at %v: got %d; want %d", test.exptime, test.ttl, got, test.want)
		}
	}
}

// A sharded pool with journals: a delete that its member missed is done before the member answers.
func TestNoReadOfAJournaledPoolIsOlder(t *testing.T) {
	_, cutters, o := replicas(t, 2)
	o.Pools[0].Kind, o.Pools[0].Journal = route.Sharded, true
	huntStale(t, o, cutters)
}

func TestDeleteOfAMemberThatIsDown(t *testing.T) {
	_, cutters, o := replicas(t, 1)
	o.Pools[0].Kind, o.Pools[0].Journal = route.Sharded, true
	r := run(t, o, 1)
	r.want(0, "set a 0 0 1\r\n1\r\nset b 0 0 1\r\n1\r\n", "STORED\r\nSTORED\r\n")
	cutters[0].setCut(true)
	r.want(0, "delete a\r\nmd missing k\r\n", "NOT_FOUND\r\nNF kmissing\r\n")
	if answer := r.ask(0, "set b 0 0 1\r\n2\r\n"); !strings.HasPrefix(answer, "SERVER_ERROR ") {
		t.Errorf("a set of a member that is down: got %q", answer)
	}
	cutters[0].setCut(false)
	await(t, "the member is up", func() bool { return r.state(0, 0) == "up" })
	r.want(0, "get a b\r\n", "END\r\n")
}
