package main

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"holdfast/node"
)

const tableRecoverLong = `Recover is for a data directory that "holdfast up" refuses to open because files are missing,
truncated or damaged. Run it while no server uses the directory. It prints the faults, and what would
be lost by starting anyway: the last commits, from the first damage on. It changes nothing.

With --accept-loss, it drops those commits. The tables then are as of a commit before all damage, as
after restoring a backup. Prefer putting the files back, and copy the directory first. Dropped data
is kept in the directory "lost" within DIR.

Exit code: 0 no faults, or recovered; 2 faults, and nothing was changed; 1 the directory can't be
read.`

func newTableRecoverCommand() *cobra.Command {
	var accept bool
	cmd := &cobra.Command{
		Use:     "recover DIR",
		Short:   "Report what a damaged data directory would lose, and make it open again",
		Long:    tableRecoverLong,
		Example: "  holdfast table recover ./holdfast-data\n  holdfast table recover --accept-loss ./holdfast-data",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			end, err := node.RecoverData(args[0], accept, slog.New(slog.DiscardHandler), func(line string) {
				fmt.Fprintln(cmd.OutOrStdout(), line)
			})
			if err != nil {
				return err
			}
			if end == node.RecoveredReported || end == node.RecoveryImpossible {
				return &exitError{code: exitFaults}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&accept, "accept-loss", false, "drop the commits that can't be kept")
	return cmd
}
