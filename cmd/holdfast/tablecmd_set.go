package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/tool/transfer"
)

const tableSetLong = `Set gives a table tags, or other values to those that it has, and prints all of its tags. NAME= removes
a tag.

Tags whose names begin with holdfast: are settings, which hold from the next request on:

  holdfast:acknowledge  what a write waits for: async, the leader's disk, so that a failover may lose
                        it; semisync:K, a majority and K followers' disks (the default, with K = 1);
                        sync, every replica's disk
  holdfast:replicas     how many replicas the table has: the number of nodes

If the server refuses a tag that is to be set, nothing is changed. Tags are removed after the others
are set.`

func newTableSetCommand(f *tableFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "set TABLE NAME=VALUE...",
		Short: "Set tags of a table, among them what its writes wait for",
		Long:  tableSetLong,
		Example: "  holdfast table set users holdfast:acknowledge=semisync:2\n" +
			"  holdfast table set users holdfast:acknowledge= team=web",
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			tags, err := parseTags(args[1:])
			if err != nil {
				return err
			}
			return f.run(cmd, func(ctx context.Context, c *transfer.Client) error {
				now, err := c.SetTags(ctx, args[0], tags)
				for _, name := range slices.Sorted(maps.Keys(now)) {
					fmt.Fprintf(cmd.OutOrStdout(), "%s=%s\n", name, now[name])
				}
				return err
			})
		},
	}
}

// parseTags parses arguments of the form NAME=VALUE. A value may contain "=".
func parseTags(args []string) (map[string]string, error) {
	tags := make(map[string]string, len(args))
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%q: want NAME=VALUE, or NAME= to remove a tag", arg)
		}
		if _, twice := tags[name]; twice {
			return nil, fmt.Errorf("%q: tag %s is there twice", arg, name)
		}
		tags[name] = value
	}
	return tags, nil
}
