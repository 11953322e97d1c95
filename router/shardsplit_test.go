package router

import (
	"testing"
	"time"

	"holdfast/route"
)

func TestShardOfAKey(t *testing.T) {
	for key, want := range map[string]string{
		"a:1:k": "1", "a:b12:k": "b12", "a:1:k:2:3": "1", ":1:": "1", "a:1:": "1", "a:1": "", "a::k": "", "a:1b:k": "",
		"abc": "", "a:1|#|:k": "", "a:1:|#|k": "1",
	} {
		shard, end := shardOf([]byte(key))
		if string(shard) != want || want != "" && key[end] != ':' {
			t.Errorf("%s: got %q up to %d; want %q", key, shard, end, want)
		}
	}
}

// The letters are mcrouter's: shardSplitSuffix in ShardSplitRoute.cpp.
func TestSplitKeys(t *testing.T) {
	for split, want := range map[int]string{0: "a:1:k", 1: "a:1aa:k", 2: "a:1ba:k", 26: "a:1za:k", 27: "a:1ab:k",
		676: "a:1zz:k"} {
		if got := splitKey([]byte("a:1:k"), 3, split); string(got) != want {
			t.Errorf("%d: got %s; want %s", split, got, want)
		}
	}
}

func TestShardSplit(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindShardSplit, Target: ptr(to("p")),
		ShardSplits: []route.ShardSplit{{Shard: "1", Splits: 3}, {Shard: "2", Splits: 2, DeleteOne: true}}}, "p")
	s := r.tree.Load().root.(*shardSplit)
	for split, key := range []string{"a:1:k", "a:1aa:k", "a:1ba:k"} {
		s.host = uint64(split)
		r.want(set("a:1:k", "v")+"get a:1:k\r\nincr a:1:k 1\r\n",
			"STORED\r\n"+value("a:1:k", "v")+"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n")
		r.wantAsked("p: set " + key + " 0 0 1 v; p: get " + key + "; p: incr " + key + " 1")
	}
	r.want("delete a:1:k\r\n", "DELETED\r\n")
	r.wantAsked("p: delete a:1aa:k; p: delete a:1ba:k; p: delete a:1:k")
	r.want("md a:1:k\r\ndelete a:2:k\r\nget a:3:k a:1aa:k\r\n", "NF\r\nNOT_FOUND\r\nEND\r\n")
	r.wantAsked("p: md a:1aa:k; p: md a:1ba:k; p: md a:1:k; p: delete a:2:k; p: get a:3:k; p: get a:1aa:k")
}

func TestShardSplitMigrates(t *testing.T) {
	o := route.ShardSplit{Shard: "1", Splits: 3, OldSplits: 2, Start: time.Unix(1000, 0), Interval: 100 * time.Second}
	s := newShardSplit(nothingHeld{}, []route.ShardSplit{o}, "", time.Now)
	for _, test := range []struct {
		at, host int64
		want     int
	}{{999, 0, 2}, {1001, 0, 3}, {1001, 16383, 2}, {1050, 8000, 3}, {1050, 9000, 2}, {1100, 16383, 3}} {
		s.now = func() time.Time { return time.Unix(test.at, 0) }
		s.host = uint64(test.host)
		if got := s.size(&o); got != test.want {
			t.Errorf("at %d host %d has %d splits; want %d", test.at, test.host, got, test.want)
		}
	}
}
