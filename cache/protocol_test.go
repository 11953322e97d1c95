package cache

import (
	"testing"
	"time"
)

// The wire suite compares every answer with memcached's; these tests cover the paths through the
// store.
func TestOperations(t *testing.T) {
	s := openStore(t, Options{})
	c := newClient(t, s)
	for _, step := range [][2]string{
		{"get a", "END"},
		{"set a 5 0 3|abc", "STORED"},
		{"get a", "VALUE a 5 3|abc|END"},
		{"gets a", "VALUE a 5 3 1|abc|END"},
		{"add a 0 0 1|x", "NOT_STORED"},
		{"add b 0 0 1|x", "STORED"},
		{"replace b 7 0 2|yy", "STORED"},
		{"replace c 0 0 1|x", "NOT_STORED"},
		{"get a b c a", "VALUE a 5 3|abc|VALUE b 7 2|yy|VALUE a 5 3|abc|END"},
		{"append a 0 0 2|de", "STORED"},
		{"prepend a 0 0 2|_-", "STORED"},
		{"get a", "VALUE a 5 7|_-abcde|END"},
		{"append none 0 0 1|x", "NOT_STORED"},
		{"cas a 0 0 1 999|x", "EXISTS"},
		{"cas none 0 0 1 1|x", "NOT_FOUND"},
		{"delete b", "DELETED"},
		{"delete b", "NOT_FOUND"},
		{"set n 0 0 2|10", "STORED"},
		{"incr n 5", "15"},
		{"decr n 10", "5"},
		{"get n", "VALUE n 0 2|5 |END"},
		{"incr n 18446744073709551615", "4"},
		{"incr n 100", "104"},
		{"decr n 200", "0"},
		{"incr a 1", "CLIENT_ERROR cannot increment or decrement non-numeric value"},
		{"incr none 1", "NOT_FOUND"},
		{"touch n 10", "TOUCHED"},
		{"mg n t v", "VA 3 t10|0  "},
		{"gat 0 n", "VALUE n 0 3|0  |END"},
		{"mg n t", "HD t-1"},
		{"set a 0 0 1 noreply|z|get a", "VALUE a 0 1|z|END"},
		{"flush_all", "OK"},
		{"get a n", "END"},
		{"mn", "MN"},
	} {
		c.want(step[0], step[1])
	}
}

func TestMeta(t *testing.T) {
	clock := newFakeClock()
	s := openStore(t, Options{Now: clock.now})
	c := newClient(t, s)
	for _, step := range [][2]string{
		{"mg a v", "EN"},
		{"mg a v q|mn", "MN"},
		{"ms a 2 F3 T100 c|hi", "HD c1"},
		{"mg a v f t c s k O9", "VA 2 f3 t100 c1 s2 ka O9|hi"},
		{"mg a h l", "HD h1 l0"},
		{"ms a 2 C7|no", "EX"},
		{"ms a 2 C1 E50 c|ok", "HD c50"},
		{"mg a c v", "VA 2 c50|ok"},
		{"mg a C50 v", "HD"},
		{"ms a 1 MA s|!", "HD s3"},
		{"ms a 1 ME|x", "NS"},
		{"mg new N30 v t", "VA 0 t30 W|"},
		{"mg new N30 v", "VA 0 Z|"},
		{"ms new 1 T5|v", "HD"},
		{"mg new R30 v", "VA 1 W|v"},
		{"mg new R30 v", "VA 1 Z|v"},
		{"md new I T60", "HD"},
		{"mg new v t", "VA 1 t60 X W|v"},
		{"mg new v", "VA 1 Z X|v"},
		{"md new x", "HD"},
		{"mg new v s f", "VA 0 s0 f0|"},
		{"md new q|mg new|mn", "EN|MN"},
		{"ma n N0 J13 v", "VA 2|13"},
		{"ma n v D7", "VA 2|20"},
		{"ma n MD v D30 t c", "VA 1 t-1 c10|0"},
		{"ma none", "NF"},
		{"ms YWJj 1 b|x", "HD"},
		{"mg YWJj b k v", "VA 1 kYWJj b|x"},
		{"get abc", "VALUE abc 0 1|x|END"},
	} {
		c.want(step[0], step[1])
	}
	clock.pass(s, 7*time.Second)
	c.want("mg a l h u", "HD l7 h1")
	c.want("mg a l h", "HD l7 h1")
	c.want("mg a l", "HD l0")
}
