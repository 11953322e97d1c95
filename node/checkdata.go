package node

import (
	"context"
	"fmt"
	"log/slog"

	"holdfast/catalog"
	"holdfast/shard"
	"holdfast/table"
)

// CheckData reads a whole data directory that no node uses, changes nothing, and calls fault for
// each fault, one call at a time. The summary counts what was checked. An error means that the
// directory can't be checked.
func CheckData(ctx context.Context, dir string, log *slog.Logger, fault func(string)) (summary string, err error) {
	if err := oneNode(dir, "check"); err != nil {
		return "", err
	}
	faults := 0
	checked, err := shard.Check(ctx, shard.Options{Dir: dir, ReadOnly: true, Log: log}, catalog.Schemas,
		table.CheckAcross, func(f shard.Fault) {
			faults++
			fault(fmt.Sprintf("shard %d: %s: %s", f.Shard, f.Kind, f.Text))
		})
	if err != nil {
		return "", fmt.Errorf("%s: %w", dir, err)
	}
	return fmt.Sprintf("%s: shards %d, items %d, index entries %d, changes %d, faults %d",
		dir, checked.Shards, checked.Items, checked.Entries, checked.Changes, faults), nil
}
