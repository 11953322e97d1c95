package node

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/catalog"
	"holdfast/cluster"
	"holdfast/shard"
)

// A Recovered says how a recovery ended.
type Recovered int

// The ends of a recovery.
const (
	RecoveredNothing   Recovered = iota // no fault was found
	RecoveredReported                   // faults were reported, and nothing was changed
	RecoveredDone                       // the directory was recovered
	RecoveryImpossible                  // only restoring a backup helps
)

// RecoverData reports what prevents the tables of a directory that no node uses from being opened,
// and what a recovery would drop. With accept it recovers the directory, and keeps a copy of what
// it drops there. report is called for each line of the report. An error says why the directory
// can't be examined, or why a recovery stopped; it can be run again.
func RecoverData(dir string, accept bool, log *slog.Logger, report func(line string)) (Recovered, error) {
	if is, err := cluster.Read(vfs.Default, dir); accept && (is != nil || err != nil) {
		return 0, holdfast.Errorf(holdfast.Invalid,
			"%s is the directory of a cluster's node, which would lack what it has "+
				"acknowledged to the others: put it back as it was, or run the others without it", dir)
	}
	if err := oneNode(dir, "recover"); err != nil {
		return 0, err
	}
	r, err := shard.Recover(shard.Options{Dir: dir, Log: log}, accept, catalog.Names)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", dir, err)
	}
	if len(r.Faults) == 0 {
		report(dir + ": no fault was found in the files that a start needs")
		return RecoveredNothing, nil
	}
	for _, f := range r.Faults {
		report("wrong: " + f.Text)
	}
	if r.Unrecoverable {
		report("a recovery can't repair that, and nothing was changed: put the files back, " +
			"or restore a backup of the whole directory")
		return RecoveryImpossible, nil
	}
	reportLosses(&r, report)
	if !r.Done {
		report("nothing was changed; run again with --accept-loss to recover")
		return RecoveredReported, nil
	}
	if r.Aside != "" {
		report("what was dropped is in " + r.Aside)
	}
	report("done: the tables can be served again")
	return RecoveredDone, nil
}

// reportLosses reports what a recovery rebuilds and what it drops.
func reportLosses(r *shard.Recovery, report func(string)) {
	for _, name := range r.Again {
		report("rebuilt: " + name)
	}
	commits, items := int64(0), map[holdfast.ShardID]int64{}
	unread := false
	for _, c := range r.Cut {
		what := fmt.Sprintf("%d of %d bytes", c.Dropped, c.Kept+c.Dropped)
		if c.Missing {
			what = fmt.Sprintf("%d bytes at least, which are missing", c.Dropped)
		}
		report(fmt.Sprintf("dropped: %s: %s, in which %d commits can be read", c.File, what, c.Commits))
		commits += c.Commits
		unread = unread || c.Missing || c.Kept > 0
		for id, n := range c.Items {
			items[id] += n
		}
	}
	for _, id := range slices.Sorted(maps.Keys(items)) {
		report(fmt.Sprintf("dropped: %s: %d writes of items", shardName(r, id), items[id]))
	}
	for _, id := range r.Orphans {
		report(fmt.Sprintf("dropped: shard %d, which no table has", id))
	}
	for _, id := range r.Strays {
		report(fmt.Sprintf("dropped: keys of space %d, which no table has", id))
	}
	switch {
	case len(r.Cut) == 0:
		report("dropped: nothing")
	case unread:
		report(fmt.Sprintf("dropped in all: %d commits that can be read, and those that can't: %s", commits,
			"the tables go back to before the first of them"))
	default:
		report(fmt.Sprintf("dropped in all: %d commits", commits))
	}
}

// shardName names a shard by what it belongs to.
func shardName(r *shard.Recovery, id holdfast.ShardID) string {
	if name, ok := r.Names[id]; ok {
		return fmt.Sprintf("%s (shard %d)", strings.ToValidUTF8(name, "?"), id)
	}
	return fmt.Sprintf("shard %d", id)
}
