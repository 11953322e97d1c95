package sim

import (
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
)

// sectorBytes is what a disk writes as a whole or not at all.
const sectorBytes = 512

// Crash returns what is on the disk after a crash now. What is lost depends on the seed, the paths,
// and what was done to each of them. Nothing of the new disk is locked or unsynced, and it has no
// limit.
func (d *Disk) Crash(seed uint64) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := crash{seed: seed, made: map[*node]*node{}}
	return &Disk{root: c.survives("/", d.root), locked: map[string]bool{}}
}

// A crash decides what is left of a disk.
type crash struct {
	seed uint64
	made map[*node]*node // a file may have several names
}

// survives returns what a crash leaves of a node.
func (c *crash) survives(name string, n *node) *node {
	if left := c.made[n]; left != nil {
		return left
	}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(name))
	rng := rand.New(rand.NewPCG(c.seed, hash.Sum64()))
	left := &node{modified: n.modified}
	c.made[n] = left
	if !n.isDir() {
		left.data = n.survives(rng)
		return left
	}
	names := n.listing(rng)
	left.children = make(map[string]*node, len(names))
	for _, base := range slices.Sorted(maps.Keys(names)) {
		left.children[base] = c.survives(path.Join(name, base), names[base])
	}
	left.synced = maps.Clone(left.children)
	return left
}

// listing returns which names a directory has after a crash.
func (n *node) listing(rng *rand.Rand) map[string]*node {
	names := maps.Clone(n.synced)
	if names == nil {
		names = map[string]*node{}
	}
	switch inOrder := rng.IntN(2) == 0; {
	case inOrder:
		for _, changes := range n.steps[:rng.IntN(len(n.steps)+1)] {
			apply(names, changes)
		}
	default:
		percent := rng.IntN(101)
		for _, changes := range n.steps {
			if rng.IntN(100) < percent {
				apply(names, changes)
			}
		}
	}
	return names
}

// survives returns the contents of a file after a crash.
func (n *node) survives(rng *rand.Rand) []byte {
	switch rng.IntN(4) {
	case 0:
		return n.before()
	case 1:
		return slices.Clone(n.data)
	case 2:
		return n.cut(rng)
	default:
		return n.sectors(rng)
	}
}

// before returns the contents as of the last sync.
func (n *node) before() []byte {
	data := slices.Clone(n.data)
	for _, w := range slices.Backward(n.writes) {
		data = data[:max(w.at+len(w.old), len(data)-(w.new-len(w.old)))]
		copy(data[w.at:], w.old)
	}
	return data
}

// cut returns the contents up to some byte of what was written.
func (n *node) cut(rng *rand.Rand) []byte {
	total := 0
	for _, w := range n.writes {
		total += w.new
	}
	left, data := rng.IntN(total+1), n.before()
	for i, w := range n.writes {
		written := min(left, w.new)
		left -= written
		data = replay(data, n.written(i)[:written], w.at)
	}
	return data
}

// written returns what a write wrote: what is there now, but for what later ones replaced.
func (n *node) written(i int) []byte {
	w := n.writes[i]
	p := slices.Clone(n.data[w.at : w.at+w.new])
	for _, later := range slices.Backward(n.writes[i+1:]) {
		for at, b := range later.old {
			if at += later.at - w.at; at >= 0 && at < len(p) {
				p[at] = b
			}
		}
	}
	return p
}

// sectors returns the contents with some of the sectors that were written.
func (n *node) sectors(rng *rand.Rand) []byte {
	dirty := map[int]bool{}
	for _, w := range n.writes {
		for s := w.at / sectorBytes; s*sectorBytes < w.at+w.new; s++ {
			dirty[s] = true
		}
	}
	percent, data := rng.IntN(101), n.before()
	for _, s := range slices.Sorted(maps.Keys(dirty)) {
		if begin := s * sectorBytes; rng.IntN(100) < percent {
			data = replay(data, n.data[begin:min(begin+sectorBytes, len(n.data))], begin)
		}
	}
	return data
}

// replay returns data with p written at an offset.
func replay(data, p []byte, at int) []byte {
	if len(p) == 0 {
		return data
	}
	if gap := at + len(p) - len(data); gap > 0 {
		data = append(data, make([]byte, gap)...)
	}
	copy(data[at:], p)
	return data
}
