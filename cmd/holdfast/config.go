package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"holdfast/config"
	"holdfast/router"
)

func newConfigCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print a commented configuration file with every default",
		Long: `Config prints a configuration file that has every setting with its default and says what it
does: a start for one of your own.`,
		Example: "  holdfast config > holdfast.yaml\n  holdfast config check holdfast.yaml\n  holdfast up --config holdfast.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(config.Example)
			return err
		},
	}
	cmd.AddCommand(newConfigCheckCommand(), newConfigConvertCommand())
	return cmd
}

func newConfigCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Check a configuration file",
		Long: `Check reads a configuration file and prints all that is wrong with it, a line each, with the
path of the setting. It exits with 1 if there is anything. The files that the configuration
names aren't opened.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := loadConfig(args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: ok\n", args[0])
			return err
		},
	}
}

func loadConfig(path string) (config.Config, error) {
	c, err := config.Load(path)
	return c, refused(path, err)
}

// refused has each fault of a configuration on a line, below its name. Other errors stay as they are.
func refused(name string, err error) error {
	var ours config.Faults
	var theirs router.Faults
	if errors.As(err, &ours) || errors.As(err, &theirs) {
		return fail(exitFailure, "%s:\n%v", name, err)
	}
	return err
}
