package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/node"
)

const clusterCheckLong = `Check has the node that leads compare all replicas of each shard, byte for byte, as of one transaction,
while all nodes serve, and prints what it found, one shard per line. The node that leads does the same
by itself once in cluster.compare_every. A check may be repeated, and interrupted; one that is begun
while another is under way shows that one.

A node whose replica differs from a majority ends, and says why; its directory is kept as it is. Without a
majority that agrees, no node is stopped.

Each node reads 32 MiB of a shard per second at most, so a check takes 32 s per GiB.

Exit code: 0 all replicas are equal; 2 some differ; 1 some couldn't be compared.`

// How often the node is asked how far it is, and for how long it may not answer.
const (
	roundEvery    = 200 * time.Millisecond
	roundPatience = 10 * time.Second
)

func newClusterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Check that the nodes of a cluster have the same, and say which one leads",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newClusterCheckCommand(), newClusterTransferCommand(), newClusterDrainCommand(),
		newClusterRemoveCommand())
	return cmd
}

func newClusterCheckCommand() *cobra.Command {
	var address string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Compare all replicas of all shards",
		Long:    clusterCheckLong,
		Example: "  holdfast cluster check\n  holdfast cluster check --http 127.0.0.1:7071 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			c := roundClient{address: address}
			if !asJSON {
				c.found = func(is *node.Comparison) { fmt.Fprintln(cmd.OutOrStdout(), comparisonText(is)) }
			}
			round, err := c.follow(ctx)
			if err != nil {
				return err
			}
			if asJSON {
				text, err := json.MarshalIndent(round, "", "  ")
				if err != nil {
					return err
				}
				_, err = cmd.OutOrStdout().Write(append(text, '\n'))
				if err != nil {
					return err
				}
			} else if _, err := io.WriteString(cmd.OutOrStdout(), roundText(round)); err != nil {
				return err
			}
			if code := roundCode(round); code != 0 {
				return &exitError{code: code}
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&address, "http", "127.0.0.1:7070", "where HTTP of a node listens: `HOST:PORT`")
	flags.BoolVar(&asJSON, "json", false, "print what was found of each replica as JSON, at the end")
	return cmd
}

// A roundClient has a node's cluster compare its replicas.
type roundClient struct {
	address string
	found   func(*node.Comparison) // gets each shard's as it comes; nil: nobody
}

// follow begins a round, or joins one, and returns it when it is done.
func (c *roundClient) follow(ctx context.Context) (*node.Round, error) {
	round, err := c.ask(ctx, http.MethodPost, "")
	if err != nil {
		return nil, err
	}
	seen, heard := 0, time.Now()
	for {
		if c.found != nil {
			for ; seen < len(round.Comparisons); seen++ {
				c.found(&round.Comparisons[seen])
			}
		}
		if round.Done {
			return round, nil
		}
		select {
		case <-time.After(roundEvery):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		now, err := c.ask(ctx, http.MethodGet, fmt.Sprintf("?round=%d", round.Number))
		var answer *answerError
		switch {
		case err == nil:
			round, heard = now, time.Now()
		case errors.As(err, &answer) && answer.status == http.StatusNotFound, time.Since(heard) > roundPatience,
			ctx.Err() != nil:
			return nil, err
		}
	}
}

// An answerError is a response that says why there is no round.
type answerError struct {
	address string
	status  int
	text    string
}

func (e *answerError) Error() string { return e.address + ": " + e.text }

func (c *roundClient) ask(ctx context.Context, method, query string) (*node.Round, error) {
	ctx, end := context.WithTimeout(ctx, roundPatience)
	defer end()
	status, text, err := askHTTP(ctx, method, c.address, "/compare"+query)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, &answerError{c.address, status, beginning(text, 1000)}
	}
	round := &node.Round{}
	if err := json.Unmarshal(text, round); err != nil {
		return nil, fmt.Errorf("%s: %w", c.address, err)
	}
	return round, nil
}

// comparisonText returns the line of a shard.
func comparisonText(is *node.Comparison) string {
	text := fmt.Sprintf("%-10s  %v", is.Result, is)
	var stopped []string
	for _, r := range is.Replicas {
		if r.Stopped {
			stopped = append(stopped, fmt.Sprint(r.Node))
		}
	}
	if len(stopped) > 0 {
		text += "; stopped: node " + strings.Join(stopped, ", ")
	}
	return text
}

// roundText returns the last line.
func roundText(r *node.Round) string {
	if len(r.Comparisons) == 0 {
		return "no shard has more than one replica\n"
	}
	text := fmt.Sprintf("%d shards, compared by node %d:", len(r.Comparisons), r.Leader)
	separator := " "
	for _, result := range []string{node.Equal, node.Incomplete, node.Differs, node.Undecided} {
		if n := countResult(r, result); n > 0 {
			text += fmt.Sprintf("%s%d %s", separator, n, result)
			separator = ", "
		}
	}
	return text + "\n"
}

func countResult(r *node.Round, results ...string) (n int) {
	for i := range r.Comparisons {
		if slices.Contains(results, r.Comparisons[i].Result) {
			n++
		}
	}
	return n
}

// roundCode returns the exit code of a round.
func roundCode(r *node.Round) int {
	switch {
	case countResult(r, node.Differs, node.Undecided) > 0:
		return exitFaults
	case countResult(r, node.Incomplete) > 0:
		return exitFailure
	}
	return 0
}
