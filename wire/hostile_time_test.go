package wire

import (
	"bufio"
	"fmt"
	"strings"
	"testing"
)

// TestEndOfTime checks that an item lives as long as its TTL and no longer, and that its memory is
// reclaimed without a read, also if the item was moved or its TTL was changed.
func TestEndOfTime(t *testing.T) {
	server := start(t, ours(t), "-m", "8", "-M", "--debug")
	c := dial(t, server)
	r := bufio.NewReader(c)
	items := func(want string) {
		t.Helper()
		if got := statsOf(t, server, "")["curr_items"]; got != want {
			t.Errorf("got %s items; want %s", got, want)
		}
	}
	ask(t, c, r, "debugtime p\r\n")
	value := strings.Repeat("v", 3000)
	for i := range 300 {
		ask(t, c, r, "set k%d 0 10 %d\r\n%s\r\n", i, len(value), value)
	}
	for i := 0; i < 300; i += 2 {
		ask(t, c, r, "touch k%d 100\r\n", i)
	}
	for _, step := range []struct {
		seconds    int
		ends, over string // mg t of an item of 10 seconds, and of one of 100
		items      string
	}{
		{9, "HD t1\r\n", "HD t91\r\n", "300"},
		{1, "EN\r\n", "HD t90\r\n", "150"},
		{89, "EN\r\n", "HD t1\r\n", "150"},
		{1, "EN\r\n", "EN\r\n", "0"},
	} {
		ask(t, c, r, "debugtime %d\r\n", step.seconds)
		items(step.items)
		if got := ask(t, c, r, "mg k1 t\r\n"); got != step.ends {
			t.Errorf("an item of 10 seconds: got %q; want %q", got, step.ends)
		}
		if got := ask(t, c, r, "mg k2 t\r\n"); got != step.over {
			t.Errorf("an item of 100 seconds: got %q; want %q", got, step.over)
		}
	}
}

// TestNothingIsLost has clients count in the same counters and append to the same values. Every
// acknowledged change is there at the end.
func TestNothingIsLost(t *testing.T) {
	const clients, rounds = 16, 150
	server := start(t, ours(t), "-m", "64", "-t", "2")
	first := dial(t, server)
	r := bufio.NewReader(first)
	ask(t, first, r, "set n 0 0 1\r\n0\r\n")
	ask(t, first, r, "set small 0 0 0\r\n\r\n")
	ask(t, first, r, "set large 0 0 0\r\n\r\n")
	done := make(chan error, clients)
	for id := range clients {
		c := dial(t, server)
		go func() {
			r := bufio.NewReader(c)
			for n := range rounds {
				large := fmt.Sprintf("%02d.%03d%s,", id, n, strings.Repeat("-", 200))
				_, err := fmt.Fprintf(c, "incr n 1\r\nappend small 0 0 7\r\n%02d.%03d,\r\n"+
					"prepend large 0 0 %d\r\n%s\r\ntouch large %d\r\n", id, n, len(large), large, 1000+n)
				if err != nil {
					done <- err
					return
				}
				for _, want := range []string{"", "STORED\r\n", "STORED\r\n", "TOUCHED\r\n"} {
					if got, err := r.ReadString('\n'); err != nil || want != "" && got != want {
						done <- fmt.Errorf("got %q, %w; want %q", got, err, want)
						return
					}
				}
			}
			done <- nil
		}()
	}
	for range clients {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	roundTrip(t, first, "mg n v\r\n", fmt.Sprintf("VA 4\r\n%d\r\n", clients*rounds))
	for _, key := range []string{"small", "large"} {
		l := newLoader(0, dial(t, server), 1, 1<<20)
		l.ask(func() error {
			_, value, _, _, err := l.value()
			seen := map[string]bool{}
			for _, part := range strings.Split(string(value), ",") {
				seen[part] = true
			}
			if want := clients*rounds + 1; len(seen) != want { // the part after the last comma counts too
				t.Errorf("%s: %d different parts; want %d", key, len(seen), want)
			}
			return err
		}, "get %s\r\n", key)
		if err := l.flush(); err != nil {
			t.Error(err)
		}
	}
}
