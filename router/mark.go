package router

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"holdfast/journal"
	"holdfast/route"
)

// A router whose journal directory is gone, or is an old copy, would believe that its members have
// missed nothing:
//
//  1. Member C is down. A write of k is in its journal, and acknowledged.
//  2. The router ends, and the folder is lost: deleted, on a disk that was replaced, restored from
//     a backup of before 1.
//  3. A router starts, finds no journal of C, and reads of k at C get what was there before 1.
//
// So a router with a folder marks its members: under a key of its own each holds the identity and
// the generation of the journals that count for it. The generation rises with each start and each
// round of marks. Before a member answers anything of a new process, its mark is looked at:
//
//   - Another identity, or a later generation than the folder's: these journals aren't the ones
//     that counted. Nobody knows which member missed what, so all members of the pool are flushed.
//   - A mark that the last rounds of the process before should have replaced: the member was out of
//     the configuration meanwhile, and is flushed.
//   - None, while another member of the replicated pool has one: the member was restarted, has
//     joined, or has evicted the mark. It is flushed, which costs nothing, is needed, or costs
//     misses that the others fill.
//   - None on any member: the pool is new to this router, and is believed. That a mark was evicted
//     on all members just when the folder was lost is not noticed; with a new mark each markRound
//     that takes a member that keeps items for less.
//
// The mark is on the members and not beside the configuration, since what loses the folder (a
// container without a volume, a replaced disk, a reinstalled machine) loses what is beside it too.
//
// Members in the reach of several routers have a mark of each. What tells those apart is
// Journal.Name: it must outlive the folder.
type marks struct {
	router *Router
	name   string
	ledger *journal.Ledger
	first  uint64 // the generation at the start
	soon   chan struct{}

	mu     sync.Mutex             // guards what follows
	groups map[string]*markGroup  // by upstream.pool
	seen   map[*upstream]struct{} // whose mark was looked at
}

// A markGroup is the members that one loss concerns: of a replicated pool, or of all others.
type markGroup struct {
	marked bool // one of them has the right mark
	lost   bool // all are flushed
}

const (
	markPrefix = "holdfast:journal:"
	markRound  = 30 * time.Second
	markPause  = time.Second // at least, between rounds
	markBytes  = 256         // a longer one isn't a mark
	markSpan   = 2           // so many generations a mark may be behind a process's first one
)

// A mark is what a member holds under the key.
type mark struct {
	identity   string
	generation uint64
}

func parseMark(text string) (mark, bool) {
	identity, generation, ok := strings.Cut(text, " ")
	n, err := strconv.ParseUint(generation, 10, 64)
	return mark{identity, n}, ok && err == nil
}

func (m *marks) value() string {
	return fmt.Sprintf("%s %d", m.ledger.Identity(), m.ledger.Generation())
}

// key is where the upstream has this router's mark.
func (m *marks) key(d *upstream) string {
	return fmt.Sprintf("%s%016x", markPrefix, keyHash([]byte(m.name+"\x00"+d.pool)))
}

// newMarks returns nil for journals in memory, whose loss at the process's end is told elsewhere.
func (r *Router) newMarks(o *route.Journal) *marks {
	ledger := r.journals.Ledger()
	if ledger == nil {
		return nil
	}
	name := o.Name
	if name == "" {
		name, _ = os.Hostname() // "" is a name, too
	}
	if ledger.Created() {
		r.log.Info("the journal directory is new: what members missed before is not known", "folder", o.Folder, "name", name)
	}
	return &marks{
		router: r, name: name, ledger: ledger, first: ledger.Generation(), soon: make(chan struct{}, 1),
		groups: map[string]*markGroup{}, seen: map[*upstream]struct{}{},
	}
}

// journaled are the upstreams with journals, each once.
func (t *tree) journaled() []*upstream {
	var all []*upstream
	seen := map[*upstream]bool{}
	for _, d := range t.upstreams {
		if d.outage != nil && !seen[d] {
			seen[d] = true
			all = append(all, d)
		}
	}
	return all
}

// begin looks at the members' marks before anything is served, marks them, and goes on marking.
// Members that can't be asked go down, and are looked at when they come back.
func (m *marks) begin(t *tree) {
	found := map[*upstream]*mark{}
	var mu sync.Mutex // guards found
	var open sync.WaitGroup
	for _, d := range t.journaled() {
		if !d.up() {
			continue
		}
		open.Go(func() {
			at, err := m.ask(m.router.end, d)
			if err != nil {
				d.failedHard(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			found[d] = at
		})
	}
	open.Wait()
	for d, at := range found { // the right ones first, by which the missing ones are judged
		if at != nil && m.right(at) {
			m.group(d).marked = true
		}
	}
	for d, at := range found {
		m.judge(d, at)
	}
	m.round()
	m.router.ongoing.Go(m.keep)
}

// group returns that of the upstream.
func (m *marks) group(d *upstream) *markGroup {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.groups[d.pool] == nil {
		m.groups[d.pool] = &markGroup{}
	}
	return m.groups[d.pool]
}

func (m *marks) right(at *mark) bool {
	return at.identity == m.ledger.Identity() && at.generation <= m.ledger.Generation()
}

// ask returns the member's mark, nil if it has none.
func (m *marks) ask(ctx context.Context, d *upstream) (*mark, error) {
	conn, err := d.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	p := newSideConn(conn, d.timeout)
	if err := p.greet(); err != nil {
		return nil, err
	}
	return m.read(p, d)
}

func (m *marks) read(p *sideConn, d *upstream) (*mark, error) {
	text, found, err := p.get(m.key(d), markBytes)
	if err != nil || !found {
		return nil, err
	}
	at, ok := parseMark(text)
	if !ok {
		return &mark{}, nil // of no identity: something else writes there
	}
	return &at, nil
}

// check is judge of a member that comes back, for the first time in this process.
func (m *marks) check(p *sideConn, d *upstream) error {
	if m == nil || m.wasSeen(d) {
		return nil
	}
	at, err := m.read(p, d)
	if err != nil {
		return err
	}
	m.judge(d, at)
	return nil
}

// joined notes that the upstream has joined while the process runs: it is flushed whatever its mark
// says.
func (m *marks) joined(d *upstream) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[d] = struct{}{}
}

func (m *marks) wasSeen(d *upstream) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, seen := m.seen[d]
	return seen
}

// judge has the member, or all of its group, flushed if its mark says so.
func (m *marks) judge(d *upstream, at *mark) {
	g := m.group(d)
	m.mu.Lock()
	m.seen[d] = struct{}{}
	lost := at != nil && !m.right(at)
	if g.lost {
		m.mu.Unlock()
		return
	}
	g.lost = lost
	m.mu.Unlock()
	switch {
	case lost:
		m.lose(d, at)
	case d.outage.journal.InOutage(): // what it missed is known
	case at != nil && at.generation+markSpan < m.first:
		m.flush(d, "its mark is old: it was out of the configuration")
	case at == nil && g.marked && d.pool != "":
		m.flush(d, "it has no mark, and others have")
	}
}

// lose has all members flushed that the journals of at counted for.
func (m *marks) lose(d *upstream, at *mark) {
	why := "the journal directory is not the one that the members are marked with"
	if at.identity == m.ledger.Identity() {
		why = "the journal directory is an older copy of the one that the members are marked with"
	}
	m.router.log.Error(why+": they are flushed, since it is not known what they missed",
		"pool", d.pool, "member", d.address, "name", m.name, "marked", at.identity, "generation", at.generation,
		"ours", m.ledger.Identity(), "our_generation", m.ledger.Generation())
	for _, other := range m.router.tree.Load().journaled() {
		if other.pool == d.pool {
			m.flush(other, why)
		}
	}
}

func (m *marks) flush(d *upstream, why string) {
	if err := d.takeDown(why, false); err != nil {
		m.router.log.Error("the journal could not record that a member must be flushed: a crash may lose that", "member",
			d.address, "err", err)
	}
}

// keep marks the members each markRound, and soon after a flush.
func (m *marks) keep() {
	for {
		select {
		case <-time.After(markPause):
		case <-m.router.end.Done():
			return
		}
		select {
		case <-time.After(markRound):
		case <-m.soon:
		case <-m.router.end.Done():
			return
		}
		m.round()
	}
}

// flushed has the members marked again soon.
func (m *marks) flushed() {
	if m == nil {
		return
	}
	select {
	case m.soon <- struct{}{}:
	default:
	}
}

// round marks the members that are up with a new generation.
func (m *marks) round() {
	if _, err := m.ledger.Advance(); err != nil {
		m.router.log.Warn("the journals' generation could not be synced", "err", err)
		return
	}
	var open sync.WaitGroup
	for _, d := range m.router.tree.Load().journaled() {
		if d.up() {
			open.Go(func() {
				if err := m.renew(d); err != nil && m.router.end.Err() == nil {
					d.log.Debug("member not marked", "member", d.address, "err", err)
				}
			})
		}
	}
	open.Wait()
}

func (m *marks) renew(d *upstream) error {
	conn, err := d.dial(m.router.end)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(m.router.end, func() { conn.Close() })()
	p := newSideConn(conn, d.timeout)
	at, err := m.read(p, d)
	if err != nil {
		return err
	}
	if at != nil && !m.right(at) {
		d.log.Warn("another router with the same journal.name marks this member", "member", d.address, "name", m.name,
			"marked", at.identity)
	}
	return m.set(p, d)
}

// set marks the member. Whether it takes the mark is its affair: it may be out of memory.
func (m *marks) set(p *sideConn, d *upstream) error {
	if m == nil {
		return nil
	}
	value := m.value()
	if err := p.send(fmt.Appendf(nil, "set %s 0 0 %d\r\n%s\r\n", m.key(d), len(value), value)); err != nil {
		return err
	}
	_, _, err := p.answer()
	return err
}
