package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/node"
)

func newNodeCommand() *cobra.Command {
	f := &upFlags{}
	cmd := &cobra.Command{
		Use:   "node --config FILE",
		Short: "Serve as one node of a cluster, whose other nodes are other processes, on this or other machines",
		Long: `Node runs what "holdfast up" runs, as one node of a cluster: every table is on all its nodes, and
clients of DynamoDB's API may use each. FILE needs a cluster section with the cluster's name and the
addresses of nodes (seeds); "holdfast config" prints one to start from.

At its first start, with an empty directory, the node waits until it has met the others, which form
the cluster with it; /healthz answers 503 meanwhile. From then on the directory says which node it is:
one that was emptied is refused by the others. Nodes on different machines need certificates of an
authority of the cluster's own (cluster.tls).

A node whose directory is gone for good is replaced by a new one, with --replace ID on a machine with an
empty directory: the cluster gives that an ID of its own, and copies to it what the others have. A node
that was replaced is none of the cluster any more. A later start may have --replace ID, too.

Signals are handled as by "holdfast up". SIGTERM also ends the waiting.`,
		Example: "  holdfast node --config node1.yaml\n  holdfast status --http 127.0.0.1:7070\n" +
			"  holdfast node --config node4.yaml --replace 2",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.runNode(cmd) },
	}
	cmd.Flags().StringVar(&f.file, "config", "", "configuration `FILE`, with a cluster section")
	cmd.Flags().StringVar(&f.replace, "replace", "",
		"join as a new node, with an empty directory, in the place of node `ID`, which is lost for good")
	return cmd
}

func (f *upFlags) runNode(cmd *cobra.Command) error {
	if f.file == "" {
		return fail(exitFailure, "a node needs a file with a cluster section: --config FILE; \"%s config\" prints one "+
			"to start from", selfName())
	}
	lost := uint64(0)
	if cmd.Flags().Changed("replace") {
		var err error
		if lost, err = strconv.ParseUint(f.replace, 10, 64); err != nil || lost == 0 {
			return fail(exitFailure, "--replace %s: it is the ID of a node, and the IDs of nodes begin with 1; \"%s "+
				"status\" at another node shows that of the node that is lost", shellWord(f.replace), selfName())
		}
	}
	c, source, err := f.config(cmd)
	if err != nil {
		return err
	}
	if c.Cluster == nil {
		return fail(exitFailure, "%s has no section \"cluster\"; without one, start it with\n\n  %s up --config %s",
			f.file, selfName(), shellWord(f.file))
	}
	return f.serve(cmd, c, source, nil, func(ctx context.Context, o *node.Options) error {
		o.Replace = holdfast.NodeID(lost)
		return node.Meet(ctx, o)
	})
}
