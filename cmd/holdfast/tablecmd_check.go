package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"holdfast/node"
)

const tableCheckLong = `Check reads a whole data directory, while no server uses it, and prints every fault, one per line:
blocks with a wrong checksum, items that can't be decoded, indexes and expiry that disagree with the
items, logs that are out of order. It changes nothing.

Exit code: 0 no faults; 2 faults; 1 the directory can't be checked.`

// exitFaults is the exit code of check when it found faults.
const exitFaults = 2

func newTableCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "check DIR",
		Short:   "Check a data directory that no server uses",
		Long:    tableCheckLong,
		Example: "  holdfast table check ./holdfast-data",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			faults := 0
			// The log is discarded: the faults and the error contain the same.
			summary, err := node.CheckData(ctx, args[0], slog.New(slog.DiscardHandler), func(fault string) {
				faults++
				fmt.Fprintln(cmd.OutOrStdout(), fault)
			})
			if err != nil {
				return err
			}
			if _, err := io.WriteString(cmd.OutOrStdout(), summary+"\n"); err != nil {
				return err
			}
			if faults > 0 {
				return &exitError{code: exitFaults}
			}
			return nil
		},
	}
}
