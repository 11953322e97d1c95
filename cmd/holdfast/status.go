package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/node"
)

const statusLong = `Status prints what is wrong in a cluster, which nodes there are, which one leads, and for each shard
what the replicas of the other nodes lack. What is wrong comes first: "refused" says which requests are
refused, or wait, and why; "warning" what may lead to that.

It asks the node, which asks the others for up to two seconds. What replicas lack is known by the node
that leads: transactions that are committed and aren't known to be on a replica's disk, and for how
long, to a second, it has lacked something.

The node is asked at its HTTP listener. Nodes of "holdfast up --nodes 3" have theirs on the ports 7070 to
7072.`

// statusBytes is the length of the longest status that is read.
const statusBytes = 64 << 20

func newStatusCommand() *cobra.Command {
	var address string
	var asJSON bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Print what is wrong in a cluster, its nodes, and how far their replicas are",
		Long:    statusLong,
		Example: "  holdfast status\n  holdfast status --http 127.0.0.1:7071 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			text, err := fetchStatus(ctx, address)
			if err != nil {
				return err
			}
			var s node.Status
			if err := json.Unmarshal(text, &s); err != nil {
				return fmt.Errorf("%s: %w", address, err)
			}
			if asJSON {
				_, err = cmd.OutOrStdout().Write(text)
				return err
			}
			_, err = io.WriteString(cmd.OutOrStdout(), statusText(&s))
			return err
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&address, "http", "127.0.0.1:7070", "where HTTP of the node listens: `HOST:PORT`")
	flags.DurationVar(&timeout, "timeout", 5*time.Second, "how long to wait for the node")
	flags.BoolVar(&asJSON, "json", false, "print the node's whole response as JSON")
	return cmd
}

// fetchStatus returns the status of the node whose HTTP listens at address.
func fetchStatus(ctx context.Context, address string) ([]byte, error) {
	status, text, err := askHTTP(ctx, http.MethodGet, address, "/status?nodes=all")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s: %d %s: %s", address, status, http.StatusText(status), beginning(text, 200))
	}
	return text, err
}

// askHTTP sends a request without a body to the node whose HTTP listens at address, and returns the
// status and the body of its response.
func askHTTP(ctx context.Context, method, address, path string) (status int, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+address+path, nil)
	if err != nil {
		return 0, nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, statusBytes))
	return response.StatusCode, body, err
}

// beginning returns the first bytes of what a node has said, without spaces around them.
func beginning(text []byte, most int) string {
	return strings.TrimSpace(string(text[:min(len(text), most)]))
}
