package wire

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

// peersHere is Holdfast, and memcached if it is installed.
func peersHere(t *testing.T, each func(*testing.T, *peer)) {
	t.Run("holdfast", func(t *testing.T) { each(t, holdfast(t)) })
	t.Run("memcached", func(t *testing.T) { each(t, memcached(t, find(t, "memcached"))) })
}

// TestNoEvict fills a cache with -M: stored items stay, and items that don't fit are refused.
func TestNoEvict(t *testing.T) {
	peersHere(t, func(t *testing.T, p *peer) {
		c := dial(t, start(t, p, "-M", "-m", "2"))
		r := bufio.NewReader(c)
		value := strings.Repeat("v", 8192)
		stored := 0
		for {
			switch answer := ask(t, c, r, "set k%d 0 0 %d\r\n%s\r\n", stored, len(value), value); answer {
			case "STORED\r\n":
				stored++
				if stored > 1000 {
					t.Fatalf("%d values of 8 KiB are held in 2 MiB", stored)
				}
				continue
			case "SERVER_ERROR out of memory storing object\r\n":
			default:
				t.Fatalf("set: got %q", answer)
			}
			break
		}
		if stored < 100 {
			t.Errorf("got %d values held in 2 MiB; want at least 100", stored)
		}
		for i := range stored {
			if got, want := ask(t, c, r, "mg k%d s\r\n", i), "HD s8192\r\n"; got != want {
				t.Fatalf("k%d of %d: got %q; want %q", i, stored, got, want)
			}
		}
		// Deletes free memory.
		for i := range stored {
			ask(t, c, r, "delete k%d\r\n", i)
		}
		if got, want := ask(t, c, r, "set k 0 0 8192\r\n%s\r\n", value), "STORED\r\n"; got != want {
			t.Errorf("set into an emptied cache: got %q; want %q", got, want)
		}
	})
}

// TestEvict fills a cache without -M: every set is stored, and old items are evicted.
func TestEvict(t *testing.T) {
	peersHere(t, func(t *testing.T, p *peer) {
		c := dial(t, start(t, p, "-m", "3"))
		r := bufio.NewReader(c)
		value := strings.Repeat("v", 66560)
		for i := range 200 {
			if got, want := ask(t, c, r, "set k%d 0 0 %d\r\n%s\r\n", i, len(value), value), "STORED\r\n"; got != want {
				t.Fatalf("k%d: got %q; want %q", i, got, want)
			}
			if got, want := ask(t, c, r, "mg k%d s\r\n", i), "HD s66560\r\n"; got != want {
				t.Fatalf("k%d, just stored: got %q; want %q", i, got, want)
			}
		}
		held := 0
		for i := range 200 {
			if ask(t, c, r, "mg k%d\r\n", i) == "HD\r\n" {
				held++
			}
		}
		if held < 10 || held > 60 {
			t.Errorf("got %d values of 65 KiB held in 3 MiB; want 10 to 60", held)
		}
	})
}

// TestConnectionLimit opens more connections than -c allows: the error names the limit, and
// connections are accepted again afterwards.
func TestConnectionLimit(t *testing.T) {
	peersHere(t, func(t *testing.T, p *peer) {
		server := start(t, p, "-c", "100")
		first := dial(t, server)
		if got, want := ask(t, first, bufio.NewReader(first), "mn\r\n"), "MN\r\n"; got != want {
			t.Fatalf("got %q; want %q", got, want)
		}
		refused := false
		for range 150 {
			c := dial(t, server)
			// A refused connection may be closed before the request is sent; only its answer matters.
			_, _ = io.WriteString(c, "mn\r\n")
			answer, _ := bufio.NewReader(c).ReadString('\n')
			switch answer {
			case "MN\r\n":
			case "ERROR Too many open connections\r\n", "": // a reset may have overtaken the answer
				refused = true
			default:
				t.Fatalf("got %q", answer)
			}
		}
		if !refused {
			t.Error("150 connections were served with -c 100")
		}
		if got, want := ask(t, first, bufio.NewReader(first), "mn\r\n"), "MN\r\n"; got != want {
			t.Errorf("the first connection: got %q; want %q", got, want)
		}
	})
}

// TestBinaryIsRefused sends a request of the binary protocol to listeners that serve only the text
// protocol.
func TestBinaryIsRefused(t *testing.T) {
	server := start(t, holdfast(t), "-B", "ascii")
	c := dial(t, server)
	if _, err := c.Write([]byte("\x80\x0b\x00\x00" + strings.Repeat("\x00", 20))); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Logf("while reading: %v", err)
	}
	if !strings.Contains(string(answer), "text protocol") {
		t.Errorf("got %q; want an error that names the text protocol, and a close", answer)
	}
}

func ask(t *testing.T, c net.Conn, r *bufio.Reader, format string, args ...any) string {
	t.Helper()
	if _, err := fmt.Fprintf(c, format, args...); err != nil {
		t.Fatal(err)
	}
	answer, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("%.40q: %v", fmt.Sprintf(format, args...), err)
	}
	return answer
}
