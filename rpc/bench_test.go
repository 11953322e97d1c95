package rpc

import (
	"runtime"
	"sync/atomic"
	"testing"
)

// benchBody is about as long as an entry of a small item.
var benchBody = make([]byte, 300)

func BenchmarkCall(b *testing.B) {
	one, _ := pair(b, defaultLimits(), nil, nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := one.Call(b.Context(), Message{To: 2, Body: benchBody}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCallsAtOnce(b *testing.B) {
	one, _ := pair(b, defaultLimits(), nil, nil)
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := one.Call(b.Context(), Message{To: 2, Body: benchBody}); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkMessages sends as many as are received, 1024 ahead.
func BenchmarkMessages(b *testing.B) {
	var received atomic.Int64
	one, _ := pair(b, defaultLimits(), nil, func(o *Options) { o.Receive = func(Message) { received.Add(1) } })
	b.ReportAllocs()
	sent := int64(0)
	for b.Loop() {
		for sent-received.Load() >= 1024 {
			runtime.Gosched()
		}
		one.Send(Message{To: 2, Body: benchBody})
		sent++
	}
	if c := one.Counts(); c.DroppedFull+c.DroppedLost != 0 {
		b.Errorf("messages were dropped: %+v", c)
	}
}
