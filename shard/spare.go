package shard

// lastBytes is how much of the disk a removal leaves free at least, or an eighth of the reserve if
// that is less: Pebble needs it for its log and manifest, and ends the process without it.
const lastBytes = 8 << 20

// admitRemoval returns the error of a commit of so many bytes that frees room in the end, if even
// the reserve has none for it.
func (p *space) admitRemoval(bytes int) error {
	counted := int64(max(bytes, commitAtLeast))
	if !p.spare(counted + min(p.reserve/recoverShare, lastBytes)) {
		return errFull()
	}
	p.left.Add(-counted)
	return nil
}

// spare says whether so many bytes are free for what frees room in the end. If they are only with
// the ballast's, it gives that.
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

// freeNow looks how many bytes are free. Where that can't be seen, it is what the last look saw. mu is held.
func (p *space) freeNow() int64 {
	if usage, err := p.fs.GetDiskUsage(p.dir); err == nil {
		p.free = int64(usage.AvailBytes)
	}
	return p.free
}
