package router

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// An upstream is a server that the router sends to: its address, how it is treated, and what is
// known of its state. All lanes share it, and each has links of its own to it. Members of pools, in
// this tree or in the next one, that have the same identity share one.
type upstream struct {
	identity
	settings
	id  int // where lanes have its links
	log *slog.Logger
	now func() time.Time // the router's clock

	state atomic.Uint32
	// epoch rises each time the upstream goes down: a write that was sent under an earlier one may
	// have been undone by what happened since.
	epoch   atomic.Uint64
	upSince atomic.Int64 // Unix nanoseconds; of an outage that may be before this process, its start
	soft    atomic.Int32 // soft errors since the last answer
	uses    int          // trees that have it; guarded by Router.mu
	closed  chan struct{}

	watcher watcher // nil if nobody asks to be called
	outage  *outage // of an upstream that has a journal; else nil
	owed    owed    // of an upstream of a sharded pool

	mu      sync.Mutex // guards what follows, and changes of state to and from stateUp
	probing bool
	whole   bool // it comes back with all that the others have
	downAt  time.Time

	counters upstreamCounters
}

// An identity is what makes two members of the configuration one upstream.
type identity struct {
	journaled bool
	pool      string // of a replicated one, which has a state of its own for its members; else ""
	address   string
	settings  settings // none if it is journaled: it stays one upstream whatever they become
}

// settings are how an upstream is treated.
type settings struct {
	timeout time.Duration
	connect time.Duration
	links   int // from each lane

	softErrors         int
	probeMin, probeMax time.Duration
	maxInFlight        int // on each link
}

// A watcher is called as an upstream changes its state. All but flushed are called with upstream.mu
// held: they may not wait, nor take that lock.
type watcher interface {
	wentDown()
	comingUp(whole bool) // before it counts as up; whole is with all items that others may have
	cameUp()
	flushed() // it is about to be flushed, and then holds nothing
}

// States of an upstream.
const (
	stateUp        uint32 = iota
	stateDown             // it is probed, and gets nothing else
	stateReturning        // it answers again, and the keys that it missed are being deleted on it
)

// upstreamCounters are since the start.
type upstreamCounters struct {
	connects atomic.Int64
	downs    atomic.Int64
	probes   atomic.Int64
}

func (d *upstream) up() bool { return d.state.Load() == stateUp }

// network splits the address as net.Dial wants it.
func (d *upstream) network() (network, address string) {
	if path, ok := strings.CutPrefix(d.address, "unix:"); ok {
		return "unix", path
	}
	return "tcp", d.address
}

func (d *upstream) dial(ctx context.Context) (net.Conn, error) {
	network, address := d.network()
	dialer := net.Dialer{Timeout: d.connect, KeepAlive: 30 * time.Second}
	return dialer.DialContext(ctx, network, address)
}

// answered records that the upstream has answered, with whatever answer.
func (d *upstream) answered() {
	if d.soft.Load() != 0 {
		d.soft.Store(0)
	}
}

// failedSoft notes a time-out or a connection that broke.
func (d *upstream) failedSoft(cause error) {
	if int(d.soft.Add(1)) >= d.softErrors {
		d.failedHard(cause)
	}
}

// failedHard takes the upstream down: nothing is sent to it until a probe finds it well.
func (d *upstream) failedHard(cause error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state.Load() == stateUp {
		d.goDown(cause)
	}
}

// goDown takes the upstream down, which was up. d.mu is held.
func (d *upstream) goDown(cause error) {
	d.downAt = d.now()
	d.epoch.Add(1)
	d.state.Store(stateDown)
	d.counters.downs.Add(1)
	d.log.Warn("member down", "member", d.address, "err", cause)
	if d.outage != nil {
		d.breakConnections()
	}
	if d.watcher != nil {
		d.watcher.wentDown()
	}
	d.startProbing()
}

// startProbing is called with d.mu held.
func (d *upstream) startProbing() {
	if !d.probing {
		d.probing = true
		go d.probe()
	}
}

// becomeUp is called with d.mu held.
func (d *upstream) becomeUp() {
	d.soft.Store(0)
	d.probing = false
	d.upSince.Store(d.now().UnixNano())
	if d.watcher != nil {
		d.watcher.comingUp(d.whole)
		defer d.watcher.cameUp()
	}
	d.whole = false
	d.state.Store(stateUp)
	d.log.Info("member up", "member", d.address, "away", d.now().Sub(d.downAt).Round(time.Millisecond))
}

// probe tries to reach the upstream until it is up again or closed.
func (d *upstream) probe() {
	wait := d.probeMin
	for {
		timer := time.NewTimer(wait)
		select {
		case <-d.closed:
			timer.Stop()
			return
		case <-timer.C:
		}
		d.counters.probes.Add(1)
		err := d.tryReturn()
		if err == nil {
			return
		}
		d.log.Debug("member still down", "member", d.address, "err", err)
		d.state.CompareAndSwap(stateReturning, stateDown)
		wait = min(2*wait, d.probeMax)
	}
}

// tryReturn brings the upstream up if it answers and the keys that it missed are deleted on it.
func (d *upstream) tryReturn() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-d.closed:
			cancel()
		case <-stop:
		}
	}()
	conn, err := d.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	side := newSideConn(conn, d.timeout)
	if err := side.greet(); err != nil {
		return err
	}
	if d.outage != nil {
		return d.restore(ctx, side)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.becomeUp()
	return nil
}

// close ends the probes.
func (d *upstream) close() { close(d.closed) }

// connectResult tells the failures to connect apart.
func connectResult(err error) result {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return resultConnectTimeout
	}
	return resultConnect
}

func (d *upstream) isClosed() bool {
	select {
	case <-d.closed:
		return true
	default:
		return false
	}
}
