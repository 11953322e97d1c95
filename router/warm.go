package router

import (
	"bytes"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"holdfast/mc"
	"holdfast/route"
	"holdfast/upstream"
)

// A filling route reads from cold first. On a miss it reads from warm, and adds the item that it
// finds there to cold: warm_up and l1_l2_cache. Its writes must pass a fillGuard above it: see
// fills.
//
// A get is answered with warm's item at once, and the add follows. The other reads report details
// that only cold knows, such as its CAS and its remaining TTL, so for them the add comes first and
// then cold is read again. While cold can't be reached, gets are answered from warm, and nothing is
// added.
type filling struct {
	kind       route.Kind
	cold, warm forwarder
	fills      *fills
	remember   time.Duration // how long writes may still be in flight after they are acknowledged
	exptime    time.Duration // of the items that are added, where their own TTL isn't known
	negative   time.Duration // l1_l2_cache: how long a miss is remembered; 0 is not at all
	noMeta     atomic.Bool   // warm_up: warm has a member that doesn't know the meta commands
	log        *slog.Logger
}

func (w *filling) forward(l *lane, q *query) {
	op := q.request.Op
	switch {
	case op == mc.MetaDebug:
		w.cold.forward(l, q)
	case op.Reads():
		f := &fill{route: w, outer: q, hash: keyHash(q.request.Key)}
		f.taker = f
		f.send(l, w.cold, w.coldRequest(q.request), (*fill).coldAnswered)
	case w.kind == route.KindWarmUp:
		w.write(l, q)
	default:
		w.cold.forward(l, q)
	}
}

// A fill is a read in flight.
type fill struct {
	query
	route *filling
	outer *query
	hash  uint64
	step  func(*fill, *lane, *upstream.Answer) // takes the next answer
	cold  upstream.Answer                      // cold's answer, which is no hit; borrows nothing
	began time.Duration                        // when the read of warm began, by fills.now
}

func (f *fill) send(l *lane, to forwarder, r *mc.Request, step func(*fill, *lane, *upstream.Answer)) {
	f.request, f.step = r, step
	to.forward(l, &f.query)
}

func (f *fill) take(l *lane, _ *query, a *upstream.Answer) { f.step(f, l, a) }

// forward ends the fill with an answer of cold's.
func (f *fill) forward(l *lane, a *upstream.Answer) { f.outer.taker.take(l, f.outer, a) }

func (f *fill) coldAnswered(l *lane, a *upstream.Answer) {
	if a.Result == upstream.Hit && f.route.negative > 0 {
		f.positive(l, a)
		return
	}
	if a.Result != upstream.Miss && !a.Result.Failed() {
		f.forward(l, a)
		return
	}
	f.cold = a.Own()
	if f.route.kind == route.KindL1L2Cache && a.Result.Failed() && f.outer.request.Op != mc.Get {
		f.send(l, f.route.warm, f.outer.request, (*fill).l2Answered)
		return
	}
	if f.route.kind == route.KindWarmUp && !f.route.fills.mayReadWarm(f.hash) {
		f.forward(l, &f.cold)
		return
	}
	f.began = f.route.fills.now()
	f.askWarm(l)
}

// l2Answered takes L2's answer to the client's own request, since L1 can't be reached. Its CAS and
// its TTL are those of L2's item.
func (f *fill) l2Answered(l *lane, a *upstream.Answer) {
	if a.Result != upstream.Hit && a.Result != upstream.Miss {
		a = &f.cold
	}
	f.forward(l, a)
}

func (f *fill) askWarm(l *lane) {
	f.send(l, f.route.warm, f.route.warmRequest(f.outer.request.Key), (*fill).warmAnswered)
}

// warmRequest returns the request that reads an item from warm. Only a meta get reports the TTL.
func (w *filling) warmRequest(key []byte) *mc.Request {
	if mc.IsGraphic(key) && (w.kind != route.KindWarmUp || w.noMeta.Load()) {
		return &mc.Request{Op: mc.Get, Key: key, Last: true}
	}
	return metaOf(mc.MetaGet, key, "s f t v")
}

func (f *fill) warmAnswered(l *lane, a *upstream.Answer) {
	w := f.route
	if f.request.Op == mc.MetaGet && (a.Result == upstream.ClientError || a.Result == upstream.ServerError) &&
		mc.IsGraphic(f.request.Key) {
		if !w.noMeta.Swap(true) {
			w.log.Warn("the warm pool refuses meta gets, which alone report an item's TTL: "+
				"items are added with the route's exptime",
				"answer", route.Printable(strings.TrimSpace(string(a.Wire))), "exptime", w.exptime)
		}
		f.send(l, w.warm, w.warmRequest(f.outer.request.Key), (*fill).warmAnswered)
		return
	}
	if a.Result == upstream.Miss && f.cold.Result == upstream.Miss && w.negative > 0 {
		f.addNegative(l)
		return
	}
	if a.Result == upstream.Miss && w.kind == route.KindL1L2Cache {
		f.outer.respond(l, upstream.Miss) // whatever L1 answers: L2 holds what there is
		return
	}
	if a.Result != upstream.Hit {
		f.forward(l, &f.cold)
		return
	}
	item, ok := parseItem(a.Wire)
	key := f.outer.request.Key
	isGet := f.outer.request.Op == mc.Get
	fresh := ok && !item.stale
	adding := fresh && f.cold.Result == upstream.Miss && w.fills.beginAdd(key, f.hash, f.began, w.remember)
	switch {
	case !fresh || !adding && !isGet:
		f.forward(l, &f.cold)
	case isGet:
		if !adding {
			f.answerGet(l, &item)
			return
		}
		add := w.detachedAdd(f.hash, bytes.Clone(key), bytes.Clone(item.value), item.clientFlags,
			w.exptimeFor(&item, l.router.now()))
		f.answerGet(l, &item)
		w.cold.forward(l, &add.query)
	default:
		f.send(l, w.cold, addOf(key, bytes.Clone(item.value), item.clientFlags, w.exptimeFor(&item, l.router.now())),
			(*fill).added)
	}
}

func (f *fill) answerGet(l *lane, item *foundItem) {
	key := f.outer.request.Key
	wire := make([]byte, 0, len(key)+len(item.value)+64)
	wire = mc.AppendValue(wire, key, item.clientFlags, len(item.value))
	wire = append(append(wire, item.value...), mc.CRLF...)
	f.outer.taker.take(l, f.outer, &upstream.Answer{Result: upstream.Hit, Wire: wire})
}

// added reads cold again, which now holds the item or a newer one.
func (f *fill) added(l *lane, _ *upstream.Answer) {
	f.route.fills.endAdd(f.outer.request.Key, f.hash)
	f.send(l, f.route.cold, f.route.coldRequest(f.outer.request), (*fill).coldAgain)
}

func (f *fill) coldAgain(l *lane, a *upstream.Answer) {
	if a.Result == upstream.Hit && f.route.negative > 0 {
		f.positive(l, a)
		return
	}
	f.forward(l, a)
}

// exptimeFor returns the exptime, as on the wire, of an item that is added to cold.
func (w *filling) exptimeFor(item *foundItem, now time.Time) int64 {
	switch {
	case w.kind != route.KindWarmUp || !item.hasTTL:
		return exptimeOf(w.exptime, now)
	case item.ttl < 0:
		return 0
	}
	return relative(max(1, item.ttl), now)
}

// detachedAdd makes an add that only writes of its key wait for.
func (w *filling) detachedAdd(hash uint64, key, value []byte, clientFlags uint32, exptime int64) *detachedAdd {
	add := &detachedAdd{fills: w.fills, hash: hash}
	add.request, add.taker = addOf(key, value, clientFlags, exptime), add
	return add
}

type detachedAdd struct {
	query
	fills *fills
	hash  uint64
}

func (add *detachedAdd) take(*lane, *query, *upstream.Answer) {
	add.fills.endAdd(add.request.Key, add.hash)
}

// write sends a write to cold, and deletes the key from warm: otherwise warm would bring back the
// replaced item as soon as cold no longer has the new one. A write whose outcome depends on cold's
// item may change nothing, so warm's item is deleted only after cold has done such a write.
func (w *filling) write(l *lane, q *query) {
	r := q.request
	if r.Op == mc.Touch && r.Exptime >= 0 {
		w.cold.forward(l, q)
		return
	}
	s := &warmWrite{route: w, outer: q}
	s.request, s.taker = r, s
	if s.atOnce = intentOf(r) == intentWrite; s.atOnce {
		s.open = 2
		w.cold.forward(l, &s.query)
		s.deleteWarm(l)
		return
	}
	s.open = 1
	w.cold.forward(l, &s.query)
}

// A warmWrite is a write to cold with its delete of warm's item.
type warmWrite struct {
	query
	route  *filling
	outer  *query
	atOnce bool            // both are sent at once
	open   int             // answers to come
	cold   upstream.Answer // cold's; borrows nothing
}

func (s *warmWrite) take(l *lane, _ *query, a *upstream.Answer) {
	s.cold = a.Own()
	if !s.atOnce && (a.Result == upstream.Done || a.Result == upstream.Hit || a.Result.Failed() && !a.Result.Unsent()) {
		s.open++
		s.deleteWarm(l)
	}
	s.finishPart(l)
}

func (s *warmWrite) deleteWarm(l *lane) {
	d := &warmDelete{write: s}
	d.request, d.taker = deleteOf(s.outer.request), d
	s.route.warm.forward(l, &d.query)
}

func (s *warmWrite) finishPart(l *lane) {
	if s.open--; s.open == 0 {
		s.outer.taker.take(l, s.outer, &s.cold)
	}
}

// A warmDelete is the delete that a warmWrite sends to warm.
type warmDelete struct {
	query
	write *warmWrite
}

func (d *warmDelete) take(l *lane, _ *query, a *upstream.Answer) {
	if a.Result != upstream.Done && a.Result != upstream.NotFound {
		d.write.route.fills.avoidWarm(keyHash(d.request.Key))
	}
	d.write.finishPart(l)
}
