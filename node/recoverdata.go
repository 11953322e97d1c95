package node

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"holdfast"
	"holdfast/shard"
	"holdfast/table"
)

// A Recovered says how a recovery ended.
type Recovered int

// The ends of a recovery.
const (
	RecoveredNothing  Recovered = iota // nothing is wrong
	RecoveredReported                  // something is, and nothing was done
	RecoveredDone
	RecoveryImpossible // nothing can be done but to restore a backup
)

// RecoverData says what keeps the tables of a directory that no node uses from being opened, and
// what would be dropped to have them open all the same. With accept it does so, and keeps what is
// dropped in the directory. say gets a line at a time. An error is why the directory can't be
// looked at, or why a recovery broke off; it can be begun again.
func RecoverData(dir string, accept bool, log *slog.Logger, say func(line string)) (Recovered, error) {
	r, err := shard.Recover(shard.Options{Dir: dir, Log: log}, accept, table.Names)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", dir, err)
	}
	if len(r.Faults) == 0 {
		say(dir + ": nothing is wrong with the files that a start needs")
		return RecoveredNothing, nil
	}
	for _, f := range r.Faults {
		say("wrong: " + f.Text)
	}
	if r.Unrecoverable {
		say("a recovery can't make up for that, and nothing was changed: put the files back, " +
			"or restore a backup of the whole directory")
		return RecoveryImpossible, nil
	}
	sayCosts(&r, say)
	if !r.Done {
		say("nothing was changed; with --accept-loss it is done")
		return RecoveredReported, nil
	}
	if r.Aside != "" {
		say("what was dropped is in " + r.Aside)
	}
	say("done: the tables can be served again")
	return RecoveredDone, nil
}

// sayCosts says what a recovery makes again and what it drops.
func sayCosts(r *shard.Recovery, say func(string)) {
	for _, name := range r.Again {
		say("made again: " + name)
	}
	commits, items := int64(0), map[holdfast.ShardID]int64{}
	unread := false
	for _, c := range r.Cut {
		what := fmt.Sprintf("%d of %d bytes", c.Dropped, c.Kept+c.Dropped)
		if c.Missing {
			what = fmt.Sprintf("%d bytes at least, which are missing", c.Dropped)
		}
		say(fmt.Sprintf("dropped: %s: %s, in which %d commits can be read", c.File, what, c.Commits))
		commits += c.Commits
		unread = unread || c.Missing || c.Kept > 0
		for id, n := range c.Items {
			items[id] += n
		}
	}
	for _, id := range slices.Sorted(maps.Keys(items)) {
		say(fmt.Sprintf("dropped: %s: %d writes of items", shardName(r, id), items[id]))
	}
	for _, id := range r.Orphans {
		say(fmt.Sprintf("dropped: shard %d, which no table has", id))
	}
	switch {
	case len(r.Cut) == 0:
		say("dropped: nothing")
	case unread:
		say(fmt.Sprintf("dropped in all: %d commits that can be read, and those that can't: %s", commits,
			"the tables go back to before the first of them"))
	default:
		say(fmt.Sprintf("dropped in all: %d commits", commits))
	}
}

// shardName names a shard by what has it.
func shardName(r *shard.Recovery, id holdfast.ShardID) string {
	if name, ok := r.Names[id]; ok {
		return fmt.Sprintf("%s (shard %d)", strings.ToValidUTF8(name, "?"), id)
	}
	return fmt.Sprintf("shard %d", id)
}
