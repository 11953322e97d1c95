package journal

import (
	"encoding/binary"
	"testing"
)

func BenchmarkAdd(b *testing.B) {
	for _, test := range []struct {
		name         string
		memory       bool
		batch, among int // keys at once, and how many different ones there are
	}{
		{"disk/one", false, 1, 1 << 62},
		{"disk/batch of 16", false, 16, 1 << 62},
		{"disk/one of 1000", false, 1, 1000},
		{"memory/one", true, 1, 1 << 62},
	} {
		b.Run(test.name, func(b *testing.B) {
			o := quiet("")
			if !test.memory {
				o.Folder = b.TempDir()
			}
			o.MaxBytes = 1 << 40
			j, err := Open(o)
			if err != nil {
				b.Fatal(err)
			}
			defer j.Close()
			m, err := j.Member("127.0.0.1:11211")
			if err != nil {
				b.Fatal(err)
			}
			if err := m.Begin(); err != nil {
				b.Fatal(err)
			}
			keys := make([][]byte, test.batch)
			for i := range keys {
				keys[i] = make([]byte, 32)
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				for _, key := range keys {
					binary.LittleEndian.PutUint64(key, uint64(n%test.among))
					n++
				}
				m.Add(keys...)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/key")
			if cut, why := m.Cut(); cut {
				b.Fatal(why)
			}
		})
	}
}

func BenchmarkBegin(b *testing.B) {
	j, err := Open(quiet(b.TempDir()))
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	m, err := j.Member("127.0.0.1:11211")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := m.Begin(); err != nil {
			b.Fatal(err)
		}
		m.Finish(m.End())
	}
}
