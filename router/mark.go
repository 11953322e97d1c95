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
	"holdfast/upstream"
)

// marks detects that the journal directory was lost or replaced by an old copy. Otherwise a router
// would assume that its members have missed nothing:
//
//  1. Member C is down. A write of k is added to C's journal, and acknowledged.
//  2. The router ends, and its journal directory is lost: deleted, on a disk that was replaced, or
//     restored from a backup that is older than step 1.
//  3. A router starts, finds no journal of C, and reads of k at C return the item from before step
//     1.
//
// So a router with a journal directory marks its members: each holds, under a key of the router's
// own, the identity and the generation of the journals that are valid for it. The generation rises
// with each start and with each round of marks. A new process reads a member's mark before the
// member answers any request:
//
//   - Another identity, or a later generation than the directory's: these journals aren't the valid
//     ones. It isn't known which member missed which keys, so all members of the pool are flushed.
//   - A mark that the last rounds of the previous process should have replaced: the member was out
//     of the configuration meanwhile, and is flushed.
//   - No mark, while another member of the replicated pool has one: the member was restarted, has
//     joined the pool, or has evicted the mark. It is flushed. A restarted member holds nothing
//     anyway, a new one must be flushed, and one that has evicted its mark is filled from the others.
//   - No mark on any member: the pool is new to this router, and its items are kept. If all members
//     evict the mark at the time at which the directory is lost, that isn't detected. The mark is
//     renewed every markRound, so this takes members that keep items for less than that.
//
// The mark is kept on the members and not beside the configuration, because whatever loses the
// journal directory (a container without a volume, a replaced disk, a reinstalled machine) also
// loses the files beside it.
//
// A member that several routers use has a mark of each. Their keys differ by Journal.Name, which
// must stay the same when the directory is lost.
type marks struct {
	router *Router
	name   string
	ledger *journal.Ledger
	first  uint64        // the generation at the start
	soon   chan struct{} // has a value if a round is due after a flush

	mu      sync.Mutex                      // guards what follows
	groups  map[string]*markGroup           // by Upstream.Pool
	checked map[*upstream.Upstream]struct{} // those whose mark has been read, or needn't be
}

// A markGroup is the set of members that share journals: those of a replicated pool, or of all
// sharded pools together.
type markGroup struct {
	marked bool // a member has a mark of these journals
	lost   bool // the members' journals were lost: all are flushed
}

const (
	markPrefix = "holdfast:journal:"
	markRound  = 30 * time.Second
	markPause  = time.Second // the shortest time between rounds
	markBytes  = 256         // the longest value that may be a mark
	markSpan   = 2           // how many generations a mark may be behind the first one of a process
)

// A mark is the value that a member holds under the key.
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

// key returns the key under which the upstream has this router's mark.
func (m *marks) key(d *upstream.Upstream) string {
	return fmt.Sprintf("%s%016x", markPrefix, keyHash([]byte(m.name+"\x00"+d.Pool)))
}

// newMarks returns nil for journals in memory. New warns that those are lost at the process's end.
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
		r.log.Info("the journal directory is new: it is not known what members missed before",
			"folder", o.Folder, "name", name)
	}
	return &marks{
		router: r, name: name, ledger: ledger, first: ledger.Generation(), soon: make(chan struct{}, 1),
		groups: map[string]*markGroup{}, checked: map[*upstream.Upstream]struct{}{},
	}
}

// journaled returns the upstreams with journals, each once.
func (t *tree) journaled() []*upstream.Upstream {
	var all []*upstream.Upstream
	seen := map[*upstream.Upstream]bool{}
	for _, d := range t.upstreams {
		if d.Outage != nil && !seen[d] {
			seen[d] = true
			all = append(all, d)
		}
	}
	return all
}

// begin reads the members' marks before any request is served, marks the members, and starts the
// goroutine that renews the marks. A member that can't be reached goes down; its mark is read when
// it comes back.
func (m *marks) begin(t *tree) {
	found := map[*upstream.Upstream]*mark{}
	var mu sync.Mutex // guards found
	var open sync.WaitGroup
	for _, d := range t.journaled() {
		if !d.Up() {
			continue
		}
		open.Go(func() {
			at, err := m.fetch(m.router.end, d)
			if err != nil {
				d.TakeDown(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			found[d] = at
		})
	}
	open.Wait()
	for d, at := range found { // before flushIfNeeded, which needs to know which groups have a mark
		if at != nil && m.current(at) {
			m.group(d).marked = true
		}
	}
	for d, at := range found {
		m.flushIfNeeded(d, at)
	}
	m.round()
	m.router.ongoing.Go(m.run)
}

// group returns the upstream's group.
func (m *marks) group(d *upstream.Upstream) *markGroup {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.groups[d.Pool] == nil {
		m.groups[d.Pool] = &markGroup{}
	}
	return m.groups[d.Pool]
}

// current reports whether at is a mark of these journals.
func (m *marks) current(at *mark) bool {
	return at.identity == m.ledger.Identity() && at.generation <= m.ledger.Generation()
}

// fetch reads the member's mark over a connection of its own. It returns nil if there is none.
func (m *marks) fetch(ctx context.Context, d *upstream.Upstream) (*mark, error) {
	p, err := d.OpenSide(ctx)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return m.read(p, d)
}

func (m *marks) read(p *upstream.Side, d *upstream.Upstream) (*mark, error) {
	text, found, err := p.Get(m.key(d), markBytes)
	if err != nil || !found {
		return nil, err
	}
	at, ok := parseMark(text)
	if !ok {
		return &mark{}, nil // a mark without identity: another program writes under the key
	}
	return &at, nil
}

// Check reads the mark of a member that comes back for the first time in this process, and takes
// the member or its group down to be flushed if the mark requires it.
func (m *marks) Check(p *upstream.Side, d *upstream.Upstream) error {
	if m.wasChecked(d) {
		return nil
	}
	at, err := m.read(p, d)
	if err != nil {
		return err
	}
	m.flushIfNeeded(d, at)
	return nil
}

// joined records that the upstream has joined while the process runs: it is flushed whether or not
// it has a mark, which needn't be read.
func (m *marks) joined(d *upstream.Upstream) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.checked[d] = struct{}{}
}

func (m *marks) wasChecked(d *upstream.Upstream) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, checked := m.checked[d]
	return checked
}

// flushIfNeeded takes the member, or all of its group, down to be flushed, if its mark requires it.
func (m *marks) flushIfNeeded(d *upstream.Upstream, at *mark) {
	g := m.group(d)
	m.mu.Lock()
	m.checked[d] = struct{}{}
	lost := at != nil && !m.current(at)
	if g.lost {
		m.mu.Unlock()
		return
	}
	g.lost = lost
	m.mu.Unlock()
	switch {
	case lost:
		m.flushGroup(d, at)
	case d.Outage.InProgress(): // what it missed is known
	case at != nil && at.generation+markSpan < m.first:
		m.flush(d, "its mark is old: it was out of the configuration")
	case at == nil && g.marked && d.Pool != "":
		m.flush(d, "it has no mark, and others have")
	}
}

// flushGroup takes all members of the upstream's group down to be flushed, since the journals that
// were valid for them are lost.
func (m *marks) flushGroup(d *upstream.Upstream, at *mark) {
	why := "the journal directory is not the one that the members are marked with"
	if at.identity == m.ledger.Identity() {
		why = "the journal directory is an older copy of the one that the members are marked with"
	}
	m.router.log.Error(why+": members are flushed, since it is not known which keys they missed",
		"pool", d.Pool, "member", d.Address, "name", m.name, "marked", at.identity, "generation", at.generation,
		"ours", m.ledger.Identity(), "our_generation", m.ledger.Generation())
	for _, other := range m.router.tree.Load().journaled() {
		if other.Pool == d.Pool {
			m.flush(other, why)
		}
	}
}

func (m *marks) flush(d *upstream.Upstream, why string) {
	if err := d.Outage.TakeDown(why, false); err != nil {
		m.router.log.Error("the journal could not record that a member must be flushed; a crash may lose this",
			"member", d.Address, "err", err)
	}
}

// run marks the members every markRound, and soon after a flush.
func (m *marks) run() {
	for {
		if !upstream.Wait(m.router.clock, markPause, m.router.end.Done()) {
			return
		}
		due, stop := upstream.After(m.router.clock, markRound)
		select {
		case <-due:
		case <-m.soon:
		case <-m.router.end.Done():
			stop()
			return
		}
		stop()
		m.round()
	}
}

// flushed records that the members were flushed, so that they are marked again soon.
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
		if d.Up() {
			open.Go(func() {
				if err := m.renew(d); err != nil && m.router.end.Err() == nil {
					m.router.log.Debug("member not marked", "member", d.Address, "err", err)
				}
			})
		}
	}
	open.Wait()
}

func (m *marks) renew(d *upstream.Upstream) error {
	p, err := d.OpenSide(m.router.end)
	if err != nil {
		return err
	}
	defer p.Close()
	at, err := m.read(p, d)
	if err != nil {
		return err
	}
	if at != nil && !m.current(at) {
		m.router.log.Warn("another router with the same journal.name marks this member",
			"member", d.Address, "name", m.name,
			"marked", at.identity)
	}
	return m.Mark(p, d)
}

// Mark marks the member. It returns no error if the member refuses the mark, for lack of memory
// say.
func (m *marks) Mark(p *upstream.Side, d *upstream.Upstream) error { return p.Set(m.key(d), m.value()) }
