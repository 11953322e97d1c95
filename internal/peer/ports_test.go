package peer

import (
	"net"
	"slices"
	"testing"
)

// No two draws have a port in common while their tests run, and none has one on which something
// listens.
func TestFreeAddresses(t *testing.T) {
	l, err := net.Listen("tcp", FreeAddresses(t, 1)[0])
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	all := []string{l.Addr().String()}
	for range 300 { // without reservations the chance to see none twice is below 1 in 10^9
		all = append(all, FreeAddresses(t, 3)...)
	}
	slices.Sort(all)
	if n := len(all); len(slices.Compact(all)) != n {
		t.Error("an address was drawn twice")
	}
}
