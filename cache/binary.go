package cache

import "holdfast/mc"

// This file appends the binary protocol's answers. Both protocols share the functions that serve
// requests; these choose the form of the answer by Batch.Binary. An item is read under its stripe.

// appendBinaryValue appends the answer to a get that found the item, or to a touch, which has no
// value. It needs the item's stripe.
func (e *encoder) appendBinaryValue(b *mc.Batch, it item, r *mc.Request) {
	if r.Op == mc.Touch {
		b.Out = mc.AppendBinaryValue(b.Out, r, it.clientFlags(), 0, e.cas(it))
		return
	}
	b.Out = mc.AppendBinaryValue(b.Out, r, it.clientFlags(), it.valueBytes(), e.cas(it))
	if it.large() {
		e.pinTo(b, it)
	}
	b.Out = append(b.Out, it.inline()...)
}

// appendBinaryStored appends the result of a store; if it is quiet, only a failure.
func appendBinaryStored(b *mc.Batch, r *mc.Request, v verdict, cas uint64) {
	if v == stored {
		if !r.NoReply {
			b.Out = mc.AppendBinary(b.Out, r, mc.BinaryAnswer{CAS: cas})
		}
		return
	}
	if v == noMemory {
		b.Out = mc.AppendBinaryText(b.Out, r, mc.StatusOutOfMemory, "Out of memory allocating item")
		return
	}
	status := binaryStatuses[v]
	if v == notStored {
		switch r.Op {
		case mc.Add:
			status = mc.StatusExists
		case mc.Replace:
			status = mc.StatusNotFound
		}
	}
	b.Out = mc.AppendBinaryStatus(b.Out, r, status)
}

var binaryStatuses = [...]mc.Status{
	stored:     mc.StatusOK,
	notStored:  mc.StatusNotStored,
	exists:     mc.StatusExists,
	notFound:   mc.StatusNotFound,
	notNumeric: mc.StatusNotANumber,
	tooLarge:   mc.StatusTooLarge,
}

// appendBinaryNumber appends the result of incr and decr.
func appendBinaryNumber(b *mc.Batch, r *mc.Request, m *mutation, v verdict) {
	switch {
	case v == noMemory:
		b.Out = mc.AppendBinaryText(b.Out, r, mc.StatusOutOfMemory, "Out of memory incrementing value")
	case v != stored:
		b.Out = mc.AppendBinaryStatus(b.Out, r, binaryStatuses[v])
	case !r.NoReply:
		b.Out = mc.AppendBinaryUint(b.Out, r, m.value, m.cas)
	}
}

// appendBinaryDone appends an answer without CAS and value: to delete, flush and noop.
func appendBinaryDone(b *mc.Batch, r *mc.Request, v verdict) {
	if v != stored || !r.NoReply {
		b.Out = mc.AppendBinaryStatus(b.Out, r, binaryStatuses[v])
	}
}
