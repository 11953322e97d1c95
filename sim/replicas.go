package sim

import (
	"context"
	"fmt"
	"path"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/shard"
)

// checkSet records an error unless each node has the elements of the set whose addition was
// acknowledged, and none whose addition was refused.
func (c *cluster) checkSet() {
	for _, o := range c.history.all {
		if !isElement(o.key) || o.outcome == unknown {
			continue
		}
		for _, m := range c.machines {
			it, err := m.life.shards[groupOf(o.key)].Get(context.Background(), registerKey(o.key))
			if got := registerValue(it); err != nil || (got == o.value) != (o.outcome == done) {
				c.events.fail("%v; node %d has %d in the end, %v", o, m.id, got, err)
			}
		}
	}
}

// compare returns an error unless the replicas of each group are equal, byte for byte. All nodes have
// stopped.
func (c *cluster) compare() error {
	first, err := c.machines[0].contents()
	if err != nil {
		return err
	}
	for _, m := range c.machines[1:] {
		is, err := m.contents()
		if err != nil {
			return err
		}
		for i := range max(len(first), len(is)) {
			if i >= len(first) || i >= len(is) || first[i] != is[i] {
				return fmt.Errorf("nodes 1 and %d differ: %s; %s", m.id, first.show(i), is.show(i))
			}
		}
	}
	return nil
}

func (all pairs) show(i int) string {
	if i >= len(all) {
		return "nothing"
	}
	return fmt.Sprintf("%x = %x", all[i].key, all[i].value)
}

// A pair is a key of a store with its value.
type pair struct{ key, value string }

type pairs []pair

// contents returns all keys that replicas have in common.
func (m *machine) contents() (all pairs, err error) {
	db, err := pebble.Open(path.Join(dataDir, "pebble"), &pebble.Options{FS: m.disk, ReadOnly: true, Logger: quiet{}})
	if err != nil {
		return nil, fmt.Errorf("node %d: %w", m.id, err)
	}
	defer db.Close()
	it, err := db.NewIter(nil)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if key := it.Key(); shard.Shared(key) {
			all = append(all, pair{string(key), string(it.Value())})
		}
	}
	return all, it.Error()
}

// quiet is Pebble's log.
type quiet struct{}

// Infof implements pebble.Logger.
func (quiet) Infof(string, ...any) {}

// Errorf implements pebble.Logger.
func (quiet) Errorf(string, ...any) {}

// Fatalf implements pebble.Logger.
func (quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
