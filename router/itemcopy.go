package router

import (
	"bytes"
	"fmt"

	"holdfast/journal"
	"holdfast/mc"
	"holdfast/upstream"
)

// An itemCopy copies one item from a member to another.
type itemCopy struct {
	query
	pool     *replicated
	from, to int
	key      []byte
	hash     uint64
	adding   bool
	note     journal.Note // of the add, in the ledger
	failed   bool
	done     func(copied bool)
}

// copyItem adds the item that member from has under key, if any, to member to. At its end it calls
// done: with false if from may have an item that to doesn't have.
func (p *replicated) copyItem(l *lane, key []byte, from, to int, done func(copied bool)) {
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
	c.pool.members[c.from].route.forward(l, &c.query)
}

// take takes the item, and then the answer to its add.
func (c *itemCopy) take(l *lane, _ *query, a *upstream.Answer) {
	to := c.pool.members[c.to]
	c.failed = a.Result.Failed() && a.Result != upstream.ServerError
	if !c.adding && a.Result == upstream.Hit && to.up() {
		if item, ok := parseItem(a.Wire); ok && !item.stale && item.hasTTL && item.ttl != 0 {
			exptime := int64(0)
			if item.ttl > 0 {
				exptime = relative(item.ttl, l.router.now())
			}
			c.note = l.notes.Begin(c.pool.id, c.key)
			c.adding, c.request = true, addOf(c.key, bytes.Clone(item.value), item.clientFlags, exptime)
			to.route.forward(l, &c.query)
			return
		}
	}
	switch {
	case c.adding && a.Result == upstream.Done:
		to.refill.filled.Add(1)
	case c.adding && a.Result.Failed() && !a.Result.Unsent() && a.Result != upstream.ServerError:
		c.missed(l, fmt.Errorf("a copy failed: %s", a.Wire))
		return
	}
	c.end(l, nil)
}

// missed takes the member down, which may or may not have applied the add. Otherwise:
//
//  1. The member is stopped. The add waits in its socket until it times out.
//  2. The member runs again. A delete of the key comes by a new connection, is applied and
//     acknowledged.
//  3. The member reads the add from the old connection.
//
// So the member goes down, as after a failed write, and has read its old connections before it is
// up again. The key needn't be added to its journal: if the member applies the add, it holds the
// same item as the others until a write replaces that, and then the journal gets the key.
func (c *itemCopy) missed(l *lane, cause error) {
	a := c.pool.members[c.to].to.Outage
	a.Suspect(l.Lane, cause, func(err error) { c.end(l, err) })
}

// end ends the copy. An error is that the journal could not record what the member may have missed:
// then the note stays.
func (c *itemCopy) end(l *lane, err error) {
	if err == nil {
		l.notes.End(c.note)
	}
	c.pool.latches.release(c.key, c.hash)
	c.done(!c.failed)
}
