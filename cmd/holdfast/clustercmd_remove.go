package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"holdfast/node"
)

const clusterRemoveLong = `Remove takes a node out of its cluster for good, while all nodes serve.
It hands its leadership over first, if it leads; then a spare votes in its place in one group after the
other, as soon as it has caught up; then the node is none of the cluster any more, and ends. Its
directory is kept, and is refused at later starts. Its ID is never used again. A node that is down can be
removed, too.

Any node takes the command, which prints how far it is until the node is removed. It may be interrupted,
and repeated: the cluster goes on by itself, and the command says how far it is.

It is refused, and nothing is changed, if fewer nodes would stay than tables have replicas (add a node
first), if the node that is to vote in its place isn't heard, or if too few of the others are. A node whose
directory is lost is better replaced: "holdfast node --replace ID".

Exit code: 0 the node is removed; 1 it isn't, or that isn't known.`

func newClusterRemoveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "remove NODE",
		Short:   "Take a node out of the cluster for good",
		Long:    clusterRemoveLong,
		Example: "  holdfast cluster remove 2\n  holdfast cluster remove 3 --http 127.0.0.1:7071",
	}
	return steering(cmd, func(ctx context.Context, id uint64, o *steeringOptions) error {
		is, err := removeNode(ctx, o.address, id, func(is *node.Removal) error { return o.progress(is.String() + "\n") })
		if err != nil {
			return err
		}
		return o.end(is)
	})
}

// removeNode asks a node again and again to have another one removed, until that is done. seen gets each
// answer. While the leadership changes there are none for some time.
func removeNode(
	ctx context.Context, address string, id uint64, seen func(*node.Removal) error,
) (*node.Removal, error) {
	heard, began, itself := time.Now(), false, false
	for {
		is := &node.Removal{}
		_, err := steer(ctx, address, fmt.Sprintf("/cluster/remove?node=%d", id), is)
		var answer *answerError
		switch {
		case err == nil:
			heard, began, itself = time.Now(), true, is.Asked == is.Node
			if err := seen(is); err != nil || is.Done {
				return is, err
			}
		case ctx.Err() != nil, errors.As(err, &answer) && answer.status != http.StatusServiceUnavailable,
			answer == nil && !began:
			return nil, err
		case time.Since(heard) > roundPatience && itself:
			return nil, fmt.Errorf("%w. This is the node that is removed, which ends when that is done: ask another",
				err)
		case time.Since(heard) > roundPatience:
			return nil, err
		}
		select {
		case <-time.After(roundEvery):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
