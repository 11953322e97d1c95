package wire

import (
	"testing"

	peers "holdfast/internal/peer"
)

// freeAddress is a free address of 127.0.0.1.
func freeAddress(t *testing.T) string {
	t.Helper()
	return peers.FreeAddresses(t, 1)[0]
}

// freeAddresses returns n addresses whose ports follow one another, and those behind them are free as
// well, for the nodes' HTTP.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	return peers.FreeAddresses(t, 2*n)[:n]
}
