package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"holdfast"
)

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), versionText(""))
			return err
		},
	}
}

// versionText is the same whatever the program is called.
func versionText(string) string {
	return fmt.Sprintf("holdfast %s (memcached's text protocol as of 1.6.40; %s %s/%s)",
		holdfast.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func licenseText(string) string {
	return `Holdfast is licensed under the Apache License, Version 2.0:
http://www.apache.org/licenses/LICENSE-2.0`
}
