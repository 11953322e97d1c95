package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"holdfast/tool/transfer"
)

const tableLong = `Table inspects tables, sets their tags, and exports and imports their items, through the DynamoDB API
of Holdfast or of any other server. For everything else, use the aws command line.

The region and the credentials come from AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
AWS_SESSION_TOKEN; they may be unset for a server that doesn't check them.`

const tableExample = `  holdfast table list
  holdfast table set users holdfast:acknowledge=semisync:2
  holdfast table export users users.csv
  holdfast table import users users.json.gz --endpoint https://dynamodb.eu-west-1.amazonaws.com
  holdfast table check ./holdfast-data`

// tableFlags are the flags of a client of tables.
type tableFlags struct {
	endpoint string
	timeout  time.Duration
}

func newTableCommand() *cobra.Command {
	var f tableFlags
	cmd := &cobra.Command{
		Use:     "table",
		Short:   "List, describe, tag, export, import, check and recover tables",
		Long:    tableLong,
		Example: tableExample,
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&f.endpoint, "endpoint", "http://127.0.0.1:8000", "URL of the server")
	flags.DurationVar(&f.timeout, "timeout", 30*time.Second, "timeout of each request")
	cmd.AddCommand(newTableListCommand(&f), newTableDescribeCommand(&f), newTableSetCommand(&f),
		newTableExportCommand(&f), newTableImportCommand(&f), newTableCheckCommand(), newTableRecoverCommand())
	return cmd
}

// run calls do with a client and an interruptible context.
func (f *tableFlags) run(cmd *cobra.Command, do func(ctx context.Context, c *transfer.Client) error) error {
	o := transfer.FromEnvironment(f.endpoint)
	o.Timeout = f.timeout
	client, err := transfer.NewClient(o)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(cmd)
	defer stop()
	return do(ctx, client)
}

// interruptible returns the command's context, canceled by the first signal; a second signal ends
// the program.
func interruptible(cmd *cobra.Command) (ctx context.Context, stop func()) {
	ctx, stop = signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

func newTableListCommand(f *tableFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Print the names of all tables, one per line",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd, func(ctx context.Context, c *transfer.Client) error {
				names, err := c.Tables(ctx)
				for _, name := range names {
					fmt.Fprintln(cmd.OutOrStdout(), name)
				}
				return err
			})
		},
	}
}

func newTableDescribeCommand(f *tableFlags) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "describe TABLE",
		Short: "Print a table's key, indexes and size",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, func(ctx context.Context, c *transfer.Client) error {
				t, err := c.Describe(ctx, args[0])
				if err != nil {
					return err
				}
				if !asJSON {
					return printTable(cmd.OutOrStdout(), &t)
				}
				var indented bytes.Buffer
				if err := json.Indent(&indented, t.JSON, "", "  "); err != nil {
					return err
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), indented.String())
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the server's whole response as JSON")
	return cmd
}

func printTable(w io.Writer, t *transfer.Table) error {
	var out strings.Builder
	fmt.Fprintf(&out, "table    %s, %s\n", t.TableName, strings.ToLower(t.TableStatus))
	fmt.Fprintf(&out, "key      %s\n", keyText(t, t.KeySchema))
	if t.BillingModeSummary.BillingMode == "PAY_PER_REQUEST" {
		fmt.Fprintf(&out, "billing  on demand\n")
	} else {
		fmt.Fprintf(&out, "billing  provisioned: %d reads, %d writes a second\n",
			t.ProvisionedThroughput.ReadCapacityUnits, t.ProvisionedThroughput.WriteCapacityUnits)
	}
	fmt.Fprintf(&out, "size     about %d items, %d bytes\n", t.ItemCount, t.TableSizeBytes)
	printIndexes(&out, t, "local", t.LocalSecondaryIndexes)
	printIndexes(&out, t, "global", t.GlobalSecondaryIndexes)
	if t.StreamSpecification.StreamEnabled {
		fmt.Fprintf(&out, "stream   %s\n", strings.ToLower(strings.ReplaceAll(t.StreamSpecification.StreamViewType, "_",
			" ")))
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func printIndexes(out *strings.Builder, t *transfer.Table, kind string, indexes []transfer.Index) {
	for _, x := range indexes {
		projected := strings.ToLower(strings.ReplaceAll(x.Projection.ProjectionType, "_", " "))
		if names := x.Projection.NonKeyAttributes; len(names) > 0 {
			projected += " " + strings.Join(names, ", ")
		}
		status := ""
		if x.IndexStatus != "" && x.IndexStatus != "ACTIVE" {
			status = ", " + strings.ToLower(x.IndexStatus)
		}
		fmt.Fprintf(out, "index    %s, %s%s: %s; projects %s; about %d items, %d bytes\n",
			x.IndexName, kind, status, keyText(t, x.KeySchema), projected, x.ItemCount, x.IndexSizeBytes)
	}
}

// keyText formats a key as "id (S), then at (N)", or a key with several attributes per part as
// "country (S) and city (S), then zip (N), then street (S)".
func keyText(t *transfer.Table, key []transfer.KeyElement) string {
	var out strings.Builder
	for i, k := range key {
		switch {
		case i == 0:
		case k.KeyType == "HASH":
			out.WriteString(" and ")
		default:
			out.WriteString(", then ")
		}
		fmt.Fprintf(&out, "%s (%s)", k.AttributeName, t.Type(k.AttributeName))
	}
	return out.String()
}
