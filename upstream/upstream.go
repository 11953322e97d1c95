package upstream

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

// An Upstream is a server that the router sends to: its address, its settings, and what is known of
// its state. All lanes share it, and each has its own links to it. Members of pools that have the
// same identity share one Upstream, before and after a reload.
type Upstream struct {
	Identity
	Settings
	id    int     // where lanes have its links
	lanes []*Lane // all lanes
	log   *slog.Logger
	clock Clock

	state atomicState
	// epoch rises each time the upstream goes down: a write that was sent in an earlier epoch may have
	// been undone since.
	epoch   atomic.Uint64
	upSince atomic.Int64 // Unix nanoseconds; of an outage that may be before this process, its start
	soft    atomic.Int32 // soft errors since the last answer
	uses    int          // see Set
	closed  chan struct{}

	watcher Watcher // nil if there is none
	Outage  *Outage // of an upstream that has a journal; else nil
	Owed    Owed    // of an upstream of a sharded pool

	mu      sync.Mutex // guards what follows, and changes of state to and from stateUp
	probing bool
	whole   bool // when it comes back it has all items that the other members have
	downAt  time.Time

	counters upstreamCounters
}

// An Identity is what makes two members of the configuration one upstream.
type Identity struct {
	Journaled bool
	Pool      string // the name of a replicated pool, whose members have a state of their own; else ""
	Address   string
	Settings  Settings // zero if it is journaled: then a change of settings doesn't make another upstream
}

// Settings are how an upstream is treated.
type Settings struct {
	Timeout time.Duration
	Connect time.Duration
	Links   int // from each lane

	SoftErrors         int
	ProbeMin, ProbeMax time.Duration
	MaxInFlight        int // on each link
}

// A Watcher is called when an upstream changes its state. All methods but Flushed are called with
// Upstream.mu held: they must not block, nor call what takes that lock.
type Watcher interface {
	WentDown()
	ComingUp(whole bool) // before it is up; whole: it has all items that other members may have
	CameUp()
	Flushed() // before it is flushed
}

// A State of an upstream.
type State uint32

// The states.
const (
	StateUp        State = iota
	StateDown            // it gets probes and no requests
	StateReturning       // it answers again, and the keys that it missed are being deleted on it
)

var stateNames = [...]string{StateUp: "up", StateDown: "down", StateReturning: "returning"}

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

// Watch sets the watcher. It must be called before the upstream is used.
func (d *Upstream) Watch(w Watcher) { d.watcher = w }

// Watcher returns the watcher, or nil.
func (d *Upstream) Watcher() Watcher { return d.watcher }

// State returns the state.
func (d *Upstream) State() State { return d.state.Load() }

// Epoch returns a number that rises each time that the upstream goes down.
func (d *Upstream) Epoch() uint64 { return d.epoch.Load() }

// Up reports whether the upstream gets requests.
func (d *Upstream) Up() bool { return d.state.Load() == StateUp }

// network splits the address as net.Dial wants it.
func (d *Upstream) network() (network, address string) {
	if path, ok := strings.CutPrefix(d.Address, "unix:"); ok {
		return "unix", path
	}
	return "tcp", d.Address
}

func (d *Upstream) dial(ctx context.Context) (net.Conn, error) {
	network, address := d.network()
	dialer := net.Dialer{Timeout: d.Connect, KeepAlive: 30 * time.Second}
	return dialer.DialContext(ctx, network, address)
}

// OpenSide opens a connection beside the lanes', over which the upstream has answered. It is closed
// when ctx ends.
func (d *Upstream) OpenSide(ctx context.Context) (*Side, error) {
	conn, err := d.dial(ctx)
	if err != nil {
		return nil, err
	}
	side := newSide(conn, d.Timeout)
	side.stop = context.AfterFunc(ctx, func() { conn.Close() })
	if err := side.greet(); err != nil {
		side.Close()
		return nil, err
	}
	return side, nil
}

// UpFor returns how long the upstream has been up.
func (d *Upstream) UpFor() time.Duration {
	return time.Duration(d.clock.Now().UnixNano() - d.upSince.Load())
}

// answered records that the upstream has answered a request, be it with an error.
func (d *Upstream) answered() {
	if d.soft.Load() != 0 {
		d.soft.Store(0)
	}
}

// failedSoft counts a time-out or a broken connection.
func (d *Upstream) failedSoft(cause error) {
	if int(d.soft.Add(1)) >= d.SoftErrors {
		d.TakeDown(cause)
	}
}

// TakeDown takes the upstream down: no request is sent to it until a probe is answered.
func (d *Upstream) TakeDown(cause error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state.Load() == StateUp {
		d.goDown(cause)
	}
}

// goDown takes an upstream down that was up. d.mu is held.
func (d *Upstream) goDown(cause error) {
	d.downAt = d.clock.Now()
	d.epoch.Add(1)
	d.state.Store(StateDown)
	d.counters.downs.Add(1)
	d.log.Warn("member down", "member", d.Address, "err", cause)
	if d.Outage != nil {
		d.Outage.breakConnections()
	}
	if d.watcher != nil {
		d.watcher.WentDown()
	}
	d.startProbing()
}

// StartProbing probes the upstream if it is down.
func (d *Upstream) StartProbing() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state.Load() == StateDown {
		d.startProbing()
	}
}

// startProbing is called with d.mu held.
func (d *Upstream) startProbing() {
	if !d.probing {
		d.probing = true
		go d.probe()
	}
}

// becomeUp is called with d.mu held.
func (d *Upstream) becomeUp() {
	d.soft.Store(0)
	d.probing = false
	d.upSince.Store(d.clock.Now().UnixNano())
	if d.watcher != nil {
		d.watcher.ComingUp(d.whole)
		defer d.watcher.CameUp()
	}
	d.whole = false
	d.state.Store(StateUp)
	d.log.Info("member up", "member", d.Address, "away", d.clock.Now().Sub(d.downAt).Round(time.Millisecond))
}

// probe tries to reach the upstream until it is up again or closed.
func (d *Upstream) probe() {
	wait := d.ProbeMin
	for {
		if !Wait(d.clock, wait, d.closed) {
			return
		}
		d.counters.probes.Add(1)
		err := d.tryReturn()
		if err == nil {
			return
		}
		d.log.Debug("member still down", "member", d.Address, "err", err)
		d.state.CompareAndSwap(StateReturning, StateDown)
		wait = min(2*wait, d.ProbeMax)
	}
}

// tryReturn brings the upstream up if it answers and the keys that it missed are deleted on it.
func (d *Upstream) tryReturn() error {
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
	side, err := d.OpenSide(ctx)
	if err != nil {
		return err
	}
	defer side.Close()
	if d.Outage != nil {
		return d.Outage.restore(ctx, side)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.becomeUp()
	return nil
}

// connectResult returns the result for a failure to connect.
func connectResult(err error) Result {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return ConnectTimeout
	}
	return Connect
}

// Closed is closed once no tree uses the upstream any more.
func (d *Upstream) Closed() <-chan struct{} { return d.closed }

// IsClosed reports whether no tree uses the upstream any more.
func (d *Upstream) IsClosed() bool {
	select {
	case <-d.closed:
		return true
	default:
		return false
	}
}
