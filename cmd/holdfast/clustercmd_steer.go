package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// steeringOptions are the flags of a command that has a cluster do something about one of its nodes,
// and where it prints.
type steeringOptions struct {
	address string
	json    bool
	out     io.Writer

	printed string // the last line that says how far it is
}

// steering makes cmd a command whose argument is the number of a node.
func steering(cmd *cobra.Command, run func(ctx context.Context, id uint64, o *steeringOptions) error) *cobra.Command {
	o := &steeringOptions{}
	cmd.Args = cobra.ExactArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, stop := interruptible(cmd)
		defer stop()
		id, err := nodeNumber(args[0])
		if err != nil {
			return err
		}
		o.out = cmd.OutOrStdout()
		return run(ctx, id, o)
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&o.address, "http", "127.0.0.1:7070", "where HTTP of a node listens: `HOST:PORT`")
	flags.BoolVar(&o.json, "json", false, "print the node's response as JSON")
	return cmd
}

// progress prints the line that says how far it is, if that has changed, unless the response is to be printed.
func (o *steeringOptions) progress(line string) error {
	if o.json || line == o.printed {
		return nil
	}
	o.printed = line
	_, err := io.WriteString(o.out, line)
	return err
}

// end prints the last response, if it is to be printed.
func (o *steeringOptions) end(is any) error {
	if !o.json {
		return nil
	}
	text, err := json.MarshalIndent(is, "", "  ")
	if err == nil {
		_, err = o.out.Write(append(text, '\n'))
	}
	return err
}

// nodeNumber returns the number of a node that is an argument.
func nodeNumber(word string) (uint64, error) {
	id, err := strconv.ParseUint(word, 10, 64)
	if err != nil || id == 0 {
		return 0, fmt.Errorf("%q isn't the number of a node, as \"holdfast status\" shows them: 1, 2, 3 …", word)
	}
	return id, nil
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
