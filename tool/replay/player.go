package replay

import (
	"context"
	"time"
)

// player plays requests on one connection in batches: all gets in flight at once, then one load for
// all misses, then their sets in flight at once.
type player struct {
	server  *server
	options Options
	rec     *recorder
	batch   []play
}

func (p *player) play(ctx context.Context, f *feed) error {
	for {
		batch, err := f.fill(ctx, p.batch[:0], &p.options)
		if err != nil || len(batch) == 0 {
			return err
		}
		if err := p.get(batch); err != nil {
			return err
		}
		if err := p.load(ctx, batch); err != nil {
			return err
		}
	}
}

// get sends the gets of batch. Those that were answered count even if a later one wasn't.
func (p *player) get(batch []play) error {
	p.server.begin()
	start := time.Now()
	for i := range batch {
		p.server.addGet(batch[i].key)
	}
	if err := p.server.flush(); err != nil {
		return err
	}
	for i := range batch {
		var err error
		if batch[i].answer, err = p.server.readGet(batch[i].key); err != nil {
			p.rec.add(batch[:i])
			return err
		}
		batch[i].latency = time.Since(start)
	}
	p.rec.add(batch)
	return nil
}

// load loads all misses at once, as an application's threads do, and sets them. A get that failed
// is loaded but not set, since the key may be there.
func (p *player) load(ctx context.Context, batch []play) error {
	loads, sets := 0, 0
	for i := range batch {
		if !batch[i].answer.hit {
			loads++
		}
		if batch[i].missed() {
			sets++
		}
	}
	if loads == 0 {
		return nil
	}
	if err := sleep(ctx, p.options.LoadDelay); err != nil || sets == 0 {
		return err
	}
	p.server.begin()
	for i := range batch {
		if q := &batch[i]; q.missed() {
			p.server.addSet(q.key, q.valueBytes, q.exptime)
		}
	}
	if err := p.server.flush(); err != nil {
		return err
	}
	for range sets {
		refusal, err := p.server.readSet()
		if err != nil {
			return err
		}
		if refusal != "" {
			p.rec.setRefused(refusal)
		}
	}
	return nil
}

func (p *play) missed() bool { return !p.answer.hit && p.answer.refusal == "" }
