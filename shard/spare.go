package shard

import "context"

// lastBytes is how much of the disk a removal leaves free, or an eighth of the reserve if that is
// less: Pebble needs it for its log and manifest, and can't go on without it.
const lastBytes = 8 << 20

// admitRemoval returns an error if not even the reserve has space for a commit of so many bytes
// that frees space in the end.
func (p *space) admitRemoval(bytes int) error {
	counted := int64(max(bytes, commitAtLeast))
	if !p.spare(counted + min(p.reserve/recoverShare, lastBytes)) {
		return errFull()
	}
	p.left.Add(-counted)
	return nil
}

// admitBatch is admit or, for what frees space in the end, admitRemoval. It also returns an error if
// ctx has ended.
func (p *space) admitBatch(ctx context.Context, bytes int, removal bool) error {
	admit := p.admit
	if removal {
		admit = p.admitRemoval
	}
	if err := admit(bytes); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ended(ctx)
	}
	return nil
}

// spare reports whether so many bytes are free for something that frees space in the end. It
// removes the ballast if they are free only without it.
func (p *space) spare(bytes int64) bool {
	if p.reserve == 0 {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.freeNow() >= bytes {
		return true
	}
	if !p.ballast || p.free+p.reserve/ballastShare < bytes {
		return false
	}
	p.removeBallast()
	return p.freeNow() >= bytes
}

// freeNow returns how many bytes are free; if the system doesn't report it, as many as at the last
// look. mu is held.
func (p *space) freeNow() int64 {
	if usage, err := p.fs.GetDiskUsage(p.dir); err == nil {
		p.free = int64(usage.AvailBytes)
	}
	return p.free
}
