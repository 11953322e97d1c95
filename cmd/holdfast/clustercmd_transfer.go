package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"holdfast/node"
)

const clusterTransferLong = `Transfer has the node that leads hand its leaderships over to another one, while all
nodes serve. Requests that come meanwhile wait, at whichever node they come to, mostly for less than
100 ms; none fails because of it, but for some of a node that is busy, which are refused with "nothing
was changed" and which every SDK repeats. Any node takes the command.

It is refused, and nothing is changed, if the other node isn't heard, has no vote in some group, lacks
too much of what it would lead, or if its disk is full or hangs. Repeated, it says that the node leads
already. The leadership stays there until that node ends, or it is transferred again.

Exit code: 0 the node leads; 1 it doesn't, or that isn't known.`

func newClusterTransferCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "transfer NODE",
		Short:   "Have another node lead",
		Long:    clusterTransferLong,
		Example: "  holdfast cluster transfer 2\n  holdfast cluster transfer 3 --http 127.0.0.1:7071",
	}
	return steering(cmd, func(ctx context.Context, id uint64, o *steeringOptions) error {
		var is node.Transfer
		text, err := steer(ctx, o.address, fmt.Sprintf("/cluster/transfer?node=%d", id), &is)
		if err != nil {
			return err
		}
		if !o.json {
			text = []byte(transferText(&is))
		}
		_, err = o.out.Write(text)
		return err
	})
}

func transferText(is *node.Transfer) string {
	if is.From == is.To {
		return fmt.Sprintf("node %d leads already\n", is.To)
	}
	return fmt.Sprintf("node %d leads now: node %d has handed over %d groups in %.0f ms\n", is.To, is.From, is.Groups,
		1000*is.Seconds)
}
