package server

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/mc"
)

// WatchKinds is a set of the kinds of events that the command watch shows.
type WatchKinds uint32

// The kinds, by the words of the command.
const (
	WatchCommands    WatchKinds = 1 << iota // rawcmds
	WatchEvictions                          // evictions
	WatchFetchers                           // fetchers
	WatchMutations                          // mutations
	WatchConnections                        // connevents
	WatchDeletions                          // deletions
	watchNothing                            // sysevents, proxyreqs, …: events that don't happen here
)

// maxWatchers is how many connections may watch, as in memcached.
const maxWatchers = 20

// A Watch distributes events to the connections that watch, as lines in memcached's form
// (logger.c). Each connection has a bounded buffer; lines that don't fit are dropped, and their
// number is reported.
//
// Its methods may be called from any goroutine, and never wait for a client. Check Wants before
// composing an event: it costs one load.
type Watch struct {
	kinds       atomic.Uint32 // what any watcher wants
	bufferBytes int
	sent        atomic.Int64 // lines
	skipped     atomic.Int64

	mu       sync.Mutex // guards watchers, their fields, and scratch
	watchers []*watcher
	event    uint64 // number of the last event
	scratch  []byte
}

// A watcher is a connection that watches.
type watcher struct {
	watch   *Watch
	conn    *conn
	kinds   WatchKinds
	buffer  []byte // lines that its connection has not taken
	skipped int    // lines dropped since the newest one in buffer
	posted  bool   // show is posted to its connection
}

func newWatch(bufferBytes int) *Watch { return &Watch{bufferBytes: bufferBytes} }

// Wants reports whether any connection watches events of one of the kinds.
func (w *Watch) Wants(kinds WatchKinds) bool { return WatchKinds(w.kinds.Load())&kinds != 0 }

// Fetched is an item that was asked for. Status is "found", "not_found", "flushed" or "expired";
// class is a number for items of similar size or kind, conn is mc.Batch.Conn.
func (w *Watch) Fetched(key []byte, status string, class, conn, valueBytes int) {
	w.emit(WatchFetchers, func(b []byte) []byte {
		b = appendWatchKey(append(b, "type=item_get key="...), key)
		return fmt.Appendf(b, " status=%s clsid=%d cfd=%d size=%d", status, class, conn, valueBytes)
	})
}

// Stored is an item that was to be stored. Status is "stored", "not_stored", "exists", "not_found",
// "too_large" or "no_memory"; command is "set", "add", "cas", …; ttl is 0 without one.
func (w *Watch) Stored(key []byte, status, command string, ttl time.Duration, class, conn, valueBytes int) {
	w.emit(WatchMutations, func(b []byte) []byte {
		b = appendWatchKey(append(b, "type=item_store key="...), key)
		return fmt.Appendf(b, " status=%s cmd=%s ttl=%d clsid=%d cfd=%d size=%d",
			status, command, int64(ttl/time.Second), class, conn, valueBytes)
	})
}

// Evicted is an item that was evicted. Its ttl is what was left, < 0 without one; unread is since
// its last read.
func (w *Watch) Evicted(key []byte, read bool, ttl, unread time.Duration, class, valueBytes int) {
	fetch := "no"
	if read {
		fetch = "yes"
	}
	left := int64(-1)
	if ttl >= 0 {
		left = int64(ttl / time.Second)
	}
	w.emit(WatchEvictions, func(b []byte) []byte {
		b = appendWatchKey(append(b, "type=eviction key="...), key)
		return fmt.Appendf(b, " fetch=%s ttl=%d la=%d clsid=%d size=%d", fetch, left, int64(unread/time.Second), class,
			valueBytes)
	})
}

// Deleted is an item that a client deleted; command is "delete" or "md".
func (w *Watch) Deleted(key []byte, command string, class, valueBytes int) {
	w.emit(WatchDeletions, func(b []byte) []byte {
		b = appendWatchKey(append(b, "type=deleted key="...), key)
		return fmt.Appendf(b, " cmd=%s clsid=%d size=%d", command, class, valueBytes)
	})
}

// commands are requests as they came in, without their values.
func (w *Watch) commands(c *conn, requests []mc.Request) {
	for i := range requests {
		w.emit(WatchCommands, func(b []byte) []byte {
			b = append(strconv.AppendInt(append(b, '<'), int64(c.stream.FD()), 10), ' ')
			if c.dialect.binary != nil { // such a key may hold what ends a line
				return appendWatchKey(append(append(b, requests[i].Op.String()...), ' '), requests[i].Key)
			}
			line, _, _ := bytes.Cut(mc.AppendRequest(nil, &requests[i]), []byte("\r\n"))
			return append(b, line...)
		})
	}
}

// A closeReason is why a connection ended, in memcached's words.
type closeReason string

const (
	closeError    closeReason = "error"
	closeNormal   closeReason = "normal"
	closeIdle     closeReason = "idle_timeout"
	closeShutdown closeReason = "shutdown"
)

func (w *Watch) connNew(c *conn) {
	if w.Wants(WatchConnections) {
		w.emit(WatchConnections, func(b []byte) []byte {
			return fmt.Appendf(b, "type=conn_new %s cfd=%d", peerOf(c.stream.RemoteAddr()), c.stream.FD())
		})
	}
}

func (w *Watch) connClose(c *conn, reason closeReason) {
	if w.Wants(WatchConnections) {
		w.emit(WatchConnections, func(b []byte) []byte {
			return fmt.Appendf(b, "type=conn_close %s reason=%s cfd=%d", peerOf(c.stream.RemoteAddr()), reason, c.stream.FD())
		})
	}
}

// emit appends a line for every watcher of its kind.
func (w *Watch) emit(kind WatchKinds, appendEvent func([]byte) []byte) {
	if !w.Wants(kind) {
		return
	}
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.event++
	line := fmt.Appendf(w.scratch[:0], "ts=%d.%06d gid=%d ", now.Unix(), now.Nanosecond()/1000, w.event)
	line = append(appendEvent(line), '\n')
	w.scratch = line
	for _, to := range w.watchers {
		if to.kinds&kind != 0 {
			to.take(line)
		}
	}
}

// take keeps a line for the connection. The Watch is locked.
func (to *watcher) take(line []byte) {
	const skippedBytes = 32 // the line with the number of dropped lines
	if len(to.buffer)+len(line)+skippedBytes > to.watch.bufferBytes {
		to.skipped++
		to.watch.skipped.Add(1)
		return
	}
	to.noteSkipped()
	to.buffer = append(to.buffer, line...)
	to.watch.sent.Add(1)
	to.post()
}

// noteSkipped appends how many lines were dropped, after those that came before them. The Watch is
// locked.
func (to *watcher) noteSkipped() {
	if to.skipped > 0 {
		to.buffer = fmt.Appendf(to.buffer, "skipped=%d\n", to.skipped)
		to.skipped = 0
	}
}

func (to *watcher) post() {
	if !to.posted {
		to.posted = true
		to.conn.stream.Post(to.show)
	}
}

// wake has show called again if lines have come, or were dropped, while the connection was busy.
func (to *watcher) wake() {
	to.watch.mu.Lock()
	defer to.watch.mu.Unlock()
	if len(to.buffer) > 0 || to.skipped > 0 {
		to.post()
	}
}

// show writes the lines to the connection, if that is at rest; else wake comes when it is.
func (to *watcher) show() {
	c := to.conn
	to.watch.mu.Lock()
	to.posted = false
	if c.closed || c.work != nil {
		to.watch.mu.Unlock()
		return
	}
	to.noteSkipped() // now: the next event may be long in coming
	c.work = c.lane.takeWork(c)
	c.work.batch.Out = append(c.work.batch.Out, to.buffer...)
	to.buffer = to.buffer[:0]
	to.watch.mu.Unlock()
	c.advance()
}

// add makes c a watcher; false if there are too many.
func (w *Watch) add(c *conn, kinds WatchKinds) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.watchers) >= maxWatchers {
		return false
	}
	c.watcher = &watcher{watch: w, conn: c, kinds: kinds}
	w.watchers = append(w.watchers, c.watcher)
	w.count()
	return true
}

func (w *Watch) remove(gone *watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, to := range w.watchers {
		if to == gone {
			w.watchers = append(w.watchers[:i], w.watchers[i+1:]...)
			break
		}
	}
	w.count()
}

// count sets the kinds that any watcher wants. The Watch is locked.
func (w *Watch) count() {
	var kinds WatchKinds
	for _, to := range w.watchers {
		kinds |= to.kinds
	}
	w.kinds.Store(uint32(kinds))
}

// len is how many watch.
func (w *Watch) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.watchers)
}

// appendWatchKey appends key with all but letters, digits and -._~ as %XX.
func appendWatchKey(b, key []byte) []byte {
	const hex = "0123456789ABCDEF"
	for _, c := range key {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c == '~':
			b = append(b, c)
		default:
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return b
}
