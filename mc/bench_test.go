package mc

import (
	"fmt"
	"strings"
	"testing"
)

// benchDecode decodes in over and over; it reports the time for one of its n parts.
func benchDecode(b *testing.B, in string, n int) {
	b.Helper()
	var d Decoder
	batch := NewBatch(nil)
	bytes := []byte(in)
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		if used, err := d.Decode(bytes, batch); used != len(bytes) || err != nil {
			b.Fatal(used, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/part")
}

const benchKey = "user:0000000000:name"

func BenchmarkDecodeGet(b *testing.B) { benchDecode(b, "get "+benchKey+"\r\n", 1) }

func BenchmarkDecodeGetPipelined32(b *testing.B) {
	benchDecode(b, strings.Repeat("get "+benchKey+"\r\n", 32), 32)
}

func BenchmarkDecodeMultiget32(b *testing.B) {
	benchDecode(b, "get "+strings.Repeat(benchKey+" ", 32)+"\r\n", 32)
}

func BenchmarkDecodeSet(b *testing.B) {
	for _, n := range []int{100, 4096} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			benchDecode(b, fmt.Sprintf("set %s 0 3600 %d\r\n%s\r\n", benchKey, n, strings.Repeat("v", n)), 1)
		})
	}
}

func BenchmarkDecodeMetaGet(b *testing.B) { benchDecode(b, "mg "+benchKey+" v\r\n", 1) }

func BenchmarkDecodeMetaGetPipelined32(b *testing.B) {
	benchDecode(b, strings.Repeat("mg "+benchKey+" v\r\n", 32), 32)
}

func BenchmarkDecodeMetaGetFlags(b *testing.B) {
	benchDecode(b, "mg "+benchKey+" v t f c Oabc123 k\r\n", 1)
}

func BenchmarkAppendValue(b *testing.B) {
	var dst []byte
	key := []byte(benchKey)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendValue(dst[:0], key, 0, 100)
	}
}

func BenchmarkAppendUint(b *testing.B) {
	var dst []byte
	for _, n := range []uint64{7, 100, 4096, 1 << 40, 1<<64 - 1} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				dst = AppendUint(dst[:0], n)
			}
		})
	}
}

func BenchmarkDecodeBinaryGetKQ32(b *testing.B) {
	in := []byte(strings.Repeat(packet{opcode: OpcodeGetKQ, key: benchKey}.String(), 32) +
		packet{opcode: OpcodeNoop}.String())
	var d BinaryDecoder
	batch := NewBatch(nil)
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		if used, err := d.Decode(in, batch); used != len(in) || err != nil {
			b.Fatal(used, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/32, "ns/part")
}
