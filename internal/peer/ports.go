package peer

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// The ports that tests draw from. They are below those that systems give to connections, one of
// which could take a port between the draw and the program that listens on it.
const (
	firstPort    = 20000
	ports        = 10000
	portAttempts = 100
)

// FreePort returns a port of 127.0.0.1 on which nothing listens, as FreeAddresses does.
func FreePort(t testing.TB) string {
	t.Helper()
	_, port, err := net.SplitHostPort(FreeAddresses(t, 1)[0])
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// FreeAddresses returns n addresses of 127.0.0.1, with consecutive ports, on which nothing listens.
// Until the test ends no other call returns them, in this process or another.
func FreeAddresses(t testing.TB, n int) []string {
	t.Helper()
	for range portAttempts {
		addresses, held := reserve(firstPort+rand.IntN(ports-n), n)
		t.Cleanup(func() {
			for _, c := range held {
				c.Close()
			}
		})
		if len(addresses) == n {
			return addresses
		}
	}
	t.Fatalf("no %d ports in a row are free", n)
	return nil
}

// reserve returns the addresses from a port on, up to n of them, that are free, and what reserves
// them: the UDP port of the same number, which no program here uses. The system frees it when the
// process ends, however that happens.
func reserve(port, n int) (addresses []string, held []net.PacketConn) {
	for ; len(addresses) < n; port++ {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		c, err := net.ListenPacket("udp", address)
		if err != nil {
			break
		}
		held = append(held, c)
		l, err := net.Listen("tcp", address)
		if err != nil {
			break
		}
		l.Close()
		addresses = append(addresses, address)
	}
	return addresses, held
}
