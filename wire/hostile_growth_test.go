package wire

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
)

// TestGrowth has clients store more and more small items, for which the index grows, and read
// random items that they have stored: while memory suffices no item may be missing, not even
// briefly.
func TestGrowth(t *testing.T) {
	server := start(t, ours(t), "-m", "256", "-t", "2")
	var wg sync.WaitGroup
	for id := range 6 {
		c := dial(t, server)
		wg.Go(func() {
			if err := grow(c, id, 300*hostile()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := statsOf(t, server, "")["evictions"]; got != "0" {
		t.Errorf("%s evictions; want none", got)
	}
}

// grow stores a hundred items in each round, and reads a hundred after it.
func grow(c net.Conn, id, rounds int) error {
	const each = 100
	rng := rand.New(rand.NewPCG(uint64(id), 3))
	r := bufio.NewReader(c)
	for round := range rounds {
		var out strings.Builder
		for i := range each {
			fmt.Fprintf(&out, "set g%d:%d 0 0 4 noreply\r\n%04d\r\n", id, round*each+i, (round*each+i)%10_000)
		}
		asked := make([]int, each)
		out.WriteString("get")
		for i := range asked {
			asked[i] = rng.IntN((round + 1) * each)
			fmt.Fprintf(&out, " g%d:%d", id, asked[i])
		}
		out.WriteString("\r\n")
		if _, err := c.Write([]byte(out.String())); err != nil {
			return err
		}
		for _, n := range asked {
			want := fmt.Sprintf("VALUE g%d:%d 0 4\r\n%04d\r\n", id, n, n%10_000)
			var got strings.Builder
			for got.Len() < len(want) {
				line, err := r.ReadString('\n')
				if err != nil || line == "END\r\n" {
					return fmt.Errorf("round %d: got %q, %w; want %q", round, line, err, want)
				}
				got.WriteString(line)
			}
			if got.String() != want {
				return fmt.Errorf("round %d: got %q; want %q", round, got.String(), want)
			}
		}
		if line, err := r.ReadString('\n'); line != "END\r\n" {
			return fmt.Errorf("round %d: got %q, %w; want END", round, line, err)
		}
	}
	return nil
}
