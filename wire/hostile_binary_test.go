package wire

import (
	"bufio"
	"io"
	"math/rand/v2"
	"testing"
)

// TestHostileBinary sends requests of the binary protocol in which random bytes were changed. Each
// connection gets an answer or is closed, a steady connection is not disturbed, and no memory is
// leaked.
func TestHostileBinary(t *testing.T) {
	server := start(t, ours(t), "-t", "2")
	steady := dial(t, server)
	r := bufio.NewReader(steady)
	random := rand.New(rand.NewPCG(1, 2))
	g := &binaryGenerator{rand: random}
	for range 300 * hostile() {
		var in []byte
		for i := range 1 + random.IntN(5) {
			pair, _ := g.request(uint32(i))
			in = append(in, pair[0]...)
		}
		for range 1 + random.IntN(4) {
			at := random.IntN(min(len(in), 60)) // mostly in headers
			in[at] = byte(random.Uint32())
		}
		in[0] = 0x80
		c := dial(t, server)
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			_, _ = c.Write(in) // which fails if the server closes
			_ = c.(interface{ CloseWrite() error }).CloseWrite()
		}()
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Logf("while reading: %v", err)
		}
		<-sent
		c.Close()
	}
	if got := ask(t, steady, r, "mn\r\n"); got != "MN\r\n" {
		t.Errorf("a steady connection got %q", got)
	}
	for name, most := range map[string]int64{"curr_connections": 2, "read_buf_bytes": 0} {
		untilStat(t, server, "", name, func(n int64) bool { return n <= most })
	}
}
