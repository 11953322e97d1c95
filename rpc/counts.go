package rpc

import "sync/atomic"

// Counts are what a Transport has done since its start.
type Counts struct {
	FramesSent, BytesSent         uint64 // bodies and headers
	FramesReceived, BytesReceived uint64

	// Messages that were dropped, and requests that were refused:
	DroppedFull uint64 // since the queue was full
	DroppedAway uint64 // since there was no connection, or no such peer, or the body was too long
	DroppedLost uint64 // frames of any type that were queued when their connection broke

	Faults map[Fault]uint64 // has all faults
}

type counters struct {
	framesSent, bytesSent         atomic.Uint64
	framesReceived, bytesReceived atomic.Uint64
	full, away, lost              atomic.Uint64
}

func (c *counters) sent(frames, bytes int) {
	c.framesSent.Add(uint64(frames))
	c.bytesSent.Add(uint64(bytes))
}

func (c *counters) received(bodyBytes int) {
	c.framesReceived.Add(1)
	c.bytesReceived.Add(uint64(headerBytes + bodyBytes))
}

// Counts returns what the Transport has done since its start.
func (t *Transport) Counts() Counts {
	c := &t.counters
	return Counts{
		FramesSent: c.framesSent.Load(), BytesSent: c.bytesSent.Load(),
		FramesReceived: c.framesReceived.Load(), BytesReceived: c.bytesReceived.Load(),
		DroppedFull: c.full.Load(), DroppedAway: c.away.Load(), DroppedLost: c.lost.Load(),
		Faults: t.log.all(),
	}
}
