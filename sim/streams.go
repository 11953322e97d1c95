package sim

import (
	"cmp"
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"holdfast"
	"holdfast/group"
)

// Streams carry snapshots between nodes. Each part of one is an event: it arrives, or the stream breaks,
// as by a cut link or the end of a node. The sender makes the next part then.
type streams struct {
	cluster *cluster
	parted  int // parts that have arrived

	mu  sync.Mutex // guards out
	out []*part    // that were sent in the present event
}

// A stream carries one snapshot.
type stream struct {
	link  link
	shard holdfast.ShardID
	from  *life
	to    *life // once the message has arrived

	parts  chan []byte   // that have arrived, and weren't read; has space for one, or is closed behind the last
	result chan error    // what the receiver says; has space for it
	broken chan struct{} // closed when the stream has broken, or its sender doesn't wait any more
	once   sync.Once
}

// A part is on its way, or what the receiver says.
type part struct {
	stream  *stream
	message *group.Message // the first
	data    []byte         // nil: behind the last
	answer  bool           // the receiver's, with err
	err     error
	arrived chan error // gets why the stream has broken, or nil; has space for it
}

// send implements group.Options.Stream for a node.
func (ss *streams) send(ctx context.Context, from *life, m group.Message, next func() ([]byte, error)) error {
	s := &stream{
		link: link{m.From, m.To}, shard: m.Shard, from: from, parts: make(chan []byte, 1),
		result: make(chan error, 1), broken: make(chan struct{}),
	}
	defer s.end()
	if err := ss.pass(ctx, &part{stream: s, message: &m}); err != nil {
		return err
	}
	for {
		data, err := next()
		if err != nil && err != io.EOF {
			return err
		}
		if failed := ss.pass(ctx, &part{stream: s, data: slices.Clone(data)}); failed != nil {
			return failed
		}
		if err == nil {
			continue
		}
		select {
		case err := <-s.result:
			return err
		case <-ctx.Done():
			return errBroken(s)
		}
	}
}

// pass sends a part, and returns when it has arrived. The receiver may have ended the stream before.
func (ss *streams) pass(ctx context.Context, p *part) error {
	p.arrived = make(chan error, 1)
	ss.put(p)
	select {
	case err := <-p.arrived:
		return err
	case err := <-p.stream.result:
		return cmp.Or(err, errBroken(p.stream))
	case <-ctx.Done():
		return errBroken(p.stream)
	}
}

func errBroken(s *stream) error {
	return holdfast.Errorf(holdfast.Unavailable, "the stream from node %d to node %d broke", s.link.from, s.link.to)
}

func (ss *streams) put(p *part) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.out = append(ss.out, p)
}

// end breaks the stream, or ends it.
func (s *stream) end() { s.once.Do(func() { close(s.broken) }) }

// next returns the next part at the receiver.
func (s *stream) next() ([]byte, error) {
	select {
	case data, more := <-s.parts:
		if !more {
			return nil, io.EOF
		}
		return data, nil
	case <-s.broken:
		return nil, errBroken(s)
	}
}

// carry plans when the parts arrive that were sent in the present event. A stream has one on its way,
// and an answer.
func (ss *streams) carry(n *network) {
	ss.mu.Lock()
	out := ss.out
	ss.out = nil
	ss.mu.Unlock()
	slices.SortStableFunc(out, func(a, b *part) int {
		x, y := a.stream, b.stream
		by := cmp.Or(cmp.Compare(x.link.from, y.link.from), cmp.Compare(x.link.to, y.link.to),
			cmp.Compare(x.shard, y.shard))
		if by == 0 && a.answer != b.answer {
			by = map[bool]int{true: 1, false: -1}[a.answer]
		}
		return by
	})
	for _, p := range out {
		breaks := n.rng.IntN(200) < n.lossPercent
		wait := 50*time.Microsecond + time.Duration(n.rng.Int64N(int64(n.quick)))
		ss.plan(wait, p, breaks)
	}
}

func (ss *streams) plan(wait time.Duration, p *part, breaks bool) {
	ss.cluster.events.after(wait, func() { ss.arrive(p, breaks) })
}

// arrive has a part arrive, unless its stream has broken. To a machine that is paused, or from one, it
// comes later.
func (ss *streams) arrive(p *part, breaks bool) {
	c, s := ss.cluster, p.stream
	from, to := c.machine(s.link.from), c.machine(s.link.to)
	switch {
	case from.life != s.from || p.message == nil && to.life != s.to || to.life == nil || breaks || c.network.cuts[s.link]:
		c.events.note("the snapshot %d→%d of shard %d breaks", s.link.from, s.link.to, s.shard)
		s.end()
		if p.answer {
			s.result <- errBroken(s)
		} else {
			p.arrived <- errBroken(s)
		}
		return
	case from.paused || to.paused:
		ss.plan(backlog/4, p, false)
		return
	case p.answer:
		c.events.note("the snapshot %d→%d of shard %d is answered: %v", s.link.from, s.link.to, s.shard, p.err)
		s.result <- p.err
		return
	}
	c.events.note("a part of the snapshot %d→%d of shard %d: %d bytes", s.link.from, s.link.to, s.shard, len(p.data))
	ss.parted++
	switch {
	case p.message != nil:
		s.to = to.life
		s.to.take(ss, s, *p.message)
	case p.data == nil:
		close(s.parts)
	default:
		select {
		case s.parts <- p.data:
		default: // the receiver has ended: its answer is on its way
		}
	}
	p.arrived <- nil
}

// take has the node receive a snapshot.
func (l *life) take(ss *streams, s *stream, m group.Message) {
	l.incoming = append(l.incoming, s)
	l.receiving.Go(func() {
		err := l.host.ReceiveSnapshot(context.Background(), m, s.next)
		ss.put(&part{stream: s, answer: true, err: err})
	})
}

// breakStreams ends the streams to a node that ends.
func (l *life) breakStreams() {
	for _, s := range l.incoming {
		s.end()
	}
	l.receiving.Wait()
}
