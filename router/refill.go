package router

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"holdfast/journal"
	"holdfast/mc"
)

// A member of a replicated pool that comes back lacks what it missed, and all if it was restarted. It
// is cold then: a read that it misses asks the others, and what they have is added to it. Besides, it
// is filled from another member's list of keys, those read last first.
//
// An item is added with the latch of its key held, after it was read with that: no write comes
// between, so that none is undone. What the member has got since stays, because add replaces nothing.

// Limits of a refill.
const (
	refillKeys   = 4 << 20 // that are remembered of a list
	refillAtOnce = 64      // items on their way
	fillsAtOnce  = 256     // of a lane, for reads that a cold member missed
)

// refill is how far the filling of a member is.
type refill struct {
	cold   atomic.Bool
	begun  atomic.Int64 // refills
	listed atomic.Int64 // keys of the last refill's list
	tried  atomic.Int64 // of those
	filled atomic.Int64 // items that were added, over all refills and reads
}

// refillMember fills member i, which has come up, on a goroutine of its own. It stays cold until that
// has ended.
func (p *replicated) refillMember(i int) {
	d := p.members[i].to
	if p.options.RefillRate < 0 {
		d.refill.cold.Store(false)
		return
	}
	go func() {
		d.refill.begun.Add(1)
		if err := p.refillFromOthers(i); err != nil && d.up() {
			d.log.Warn("member filled by its misses alone", "pool", p.options.Name, "member", d.address, "err", err)
			return
		}
		if d.up() { // else it is cold again at its next return
			d.refill.cold.Store(false)
			d.log.Info("member filled", "pool", p.options.Name, "member", d.address, "items", d.refill.filled.Load())
		}
	}()
}

// errAlone is why a member can't be filled.
var errAlone = errors.New("no other member is up and warm")

func (p *replicated) refillFromOthers(i int) error {
	d := p.members[i].to
	from := p.warm(i)
	if from < 0 {
		return errAlone
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	keys, err := p.members[from].to.listKeys(ctx)
	if err != nil {
		return fmt.Errorf("listing the keys of %s: %w", p.members[from].to.address, err)
	}
	d.refill.listed.Store(int64(len(keys)))
	d.refill.tried.Store(0)
	slots := make(chan struct{}, refillAtOnce)
	began := time.Now()
	lanes := d.absence.lanes
	for n, k := range keys {
		due := began.Add(time.Duration(n) * time.Second / time.Duration(p.options.RefillRate))
		timer := time.NewTimer(time.Until(due))
		select {
		case <-timer.C:
		case <-d.closed:
			timer.Stop()
			return nil
		}
		select {
		case slots <- struct{}{}:
		case <-d.closed:
			return nil
		}
		if !d.up() || !p.members[from].up() {
			return errors.New("a member went down meanwhile")
		}
		l := lanes[n%len(lanes)]
		l.loop.Post(func() {
			l.enter(func() {
				p.copyItem(l, []byte(k.key), from, i, func() {
					d.refill.tried.Add(1)
					<-slots
				})
			})
		})
	}
	for range cap(slots) { // the last ones
		select {
		case slots <- struct{}{}:
		case <-d.closed:
			return nil
		}
	}
	return nil
}

// warm returns a member to fill i from, -1 if there is none.
func (p *replicated) warm(i int) int {
	for from, m := range p.members {
		if from != i && m.to != nil && m.up() && !m.cold() {
			return from
		}
	}
	return -1
}

// cold reports whether the member lacks what others may have.
func (m *member) cold() bool { return m.to != nil && m.to.refill.cold.Load() }

// An itemCopy takes one item from a member to another.
type itemCopy struct {
	query
	pool     *replicated
	from, to int
	key      []byte
	hash     uint64
	adding   bool
	note     journal.Note // in the ledger, of the add
	done     func()
}

// copyItem adds the item under key, if from has one, to the member to. done is called at its end.
func (p *replicated) copyItem(l *lane, key []byte, from, to int, done func()) {
	c := &itemCopy{pool: p, from: from, to: to, key: key, hash: keyHash(key), done: done}
	if p.latches.acquire(key, c.hash, latched{lane: l, run: func() { c.read(l) }}) {
		c.read(l)
	}
}

func (c *itemCopy) read(l *lane) {
	if first := c.pool.first(); first >= 0 {
		c.pool.latches.setFirst(c.key, c.hash, first) // a copy changes nothing that a read could see
	}
	c.request, c.taker = metaOf(mc.MetaGet, c.key, "f t v"), c
	c.pool.members[c.from].route.serve(l, &c.query)
}

// take has the item, and then the answer to its add.
func (c *itemCopy) take(l *lane, _ *query, a *answer) {
	to := c.pool.members[c.to]
	if !c.adding && a.result == resultHit && to.up() {
		if item, ok := parseItem(c.request, a.wire); ok && !item.stale && item.hasTTL && item.ttl != 0 {
			exptime := int64(0)
			if item.ttl > 0 {
				exptime = relative(item.ttl, time.Now())
			}
			c.note = l.notes.Begin(c.pool.id, c.key)
			c.adding, c.request = true, addOf(c.key, bytes.Clone(item.value), item.clientFlags, exptime)
			to.route.serve(l, &c.query)
			return
		}
	}
	switch {
	case c.adding && a.result == resultDone:
		to.to.refill.filled.Add(1)
	case c.adding && a.result.failed() && !a.result.unsent() && a.result != resultServerError:
		c.missed(l, fmt.Errorf("a copy failed: %s", a.wire))
		return
	}
	c.end(l, nil)
}

// missed takes the member down whose add may have been taken or not:
//
//  1. The member is stopped, and the add waits in its socket; its time-out passes.
//  2. The member runs again. A delete of the key comes by a new connection, is done, and acknowledged.
//  3. The member reads the add from the old connection.
//
// So it goes down, as after a write, and has read its old connections before it is up again. The key need
// not go into its journal: if the add comes to it, then with what the others hold, until a write replaces
// that, which the journal gets.
func (c *itemCopy) missed(l *lane, cause error) {
	d := c.pool.members[c.to].to
	if d.suspect(cause) != missedBegin {
		c.end(l, nil)
		return
	}
	d.beginAbsence(func(err error) {
		l.loop.Post(func() { l.enter(func() { c.end(l, err) }) })
	})
}

// end has err if the journal could not take what the member may have missed: then the note stays.
func (c *itemCopy) end(l *lane, err error) {
	if err == nil {
		l.notes.End(c.note)
	}
	c.pool.latches.release(c.key, c.hash)
	c.done()
}

// A listedKey is a key and when it was read last, in Unix seconds.
type listedKey struct {
	key  string
	last int64
}

// listKeys asks the destination for its keys, those read last first: all, or refillKeys of them.
func (d *destination) listKeys(ctx context.Context) ([]listedKey, error) {
	conn, err := d.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(d.timeout)); err != nil {
		return nil, err
	}
	if _, err := conn.Write([]byte("lru_crawler metadump all\r\n")); err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(conn, 64<<10)
	var keys []listedKey
	for {
		if err := conn.SetDeadline(time.Now().Add(max(d.timeout, time.Second))); err != nil { // for the next lines
			return nil, err
		}
		line, err := in.ReadString('\n')
		line = strings.TrimRight(line, "\r\n")
		switch {
		case err != nil:
			return nil, err
		case line == "END":
			slices.SortFunc(keys, func(a, b listedKey) int { return cmp.Compare(b.last, a.last) })
			return keys, nil
		case !strings.HasPrefix(line, "key="):
			return nil, fmt.Errorf("metadump was answered with %.60q", line)
		case len(keys) < refillKeys:
			if k, ok := parseListed(line); ok {
				keys = append(keys, k)
			}
		}
	}
}

// parseListed reads a line of metadump: "key=a%20b exp=-1 la=1700000000 …".
func parseListed(line string) (k listedKey, ok bool) {
	for word := range strings.FieldsSeq(line) {
		name, value, _ := strings.Cut(word, "=")
		var err error
		switch name {
		case "key":
			k.key, err = url.PathUnescape(value)
		case "la":
			k.last, err = strconv.ParseInt(value, 10, 64)
		}
		if err != nil {
			return k, false
		}
	}
	return k, k.key != "" && len(k.key) <= mc.MaxKeyBytes && !strings.HasPrefix(k.key, markPrefix)
}
