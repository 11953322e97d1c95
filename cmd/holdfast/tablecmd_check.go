package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"holdfast/node"
)

const tableCheckLong = `Check reads all of a data folder, while no server uses it, and prints what is wrong, a line each:
blocks whose checksum is wrong, items that can't be read, indexes and expiry that disagree with their
items, logs that are out of order. It changes nothing.

Exit code: 0 all is well; 2 something is wrong; 1 the folder can't be checked.`

// exitFaults is check's when it found faults.
const exitFaults = 2

func newTableCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "check DIR",
		Short:   "Check a data folder that no server uses",
		Long:    tableCheckLong,
		Example: "  holdfast table check ./holdfast-data",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			faults := 0
			// What the log would say is in the faults and the error.
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
