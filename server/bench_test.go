package server

import (
	"io"
	"net"
	"strings"
	"testing"

	"holdfast/mc"
)

// canned answers every get with the same value.
func canned(b *mc.Batch) {
	for ; b.Next < len(b.Requests); b.Next++ {
		b.Out = append(b.Out, "VALUE k 0 5\r\nhello\r\nEND\r\n"...)
	}
	b.Done()
}

type cannedBackend struct{ *memory }

func (cannedBackend) Serve(b *mc.Batch) { canned(b) }

// BenchmarkGet counts what the whole process allocates for a get; the client here allocates
// nothing.
func BenchmarkGet(b *testing.B) {
	for _, pipelined := range []int{1, 32} {
		b.Run(map[int]string{1: "one", 32: "pipelined32"}[pipelined], func(b *testing.B) {
			roundTrip := getter(b, pipelined)
			b.ReportAllocs()
			for range b.N {
				roundTrip()
			}
		})
	}
}

func TestGetAllocatesNothing(t *testing.T) {
	roundTrip := getter(t, 10)
	if got := testing.AllocsPerRun(2000, roundTrip); got != 0 {
		t.Errorf("%v allocations; want 0", got)
	}
}

func getter(t testing.TB, pipelined int) func() {
	s := start(t, Options{Threads: 1}, cannedBackend{newMemory()})
	conn, err := net.Dial("tcp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	request := []byte(strings.Repeat("get k\r\n", pipelined))
	answer := make([]byte, pipelined*len("VALUE k 0 5\r\nhello\r\nEND\r\n"))
	return func() {
		if _, err := conn.Write(request); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, answer); err != nil {
			t.Fatal(err)
		}
	}
}
