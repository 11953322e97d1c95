package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"holdfast/node"
)

const clusterTransferLong = `Transfer has the node that leads hand its leaderships over to another one, while all
nodes serve. Requests that come meanwhile wait, at whichever node they come to, mostly for less than 100 ms; none fails
because of it, but for some of a node that is busy, which are refused with "nothing was changed" and
which every SDK repeats. Any node takes the command.

It is refused, and nothing is changed, if the other node isn't heard, has no vote in some group, lacks
too much of what it would lead, or if its disk is full or hangs. Repeated, it says that the node leads
already. The leadership stays there until that node ends, or it is transferred again.

Exit code: 0 the node leads; 1 it doesn't, or that isn't known.`

func newClusterTransferCommand() *cobra.Command {
	var address string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "transfer NODE",
		Short:   "Have another node lead",
		Long:    clusterTransferLong,
		Example: "  holdfast cluster transfer 2\n  holdfast cluster transfer 3 --http 127.0.0.1:7071",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			id, err := nodeNumber(args[0])
			if err != nil {
				return err
			}
			var is node.Transfer
			text, err := steer(ctx, address, fmt.Sprintf("/cluster/transfer?node=%d", id), &is)
			if err != nil {
				return err
			}
			if !asJSON {
				text = []byte(transferText(&is))
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	clusterFlags(cmd, &address, &asJSON)
	return cmd
}

// clusterFlags adds the flags of commands that have a cluster do something.
func clusterFlags(cmd *cobra.Command, address *string, asJSON *bool) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(address, "http", "127.0.0.1:7070", "where HTTP of a node listens: `HOST:PORT`")
	flags.BoolVar(asJSON, "json", false, "print the node's response as JSON")
}

// nodeNumber returns the number of a node that is an argument.
func nodeNumber(word string) (uint64, error) {
	id, err := strconv.ParseUint(word, 10, 64)
	if err != nil || id == 0 {
		return 0, fmt.Errorf("%q isn't the number of a node, as \"holdfast status\" shows them: 1, 2, 3 …", word)
	}
	return id, nil
}

func transferText(is *node.Transfer) string {
	if is.From == is.To {
		return fmt.Sprintf("node %d leads already\n", is.To)
	}
	return fmt.Sprintf("node %d leads now: node %d has handed over %d groups in %.0f ms\n", is.To, is.From, is.Groups,
		1000*is.Seconds)
}

// steerPatience is for how long a node may not answer a command.
const steerPatience = 15 * time.Second

// steer has a node's cluster do something, and decodes the response, which it returns.
func steer(ctx context.Context, address, path string, into any) ([]byte, error) {
	ctx, end := context.WithTimeout(ctx, steerPatience)
	defer end()
	status, text, err := askHTTP(ctx, http.MethodPost, address, path)
	switch {
	case err != nil:
		return nil, err
	case status != http.StatusOK:
		return nil, &answerError{address, status, beginning(text, 1000)}
	}
	if err := json.Unmarshal(text, into); err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	return text, nil
}
