package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/node"
)

const clusterDrainLong = `Drain marks a node as one that is to be taken down: it hands over what it leads, isn't
elected while another node can be that has all. It keeps its votes, and goes on serving its clients,
whose requests the node that leads executes. The command prints how far that is until it is done; it may
be interrupted, and repeated. Any node takes it.

The mark stays, also when nodes are started again, until --undo ends it.

It is refused, and nothing is changed, if without that node, and without those that aren't heard, lack much
or are drained, no majority of some group would be left.

Exit code: 0 it is done; 1 it was refused, or isn't done.`

// drainEvery is how often a drain's progress is asked for.
const drainEvery = 500 * time.Millisecond

func newClusterDrainCommand() *cobra.Command {
	var undo bool
	cmd := &cobra.Command{
		Use:     "drain NODE",
		Short:   "Have a node lead nothing, before work on its machine",
		Long:    clusterDrainLong,
		Example: "  holdfast cluster drain 2\n  holdfast cluster drain 2 --undo",
	}
	steering(cmd, func(ctx context.Context, id uint64, o *steeringOptions) error {
		path := fmt.Sprintf("/cluster/drain?node=%d", id)
		if undo {
			path += "&undo=true"
		}
		for changed := false; ; {
			var is node.DrainStatus
			if _, err := steer(ctx, o.address, path, &is); err != nil {
				return err
			}
			changed = changed || is.Changed
			is.Changed = changed
			if err := o.progress(drainText(&is)); err != nil {
				return err
			}
			if is.Done {
				return o.end(&is)
			}
			select {
			case <-time.After(drainEvery):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	cmd.Flags().BoolVar(&undo, "undo", false, "end that the node is drained")
	return cmd
}

// drainText is the line that says how far a node is drained.
func drainText(is *node.DrainStatus) string {
	now := "already"
	if is.Changed {
		now = "now"
	}
	switch {
	case !is.Drained && is.Changed:
		return fmt.Sprintf("node %d is drained no more\n", is.Node)
	case !is.Drained:
		return fmt.Sprintf("node %d isn't drained\n", is.Node)
	case is.Done:
		return fmt.Sprintf("node %d is drained %s: it leads nothing, and keeps its votes in %d of %d groups\n", is.Node,
			now, is.Votes, is.Groups)
	}
	text := fmt.Sprintf("node %d still leads %d groups", is.Node, is.Leads)
	if is.Why != "" {
		text += ": " + strings.TrimPrefix(is.Why, "nothing was changed: ")
	}
	return text + "\n"
}
