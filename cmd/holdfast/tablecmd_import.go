package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"holdfast/tool/transfer"
)

const tableImportLong = `Import puts the items of FILE into an existing table; - is standard input. An item replaces the
item with the same key. FILE may be compressed by gzip.

json is a line {"Item":{…}} for each item, as of DynamoDB's exports to S3 and of holdfast's. csv has
a header with the names of the columns; name:TYPE, or --types, says the type, else it is S. Types are
S, N, B (base64), BOOL, NULL, and as JSON SS, NS, BS, L, M. An empty cell is no attribute.

If FILE has a key twice, the later line is certain to win only with --connections 1. An import that
fails reports the line to continue from with --from-line; it may also be repeated from the start.`

func newTableImportCommand(f *tableFlags) *cobra.Command {
	var o transfer.ImportOptions
	var format string
	var types []string
	cmd := &cobra.Command{
		Use:   "import TABLE FILE",
		Short: "Put items from a file, as DynamoDB JSON or CSV, into a table",
		Long:  tableImportLong,
		Example: "  holdfast table import users users.json.gz\n  holdfast table import users users.csv --types " +
			"age=N,admin=BOOL",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.Format, _, err = formatOf(format, args[1]); err != nil {
				return err
			}
			if o.Types, err = columnTypes(types); err != nil {
				return err
			}
			return f.run(cmd, func(ctx context.Context, c *transfer.Client) error {
				return importTable(ctx, cmd, c, args[0], args[1], o)
			})
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&format, "format", "", fmt.Sprintf("one of %v (default: by FILE's name)", transfer.Formats))
	flags.StringSliceVar(&types, "types", nil, "types of csv's columns: name=TYPE, separated by commas")
	flags.IntVarP(&o.Connections, "connections", "c", 4, "number of connections that write concurrently")
	flags.Int64Var(&o.FromLine, "from-line", 1, "line of FILE to start from")
	return cmd
}

// columnTypes parses --types.
func columnTypes(list []string) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	types := make(map[string]string, len(list))
	for _, text := range list {
		at := strings.LastIndexByte(text, '=')
		if at <= 0 || !transfer.IsType(text[at+1:]) {
			return nil, fmt.Errorf("--types %s: want name=TYPE, with S, N, B, BOOL, NULL, SS, NS, BS, L or M", text)
		}
		types[text[:at]] = text[at+1:]
	}
	return types, nil
}

func importTable(ctx context.Context, cmd *cobra.Command, c *transfer.Client, table, file string,
	o transfer.ImportOptions) error {
	input := &counted{Reader: cmd.InOrStdin()}
	var all int64
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return err
		}
		defer opened.Close()
		if about, err := opened.Stat(); err == nil {
			all = about.Size()
		}
		input.Reader = opened
	}
	progress, show := newTableProgress(cmd.ErrOrStderr(), table)
	defer progress.clear()
	o.Progress = func(items int64) { show(items, input.bytes.Load(), all) }
	done, err := c.Import(ctx, table, input, o)
	progress.clear()
	var line *transfer.LineError
	switch {
	case err == nil:
		_, err = fmt.Fprintf(cmd.ErrOrStderr(), "%d items of %s in %s\n", done.Items, file, table)
	case done.Next > 1, errors.As(err, &line):
		err = fmt.Errorf("%s: %w; %d items are written; continue with --from-line %d", file, err, done.Items, done.Next)
	default:
		err = fmt.Errorf("%s: %w", file, err)
	}
	return err
}

// counted counts the bytes that are read.
type counted struct {
	io.Reader
	bytes atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.bytes.Add(int64(n))
	return n, err
}
