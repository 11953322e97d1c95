package cache

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"holdfast/mc"
)

const benchItems = 500_000

// benchStore is a store of benchItems items with 20-byte keys and 100-byte values.
func benchStore(b *testing.B) *Store {
	s, err := Open(Options{MemoryBytes: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	c := newClient(b, s)
	value := strings.Repeat("v", 100)
	for i := range benchItems {
		c.do(fmt.Sprintf("set key-%016d 0 0 100\r\n%s\r\n", i, value))
	}
	return s
}

// benchBatches are many batches of n requests for random keys, decoded.
func benchBatches(b *testing.B, n int, request func(buf *bytes.Buffer, key string)) []*mc.Batch {
	batches := make([]*mc.Batch, 4096)
	for i := range batches {
		var buf bytes.Buffer
		for range n {
			request(&buf, fmt.Sprintf("key-%016d", rand.IntN(benchItems)))
		}
		batch := mc.NewBatch(func(*mc.Batch) {})
		var d interface {
			Decode([]byte, *mc.Batch) (int, error)
		} = &mc.Decoder{}
		if batch.Binary = buf.Bytes()[0] == mc.BinaryRequestMagic; batch.Binary {
			d = &mc.BinaryDecoder{}
		}
		if _, err := d.Decode(buf.Bytes(), batch); err != nil || len(batch.Requests) != n {
			b.Fatal(err, len(batch.Requests))
		}
		batches[i] = batch
	}
	return batches
}

func benchServe(b *testing.B, n int, request func(buf *bytes.Buffer, key string)) {
	s := benchStore(b)
	batches := benchBatches(b, n, request)
	b.ReportAllocs()
	out := make([]byte, 0, mc.FullBytes)
	for i := 0; b.Loop(); i++ {
		batch := batches[i%len(batches)]
		batch.Next, batch.Out = 0, out
		s.Serve(batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/request")
}

func get(buf *bytes.Buffer, key string) { fmt.Fprintf(buf, "get %s\r\n", key) }
func put(buf *bytes.Buffer, key string) {
	fmt.Fprintf(buf, "set %s 0 0 100\r\n%s\r\n", key, strings.Repeat("w", 100))
}

func getQuietly(buf *bytes.Buffer, key string) {
	r := mc.Request{Opcode: mc.OpcodeGetKQ, Key: []byte(key)}
	buf.Write(appendBinary(nil, &r))
}

func BenchmarkGetBinary32(b *testing.B) { benchServe(b, 32, getQuietly) }

func BenchmarkGet1(b *testing.B)  { benchServe(b, 1, get) }
func BenchmarkGet32(b *testing.B) { benchServe(b, 32, get) }
func BenchmarkSet1(b *testing.B)  { benchServe(b, 1, put) }
func BenchmarkSet32(b *testing.B) { benchServe(b, 32, put) }

// BenchmarkEvict stores new keys into a memory that is full.
func BenchmarkEvict(b *testing.B) {
	s, err := Open(Options{MemoryBytes: 256 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	value := bytes.Repeat([]byte("v"), 100)
	batch := mc.NewBatch(func(*mc.Batch) {})
	batch.Requests = []mc.Request{{Op: mc.Set, Value: value}}
	key := []byte("key-0000000000000000")
	store := func(i int) {
		for at, n := len(key)-1, i; n > 0; at, n = at-1, n/10 {
			key[at] = byte('0' + n%10)
		}
		batch.Requests[0].Key, batch.Requests[0].Hash = key, 0
		batch.Next = 0
		s.Serve(batch)
		batch.ResetOut()
	}
	for i := range 2_000_000 {
		store(i)
	}
	b.ReportAllocs()
	for i := 2_000_000; b.Loop(); i++ {
		store(i)
	}
}
