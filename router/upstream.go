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
	id    int     // where lanes have its links
	lanes []*Lane // all that there are
	log   *slog.Logger
	now   func() time.Time // the router's clock

	state atomicState
	// epoch rises each time the upstream goes down: a write that was sent under an earlier one may
	// have been undone by what happened since.
	epoch   atomic.Uint64
	upSince atomic.Int64 // Unix nanoseconds; of an outage that may be before this process, its start
	soft    atomic.Int32 // soft errors since the last answer
	uses    int          // see Set
	closed  chan struct{}

	watcher Watcher // nil if nobody asks to be called
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

// A Watcher is called as an upstream changes its state. All but Flushed are called with upstream.mu
// held: they may not wait, nor take that lock.
type Watcher interface {
	WentDown()
	ComingUp(whole bool) // before it counts as up; whole is with all items that others may have
	CameUp()
	Flushed() // it is about to be flushed, and then holds nothing
}

// A State of an upstream.
type State uint32

// The states.
const (
	stateUp        State = iota
	stateDown            // it is probed, and gets nothing else
	stateReturning       // it answers again, and the keys that it missed are being deleted on it
)

var stateNames = [...]string{stateUp: "up", stateDown: "down", stateReturning: "returning"}

// String returns "up", "down" or "returning".
func (s State) String() string { return stateNames[s] }

// An atomicState is a State.
type atomicState struct{ value atomic.Uint32 }

func (s *atomicState) Load() State { return State(s.value.Load()) }

func (s *atomicState) Store(to State) { s.value.Store(uint32(to)) }

func (s *atomicState) CompareAndSwap(from, to State) bool {
	return s.value.CompareAndSwap(uint32(from), uint32(to))
}

// upstreamCounters are since the start.
type upstreamCounters struct {
	connects atomic.Int64
	downs    atomic.Int64
	probes   atomic.Int64
}

// Watch has the watcher called. It is called before the upstream is used.
func (d *upstream) Watch(w Watcher) { d.watcher = w }

// Watcher returns what Watch was given, nil without it.
func (d *upstream) Watcher() Watcher { return d.watcher }

// State returns the state.
func (d *upstream) State() State { return d.state.Load() }

// Epoch returns a number that rises each time that the upstream goes down.
func (d *upstream) Epoch() uint64 { return d.epoch.Load() }

// up reports whether the upstream gets requests.
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

// openSide opens a connection beside the lanes', over which the upstream has answered. It is closed
// when ctx ends.
func (d *upstream) openSide(ctx context.Context) (*sideConn, error) {
	conn, err := d.dial(ctx)
	if err != nil {
		return nil, err
	}
	side := newSideConn(conn, d.timeout)
	side.stop = context.AfterFunc(ctx, func() { conn.Close() })
	if err := side.greet(); err != nil {
		side.Close()
		return nil, err
	}
	return side, nil
}

// upFor returns how long the upstream has been up.
func (d *upstream) upFor() time.Duration { return time.Duration(d.now().UnixNano() - d.upSince.Load()) }

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
		d.outage.breakConnections()
	}
	if d.watcher != nil {
		d.watcher.WentDown()
	}
	d.startProbing()
}

// StartProbing probes the upstream if it is down.
func (d *upstream) StartProbing() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state.Load() == stateDown {
		d.startProbing()
	}
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
		d.watcher.ComingUp(d.whole)
		defer d.watcher.CameUp()
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
	side, err := d.openSide(ctx)
	if err != nil {
		return err
	}
	defer side.Close()
	if d.outage != nil {
		return d.outage.restore(ctx, side)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.becomeUp()
	return nil
}

// connectResult tells the failures to connect apart.
func connectResult(err error) result {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return resultConnectTimeout
	}
	return resultConnect
}

// Closed is closed once no tree uses the upstream any more.
func (d *upstream) Closed() <-chan struct{} { return d.closed }

// isClosed reports whether no tree uses the upstream any more.
func (d *upstream) isClosed() bool {
	select {
	case <-d.closed:
		return true
	default:
		return false
	}
}
