package loop

// Limits of the loops' receive buffers.
const (
	slabBytes    = 256 << 10 // what one buffer of a loop holds; pieces of it may be kept by handlers
	receiveBytes = 64 << 10  // the most that one recv brings
	spareSlabs   = 8         // free buffers that a loop keeps
)

// buffers provides memory to receive into. Bytes that a handler keeps stay where they were
// received, because its requests borrow them; the next recv writes behind them in the same slab. So
// many small batches in flight share a slab.
type buffers struct {
	current *slab
	spare   []*slab
}

// A slab is memory of which the first used bytes are kept by handlers.
type slab struct {
	mem  []byte
	used int
	kept int // pieces that have not been freed
}

// next returns the memory to receive into next: receiveBytes.
func (b *buffers) next() []byte {
	s := b.current
	if s == nil || len(s.mem)-s.used < receiveBytes {
		s = b.take()
		b.current = s
	}
	return s.mem[s.used : s.used+receiveBytes : s.used+receiveBytes]
}

func (b *buffers) take() *slab {
	if last := len(b.spare) - 1; last >= 0 {
		s := b.spare[last]
		b.spare = b.spare[:last]
		return s
	}
	return &slab{mem: make([]byte, slabBytes)}
}

// keep keeps the first n bytes of what next returned, rounded up so that pieces don't share a cache
// line.
func (b *buffers) keep(n int) *slab {
	s := b.current
	s.used += min((n+63)&^63, receiveBytes)
	s.kept++
	return s
}

func (b *buffers) free(s *slab) {
	s.kept--
	if s.kept > 0 {
		return
	}
	s.used = 0
	if s != b.current && len(b.spare) < spareSlabs {
		b.spare = append(b.spare, s)
	}
}
