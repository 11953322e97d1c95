package cache

import (
	"sync/atomic"
	"time"

	"holdfast/mc"
)

// This file calls the observer. It changes nothing of the store.

// An Observer receives events about items, for the command watch. It is called while requests are
// served, sometimes with locks of the store held, so it must neither wait nor call the store. Keys
// are valid during the call. class is 1 in the small ring and 2 in the main ring; conn is
// mc.Batch.Conn.
type Observer interface {
	// Wants reports whether there are watchers; if not, no other method is called.
	Wants() bool
	// Fetched is called for an item that was requested: "found" or "not_found".
	Fetched(key []byte, status string, class, conn, valueBytes int)
	// Stored is called for a request to store an item: "stored", "not_stored", "exists", "not_found",
	// "too_large" or "no_memory".
	Stored(key []byte, status, command string, ttl time.Duration, class, conn, valueBytes int)
	// Evicted is called for an item that was evicted. ttl is negative if it had none; unread is the
	// time since the last read.
	Evicted(key []byte, read bool, ttl, unread time.Duration, class, valueBytes int)
	// Deleted is called for an item that a client deleted, by "delete" or "md".
	Deleted(key []byte, command string, class, valueBytes int)
}

// watch holds the observer, if there is one.
type watch struct{ observer atomic.Pointer[Observer] }

// watching returns the observer if it wants events now, otherwise nil.
func (w *watch) watching() Observer {
	if o := w.observer.Load(); o != nil && (*o).Wants() {
		return *o
	}
	return nil
}

// Observe makes o the observer.
func (s *Store) Observe(o Observer) { s.watch.observer.Store(&o) }

// reportFetched reports a get; it is nil on a miss. It needs the item's stripe.
func (l *lane) reportFetched(b *mc.Batch, r *mc.Request, it item, at uint64) {
	if it == nil {
		l.observer.Fetched(r.Key, "not_found", 0, b.Conn, 0)
		return
	}
	l.observer.Fetched(r.Key, "found", classShown(l.index.slot(at)), b.Conn, it.valueBytes())
}

// reportStored reports a store. As in memcached, a fetch of the old item comes first.
func (l *lane) reportStored(b *mc.Batch, r *mc.Request, m *mutation, v verdict, command string) {
	l.observer.Fetched(r.Key, "not_found", 0, b.Conn, 0)
	ttl := time.Duration(0)
	if m.expiry > m.now {
		ttl = time.Duration(m.expiry-m.now) * time.Second
	}
	l.observer.Stored(r.Key, verdictNames[v], command, ttl, 1, b.Conn, len(r.Value))
}

var verdictNames = [...]string{stored: "stored", notStored: "not_stored", exists: "exists", notFound: "not_found",
	tooLarge: "too_large", noMemory: "no_memory"}

// reportEvicted is called with segments.mu and the item's stripe held.
func reportEvicted(o Observer, it item, class int, now uint32) {
	ttl := time.Duration(-1)
	if at := it.expiry(); at > now {
		ttl = time.Duration(at-now) * time.Second
	}
	unread := time.Duration(now-min(now, it.accessed())) * time.Second
	o.Evicted(it.key(), it.has(bitFetched), ttl, unread, class, it.valueBytes())
}
