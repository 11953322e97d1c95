package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast"
	"holdfast/cluster"
)

// How long the replicas of a shard are waited for.
const (
	compareEntry = 10 * time.Second       // for the entry of the checksum
	compareTime  = time.Hour              // for the checksum of the leader's replica
	compareSlack = 10 * time.Minute       // for the others', behind that
	compareCall  = 2 * time.Second        // one question
	comparePause = 100 * time.Millisecond // between questions to one node
)

// comparables are the groups whose replicas are compared, and the nodes that have them. The node
// itself is one of the nodes.
type comparables interface {
	led() []holdfast.ShardID // groups that this node leads, of several members, by rising ID
	name(id holdfast.ShardID) string
	members(id holdfast.ShardID) (voters, learners []holdfast.NodeID)
	up(id holdfast.NodeID) bool

	// propose has all replicas of a shard compute a checksum as of a transaction.
	propose(ctx context.Context, id holdfast.ShardID) (holdfast.TxID, error)

	// checksum asks a node for it. The error is Corrupt if the node can't read what it has, and Behind
	// if it hasn't computed it yet.
	checksum(ctx context.Context, node holdfast.NodeID, tx holdfast.TxID) (sumForm, error)

	// accuse has a node end that is at fault.
	accuse(ctx context.Context, node holdfast.NodeID, a accusation) error
}

// A comparer finds replicas that differ from the others of their group. It runs at each node, and
// compares the groups that the node leads, one at a time:
//
//  1. an entry has all replicas compute a checksum as of that entry, see shard.ProposeChecksum;
//  2. the leader asks each of them for it, its own among them;
//  3. if they differ, it does both once more, so that no node is stopped for what was wrong once;
//  4. a replica that differs twice from a majority of the voters is at fault. Its node notes that in
//     its directory and ends, be it another one or the leader itself. Without a majority nobody
//     knows who is at fault: nobody is stopped, and the node that leads says so.
//
// Once in every, each group is compared; the groups are spread over that time.
type comparer struct {
	self   holdfast.NodeID
	every  time.Duration // 0: only rounds
	groups comparables
	log    *slog.Logger

	ctx     context.Context
	end     context.CancelFunc
	running sync.WaitGroup
	busy    chan struct{} // of one place: has something while a group is compared

	mu       sync.Mutex // guards what follows
	compared map[holdfast.ShardID]time.Time
	differ   map[holdfast.ShardID]Comparison // the last that found a difference, until all are equal
	counts   map[string]uint64               // of comparisons, by result
	round    *Round                          // the last; nil: there was none
}

func (c *comparer) init(self holdfast.NodeID, every time.Duration, groups comparables, log *slog.Logger) {
	c.self, c.every, c.groups, c.log = self, every, groups, log
	c.ctx, c.end = context.WithCancel(context.Background())
	c.busy = make(chan struct{}, 1)
	c.compared, c.differ = map[holdfast.ShardID]time.Time{}, map[holdfast.ShardID]Comparison{}
	c.counts = map[string]uint64{}
}

// follow begins to compare groups from time to time.
func (c *comparer) follow() {
	if c.every > 0 {
		c.running.Go(c.repeat)
	}
}

// stop gives up what is under way, and waits for that.
func (c *comparer) stop() {
	if c.end != nil {
		c.mu.Lock() // so that begin doesn't begin anything any more
		c.end()
		c.mu.Unlock()
		c.running.Wait()
	}
}

// compareBatches is in how many batches the groups are compared, over the time in which each is
// compared once. A comparison wakes its group, and the clocks of all nodes: many at once cost little
// more than one, and then all sleep until the next batch.
const compareBatches = 60

// repeat compares groups every so often that each is compared once in every.
func (c *comparer) repeat() {
	step := max(c.every/compareBatches, 10*time.Millisecond)
	look := time.NewTicker(step)
	defer look.Stop()
	last, due := time.Now(), 0.0 // groups to compare; more than one if there are many, or it is late
	for {
		select {
		case <-look.C:
		case <-c.ctx.Done():
			return
		}
		led := c.groups.led()
		now := time.Now()
		due = min(due+float64(len(led))*float64(now.Sub(last))/float64(c.every), float64(len(led)))
		last = now
		for _, id := range c.next(led, int(due)) {
			due--
			c.compare(c.ctx, id)
		}
	}
}

// next returns the n groups that were compared the longest ago, or never.
func (c *comparer) next(led []holdfast.ShardID, n int) []holdfast.ShardID {
	if n == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.compared, func(id holdfast.ShardID, _ time.Time) bool {
		_, found := slices.BinarySearch(led, id)
		return !found
	})
	led = slices.Clone(led)
	slices.SortStableFunc(led, func(a, b holdfast.ShardID) int { return c.compared[a].Compare(c.compared[b]) })
	return led[:min(n, len(led))]
}

// compare compares the replicas of a group, and has those that are at fault stopped.
func (c *comparer) compare(ctx context.Context, id holdfast.ShardID) Comparison {
	select {
	case c.busy <- struct{}{}:
		defer func() { <-c.busy }()
	case <-ctx.Done():
		return Comparison{Shard: id, Name: c.groups.name(id), Result: Incomplete, Why: "the node is stopping"}
	}
	is, tx, v := c.once(ctx, id)
	if v.Differ {
		c.log.Warn("replicas differ; they are compared once more", "shard", uint64(id), "result", is.String())
		first := v.Odd
		if is, tx, v = c.once(ctx, id); len(v.Odd) > 0 {
			v.Odd = slices.DeleteFunc(v.Odd, func(id holdfast.NodeID) bool { return !slices.Contains(first, id) })
		}
	}
	c.stopOdd(ctx, &is, tx, &v)
	c.note(&is)
	return is
}

// whyOf returns the text of an error for a report. A comparison changes nothing, so that this was so
// isn't said.
func whyOf(err error) string {
	return strings.TrimSuffix(strings.TrimPrefix(err.Error(), "nothing was changed: "), ": nothing was changed")
}

// once compares the replicas of a group as of one transaction.
func (c *comparer) once(
	ctx context.Context, id holdfast.ShardID,
) (is Comparison, tx holdfast.TxID, v cluster.Verdict) {
	is = Comparison{Shard: id, Name: c.groups.name(id), At: time.Now(), Result: Incomplete}
	within, end := context.WithTimeout(ctx, compareEntry)
	defer end()
	tx, err := c.groups.propose(within, id)
	if err != nil {
		is.Why = whyOf(err)
		return is, tx, v
	}
	is.Tx = tx.String()
	voters, learners := c.groups.members(id)
	within, end = context.WithTimeout(ctx, compareTime)
	defer end()
	own := c.await(within, c.self, tx)
	within, end = context.WithTimeout(ctx, time.Since(is.At)+compareSlack)
	defer end()
	all := slices.Sorted(slices.Values(slices.Concat(voters, learners)))
	is.Replicas = make([]ComparedReplica, len(all))
	var asking sync.WaitGroup
	for i, node := range all {
		if node == c.self {
			is.Replicas[i] = own
			continue
		}
		asking.Go(func() { is.Replicas[i] = c.await(within, node, tx) })
	}
	asking.Wait()
	v = cluster.Compare(voters, is.found())
	is.judge(&v)
	return is, tx, v
}

// await asks a node until it has computed a checksum, or it is certain that it won't.
func (c *comparer) await(ctx context.Context, node holdfast.NodeID, tx holdfast.TxID) ComparedReplica {
	for {
		call, end := context.WithTimeout(ctx, compareCall)
		sum, err := c.groups.checksum(call, node, tx)
		end()
		is := ComparedReplica{Node: node}
		switch {
		case err == nil:
			is.Sum, is.Keys, is.Bytes = sum.Sum, sum.Keys, sum.Bytes
			return is
		case errors.Is(err, holdfast.Corrupt):
			is.Unreadable = err.Error()
			return is
		case !repeatable(err) || !c.groups.up(node):
			is.Missing = whyOf(err)
			return is
		}
		select {
		case <-time.After(comparePause):
		case <-ctx.Done():
			is.Missing = whyOf(err)
			return is
		}
	}
}

// repeatable reports whether a node that is up may have a checksum later, after this error.
func repeatable(err error) bool {
	for _, kind := range []holdfast.Kind{holdfast.Behind, holdfast.Unavailable, holdfast.Refused, holdfast.Overloaded} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// stopOdd has the nodes end that are at fault, this one last.
func (c *comparer) stopOdd(ctx context.Context, is *Comparison, tx holdfast.TxID, v *cluster.Verdict) {
	odd := slices.DeleteFunc(slices.Clone(v.Odd), func(id holdfast.NodeID) bool { return id == c.self })
	if len(odd) < len(v.Odd) {
		odd = append(odd, c.self)
	}
	for _, node := range odd {
		r := is.replica(node)
		a := accusation{Tx: tx, Name: is.Name, Sum: r.Sum, Unreadable: r.Unreadable, Agree: v.Agree}
		call, end := context.WithTimeout(ctx, compareCall)
		err := c.groups.accuse(call, node, a)
		end()
		if err == nil {
			r.Stopped = true
		} else if ctx.Err() == nil {
			c.log.Error("a node whose replica differs from the others' couldn't be stopped", "member", uint64(node),
				"shard", uint64(is.Shard), "err", err)
		}
	}
}

// note keeps what a comparison has found.
func (c *comparer) note(is *Comparison) {
	switch is.Result {
	case Differs, Undecided:
		c.log.Error("the replicas of a shard differ", "shard", uint64(is.Shard), "tx", is.Tx,
			"result", is.String())
	default:
		c.log.Debug("the replicas of a shard were compared", "shard", uint64(is.Shard), "result", is.String())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.compared[is.Shard] = time.Now()
	c.counts[is.Result]++
	switch is.Result {
	case Differs, Undecided:
		c.differ[is.Shard] = *is
	case Equal:
		delete(c.differ, is.Shard)
	}
}

// differing returns the comparisons that found a difference, by rising ID of their shards.
func (c *comparer) differing() (all []Comparison) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(c.differ)) {
		all = append(all, c.differ[id])
	}
	return all
}

// results returns how many comparisons there were, by result.
func (c *comparer) results() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts)
}

// health describes the differences that were found; "": none.
func (c *comparer) health() string {
	all := c.differing()
	if len(all) == 0 {
		return ""
	}
	return fmt.Sprintf("tables: the replicas of %d shards differ: %v; \"holdfast cluster check\" shows all", len(all),
		all[0].String())
}
