package router

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/route"
)

// statsOf are the lines of a group, by name.
func statsOf(t *testing.T, r *running, group string) map[string]string {
	t.Helper()
	text, ok := r.Stats(nil, group)
	if !ok {
		t.Fatalf("there is no group %q", group)
	}
	lines := map[string]string{}
	for l := range strings.Lines(string(text)) {
		words := strings.SplitN(strings.TrimSuffix(l, "\r\n"), " ", 3)
		if len(words) != 3 || words[0] != "STAT" {
			t.Fatalf("got %q", l)
		}
		if _, again := lines[words[1]]; again {
			t.Errorf("%s is there twice in %q", words[1], group)
		}
		lines[words[1]] = words[2]
	}
	return lines
}

func TestStatsCountWhatClientsAsk(t *testing.T) {
	cache := startCache(t)
	r := run(t, route.Options{Pools: []route.Pool{{Name: "p", Members: []route.Member{{Address: cache.address()}}}}}, 2)
	r.ask(0, "set n 0 0 1\r\n5\r\nadd n 0 0 1\r\n5\r\nset other 0 0 1 noreply\r\nx\r\n")
	r.ask(1, "get n none other\r\ngets n\r\ngat 0 n none\r\nincr n 2\r\nincr none 1\r\ndecr n 1\r\n")
	r.ask(1, "ma n MD\r\nma n\r\nmg n v\r\nmg none v\r\nms m 1\r\nx\r\nmd m\r\nmd m\r\n")
	r.ask(0, "touch n 0\r\ntouch none 0\r\ndelete other\r\ncas n 0 0 1 1\r\nx\r\ncas none 0 0 1 1\r\nx\r\nflush_all\r\n")
	for _, group := range []string{"", "all", "detailed", "ods", "count"} {
		got := statsOf(t, r, group)
		for name, want := range map[string]int{
			"cmd_get": 8, "get_hits": 5, "get_misses": 3, "cmd_set": 6, "cmd_touch": 4, "touch_hits": 2, "touch_misses": 2,
			"cmd_flush": 1, "cmd_meta": 7,
			"delete_hits": 2, "delete_misses": 1, "incr_hits": 2, "incr_misses": 1, "decr_hits": 2, "decr_misses": 0,
			"cas_badval": 1, "cas_misses": 1,
			"cmd_get_count": 5, "cmd_gat_count": 2, "cmd_set_count": 3, "cmd_add_count": 1, "cmd_delete_count": 3,
			"cmd_flushall_count":  1,
			"request_error_count": 0, "curr_items": 0, "num_servers": 2, "num_servers_up": 2, "num_servers_new": 0,
			"num_suspect_servers": 0, "num_proxies": 2,
		} {
			if got[name] != fmt.Sprint(want) {
				t.Errorf("%q: %s is %s; want %d", group, name, got[name], want)
			}
		}
	}
	name := cache.address() + ":ascii:plain:notcompressed-1000"
	if got := statsOf(t, r, "servers")[name]; !strings.HasPrefix(got,
		"avg_latency_us:0.000 pending_reqs:0 inflight_reqs:0 up:2; found:") {
		t.Errorf("got %q for %s", got, name)
	}
	if got := statsOf(t, r, "suspect_servers"); len(got) != 0 {
		t.Errorf("got suspects %v; want none", got)
	}
	if _, known := r.Stats(nil, "nothing"); known {
		t.Error("an unknown group is known")
	}
}

func TestStatsOfAMemberThatIsDown(t *testing.T) {
	r := run(t, route.Options{Pools: []route.Pool{{Name: "p", Members: []route.Member{{Address: "127.0.0.1:1"}},
		ProbeMin: time.Hour, ProbeMax: time.Hour}}}, 1)
	r.ask(0, "get k\r\nset k 0 0 1\r\nx\r\n")
	got := statsOf(t, r, "all")
	if got["num_suspect_servers"] != "1" || got["result_error_count"] != "2" || got["result_error_all_count"] != "2" ||
		got["request_error_count"] != "2" || got["get_misses"] != "0" {
		t.Errorf("got %v", got)
	}
	if got := statsOf(t, r, "suspect_servers")["127.0.0.1:1"]; got != "status:tko num_failures:1" {
		t.Errorf("got %q", got)
	}
	if got := statsOf(t, r, "servers")["127.0.0.1:1:ascii:plain:notcompressed-1000"]; !strings.Contains(got,
		" hard_tko; ") || !strings.Contains(got, "connect_error:2") {
		t.Errorf("got %q", got)
	}
}
