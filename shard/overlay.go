package shard

import (
	"slices"
	"sync"

	"holdfast"
	"holdfast/item"
)

// An overlay is what the entries of commits that are on their way through a shard's group make of
// items. The obvious way to have a commit decided by what those before it do, latches that are held
// until entries are applied, lets an item change once a round trip. So latches are held only until
// the entry is proposed, and the next commit of the item is decided by its image here:
//
//  1. commit A latches its item, is decided, puts its image here, is proposed, and unlatches;
//  2. commit B latches the item, is decided by that image, puts its own here, and is proposed;
//  3. A is applied, and its image goes; B's stays until B is applied.
//
// Three things must hold for that:
//
//   - B is never in the log without A. The group takes proposals in their order, so B's place is
//     behind A's; and if it refuses A, and might take B nevertheless, B doesn't stand (way.Stands).
//     If A is replaced by another leader's entry, so is B: terms never fall within a log;
//   - nothing shows what is only here. Readers don't look here. What is acknowledged is committed, and
//     then so is what is before it in the log; async entries, and commits that change nothing, as for a
//     failed condition, wait until what they were decided by is. If that won't be, the latter are
//     decided anew;
//   - an image counts in the term of its entry only. A replica that leads in a later one has applied
//     all that has become of former terms.
//
// Only commits of one shard without a token are decided by what is here. Transactions wait until
// nothing is on its way to the stripes that they have latched, and keep the latches: what is locked
// is applied.
type overlay struct {
	mu       sync.Mutex // guards what follows; no other lock is taken while it is held
	byStripe map[int][]overlaid
}

// An overlaid is the image of an item. Those of a stripe are in the order in which their entries were
// proposed. It borrows from the form of its entry, which the group keeps as long, and not from what a
// request has, which may have ended.
type overlaid struct {
	way     *way
	key     []byte
	encoded []byte // nil: there is no item
}

func (x *overlaid) bytes() int { return len(x.key) + len(x.encoded) }

// item decodes the image.
func (x *overlaid) item() (item.Item, error) {
	if x.encoded == nil {
		return nil, nil
	}
	return item.Decode(string(x.encoded))
}

// What may be on its way to the items of a stripe. A commit that would add more waits, with its latches.
const (
	maxOverlaid      = 256
	maxOverlaidBytes = 1 << 20 // of the images before the last
)

// at returns the newest image of an item as of a term; !ok: there is none.
func (o *overlay) at(key item.Key, term uint64) (x overlaid, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	images := o.byStripe[stripeOf(key.Hash())]
	for i := len(images) - 1; i >= 0; i-- {
		if x := images[i]; string(x.key) == string(key) && !x.way.refused.Load() {
			return x, x.way.term == term
		}
	}
	return overlaid{}, false
}

// add adds the effects of an entry, whose keys are latched. raw is the entry's form.
func (o *overlay) add(w *way, effects []effect, raw []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.byStripe == nil {
		o.byStripe = map[int][]overlaid{}
	}
	for i := len(effects) - 1; i >= 0; i-- { // as appendEffects, backwards
		f, x := &effects[i], overlaid{way: w}
		if f.after != nil {
			rest := len(raw) - len(f.encoded)
			x.encoded, raw = raw[rest:], raw[:rest-uvarintBytes(uint64(len(f.encoded)))]
		}
		rest := len(raw) - 1 - len(f.key)
		x.key, raw = raw[rest:len(raw)-1], raw[:rest-uvarintBytes(uint64(len(f.key)))-1]
		stripe := stripeOf(f.key.Hash())
		o.byStripe[stripe] = append(o.byStripe[stripe], x)
		w.stripes = append(w.stripes, stripe)
	}
}

// remove removes what the entry of a way does.
func (o *overlay) remove(w *way) {
	if len(w.stripes) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, stripe := range w.stripes {
		left := slices.DeleteFunc(o.byStripe[stripe], func(x overlaid) bool { return x.way == w })
		if len(left) == 0 {
			delete(o.byStripe, stripe)
			continue
		}
		o.byStripe[stripe] = left
	}
}

// last returns the way that must end, with those before it, until at most so many images of a stripe
// are left, of so many bytes; nil: there are no more.
func (o *overlay) last(stripe, images, bytes int) *way {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.byStripe[stripe]
	for i := len(all) - 1; i >= 0; i-- {
		images, bytes = images-1, bytes-all[i].bytes()
		if images < 0 || bytes < 0 {
			return all[i].way
		}
	}
	return nil
}

// wait returns when at most so many images of a stripe, which is latched, are left, of so many bytes.
// The error is Overloaded if done is closed first.
func (o *overlay) wait(done <-chan struct{}, id holdfast.ShardID, stripe, images, bytes int) error {
	for {
		w := o.last(stripe, images, bytes)
		if w == nil {
			return nil
		}
		if !closedBefore(done, w.applied) {
			return errEarlier(id)
		}
	}
}

// errEarlier returns the error of a request that ended while it waited for an earlier write.
func errEarlier(id holdfast.ShardID) error {
	return holdfast.Errorf(holdfast.Overloaded,
		"nothing was changed: the outcome of an earlier write of shard %d isn't known yet", id)
}
