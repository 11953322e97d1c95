package main

import (
	"net"
	"sync"
	"sync/atomic"
)

// A link carries the connections that one node opens to another, and can drop what goes one way or
// both, as a network does that loses everything: the connections stay open.
type link struct {
	from, to    int
	target      string
	listener    net.Listener
	forth, back atomic.Bool // what from sends, and what it is sent, is dropped

	mu     sync.Mutex // guards what follows
	open   map[net.Conn]bool
	closed bool
}

func newLink(from, to int, target string) (*link, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	k := &link{from: from, to: to, target: target, listener: l, open: map[net.Conn]bool{}}
	go k.accept()
	return k, nil
}

func (l *link) address() string { return l.listener.Addr().String() }

// drop says what is dropped. If that ends, the connections do: they lack what was dropped. They end
// first, so that none carries what comes behind that.
func (l *link) drop(forth, back bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.forth.Load() || l.back.Load() {
		l.closeOpen()
	}
	l.forth.Store(forth)
	l.back.Store(back)
}

func (l *link) close() {
	l.listener.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.closeOpen()
}

// closeOpen closes all connections. mu is held.
func (l *link) closeOpen() {
	for c := range l.open {
		c.Close()
	}
	clear(l.open)
}

// keep notes open connections, and closes them if the link is closed.
func (l *link) keep(both ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range both {
		if l.open[c] = true; l.closed {
			c.Close()
		}
	}
}

func (l *link) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", l.target)
		if err != nil {
			near.Close()
			continue
		}
		l.keep(near, far)
		go l.carry(far, near, &l.forth)
		go l.carry(near, far, &l.back)
	}
}

// carry copies what comes from one end to the other, until an end closes.
func (l *link) carry(to, from net.Conn, drop *atomic.Bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && !drop.Load() {
			if _, failed := to.Write(buffer[:n]); failed != nil {
				err = failed
			}
		}
		if err != nil {
			from.Close()
			to.Close()
			l.mu.Lock()
			defer l.mu.Unlock()
			delete(l.open, from)
			return
		}
	}
}
