package node

import (
	"sync/atomic"
	"time"
)

// A pause counts what is being executed, and can keep what comes later from beginning. Its zero value
// is ready.
//
// Whoever begins counts first, and looks then whether there is a pause; whoever pauses looks at the
// count afterwards. So nothing that has begun is overlooked.
type pause struct {
	executing atomic.Int64
	pauses    atomic.Int64 // that have begun and haven't ended
}

// begin reports whether something may begin, whose end done is called at.
func (p *pause) begin() bool {
	p.executing.Add(1)
	if p.paused() {
		p.executing.Add(-1)
		return false
	}
	return true
}

func (p *pause) done() { p.executing.Add(-1) }

func (p *pause) paused() bool { return p.pauses.Load() > 0 }

// pause keeps everything from beginning until resume, and returns when nothing is being executed any
// more, or after a time.
func (p *pause) pause(most time.Duration) {
	p.pauses.Add(1)
	for began := time.Now(); p.executing.Load() > 0 && time.Since(began) < most; {
		time.Sleep(pauseEvery)
	}
}

// pauseEvery is how often a pause looks whether something is being executed.
const pauseEvery = time.Millisecond

func (p *pause) resume() { p.pauses.Add(-1) }
