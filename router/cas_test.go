package router

import (
	"strings"
	"testing"
)

// Meta commands compare with the CAS that they were given through the pool, whichever member it is
// of.
func TestMetaCompare(t *testing.T) {
	_, cutters, o := replicas(t, 3)
	r := run(t, o, 1)
	r.want(0, "ms k 1\r\n1\r\n", "HD\r\n")
	cas := func() string {
		answer := r.ask(0, "mg k c\r\n")
		return strings.TrimSuffix(strings.TrimPrefix(answer, "HD c"), "\r\n")
	}
	first := cas()
	r.want(0, "mg k C"+first+" v\r\n", "HD\r\n")
	r.want(0, "mg k C1 v\r\n", "VA 1\r\n1\r\n")
	r.want(0, "ms k 1 C"+first+"\r\n2\r\n", "HD\r\n")
	r.want(0, "ms k 1 C"+first+"\r\n3\r\n", "EX\r\n")
	r.want(0, "ms n 1\r\n5\r\nma n C0 v\r\n", "HD\r\nVA 1\r\n6\r\n") // 0 compares with nothing
	second := cas()
	cutters[0].setCut(true)
	r.want(0, "ms other 1\r\n1\r\n", "HD\r\n")
	r.want(0, "mg k C"+second+" v\r\n", "VA 1\r\n2\r\n") // another member can't know that it is the same
	r.want(0, "mg k C"+cas()+" v\r\n", "HD\r\n")
}
