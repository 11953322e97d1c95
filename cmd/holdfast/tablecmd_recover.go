package main

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"holdfast/node"
)

const tableRecoverLong = `Recover is for a directory of tables that "holdfast up" refuses to start with, since files of it are
missing, shorter than they were, or damaged. While no server uses it, recover prints what is wrong
and what would be lost by starting all the same: the last commits, from the first damage on. It
changes nothing.

With --accept-loss it does that. The tables are then as they were behind a commit before all damage,
as after a restore of a backup: put the files back if you can, and copy the directory first. What is
dropped is kept in the directory "lost" within DIR.

Exit code: 0 nothing is wrong, or it is done; 2 something is wrong and nothing was done; 1 the
directory can't be looked at.`

func newTableRecoverCommand() *cobra.Command {
	var accept bool
	cmd := &cobra.Command{
		Use:     "recover DIR",
		Short:   "Say what a directory of tables that can't be opened would lose, and have it open",
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
			if end == node.RecoveredReported || end == node.RecoveredHelpless {
				return &exitError{code: exitFaults}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&accept, "accept-loss", false, "drop what can't be kept")
	return cmd
}
