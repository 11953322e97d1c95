package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"holdfast/tool/transfer"
)

const tableExportLong = `Export writes all items of a table to FILE, or to standard output. The format is json unless
FILE ends in .csv; FILE.gz is compressed.

json is the format of DynamoDB's exports to S3: a line {"Item":{…}} for each item, with its types.
csv has a header of name:TYPE; an attribute with several types has a column for each type.
Sets, lists and maps are JSON in their cells.

The order of the items is undefined. Changes made during the export may be missing from it. FILE is
created once the export is complete.`

func newTableExportCommand(f *tableFlags) *cobra.Command {
	var o transfer.ExportOptions
	var format string
	cmd := &cobra.Command{
		Use:     "export TABLE [FILE]",
		Short:   "Write a table's items to a file, as DynamoDB JSON or CSV",
		Long:    tableExportLong,
		Example: "  holdfast table export users users.json.gz\n  holdfast table export users --format csv > users.csv",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := "-"
			if len(args) == 2 {
				file = args[1]
			}
			var err error
			if o.Format, o.Compressed, err = formatOf(format, file); err != nil {
				return err
			}
			return f.run(cmd, func(ctx context.Context, c *transfer.Client) error {
				return exportTable(ctx, cmd, c, args[0], file, o)
			})
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&format, "format", "", fmt.Sprintf("one of %v (default: by FILE's name)", transfer.Formats))
	flags.IntVar(&o.Segments, "segments", 4, "number of the table's segments that are scanned concurrently")
	flags.BoolVar(&o.Consistent, "consistent", false,
		"use consistent reads, which see all earlier writes and cost twice the capacity")
	return cmd
}

// formatOf returns the format given by the flag, else by the file's name.
func formatOf(flag, file string) (f transfer.Format, compressed bool, err error) {
	f, compressed = transfer.FormatOf(file)
	if flag == "" {
		return f, compressed, nil
	}
	if f = transfer.Format(flag); !slices.Contains(transfer.Formats, f) {
		return f, compressed, fmt.Errorf("--format %s: want one of %v", flag, transfer.Formats)
	}
	return f, compressed, nil
}

func exportTable(ctx context.Context, cmd *cobra.Command, c *transfer.Client, table, file string,
	o transfer.ExportOptions) error {
	line, show := newTableProgress(cmd.ErrOrStderr(), table)
	defer line.clear()
	o.Progress = func(items, of int64) { show(items, items, of) }
	if file == "-" {
		_, err := c.Export(ctx, table, data(cmd.OutOrStdout()), o)
		return err
	}
	partial, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*.partial")
	if err != nil {
		return err
	}
	defer os.Remove(partial.Name()) // fails after the rename, which is fine
	items, err := c.Export(ctx, table, partial, o)
	if err := errors.Join(err, partial.Chmod(0o644), partial.Sync(), partial.Close()); err != nil {
		return err
	}
	if err := os.Rename(partial.Name(), file); err != nil {
		return err
	}
	line.clear()
	_, err = fmt.Fprintf(cmd.ErrOrStderr(), "%d items of %s in %s\n", items, table, file)
	return err
}

// newTableProgress returns a progress line and a function that shows the number of items on it. The
// progress is done of all; an all of 0 is unknown.
func newTableProgress(messages io.Writer, table string) (line *progressLine, show func(items, done, all int64)) {
	line = newProgressLine(messages)
	return line, func(items, done, all int64) {
		if line == nil {
			return
		}
		share := -1.0
		if all > 0 {
			share = float64(done) / float64(all)
		}
		line.show(fmt.Sprintf("%s  %d items", table, items), share)
	}
}
