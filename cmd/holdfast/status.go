package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/node"
)

const statusLong = `Status prints how a node sees its cluster: which node leads, when it heard the others, and for each
shard how far this node's replica is. The node that leads also knows how far the others are behind.

It asks the node's HTTP listener. Nodes of "holdfast up --nodes 3" have theirs on the ports 7070 to
7072.`

// statusBytes is the length of the longest status that is read.
const statusBytes = 64 << 20

func newStatusCommand() *cobra.Command {
	var address string
	var asJSON bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Print the nodes of a cluster, and how far their replicas are",
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
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/status", nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, statusBytes))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", address, response.Status, strings.TrimSpace(string(text[:min(len(text), 200)])))
	}
	return text, err
}

// statusText returns a status for people.
func statusText(s *node.Status) string {
	var out strings.Builder
	c := s.Cluster
	if s.Meeting != nil {
		return meetingText(s.Meeting)
	}
	if c == nil {
		return "the tables are on this node alone: it belongs to no cluster\n"
	}
	fmt.Fprintf(&out, "cluster  %s (%s), %d nodes\n", c.Name, c.ID, len(c.Members))
	for _, m := range c.Members {
		fmt.Fprintf(&out, "node %-3d %s\n", m.ID, memberText(c, &m))
	}
	for i := range c.Differ {
		fmt.Fprintf(&out, "differ   %v\n", &c.Differ[i])
	}
	fmt.Fprintf(&out, "shards   %d, of which this node leads %d\n", len(s.Shards), leadsOf(s))
	fmt.Fprintf(&out, "\n%8s  %6s  %8s  %12s  %10s  %s\n", "shard", "leader", "term", "committed", "unapplied",
		"entries that others lack")
	for i := range s.Shards {
		x := &s.Shards[i]
		fmt.Fprintf(&out, "%8d  %6s  %8d  %12d  %10d  %s\n", x.ID, leaderText(x.Leader), x.Term, x.Committed,
			x.Committed-min(x.Committed, x.Applied), behindText(x))
	}
	return out.String()
}

// meetingText says for whom a node waits.
func meetingText(m *node.MeetingStatus) string {
	var out strings.Builder
	line := func(address, text string) { fmt.Fprintf(&out, "node at %s: %s\n", address, text) }
	if m.Replaces != 0 {
		fmt.Fprintf(&out, "cluster  %s: this node asks to join in the place of node %d\n", m.Name, m.Replaces)
		for _, address := range slices.Sorted(maps.Keys(m.Unfit)) {
			line(address, m.Unfit[address])
		}
		return out.String()
	}
	fmt.Fprintf(&out, "cluster  %s isn't formed yet: %d of %d nodes are known\n", m.Name, len(m.Known), m.Nodes)
	line(m.Address, "this node, which waits for the others")
	for _, address := range m.Met {
		line(address, "met")
	}
	for _, address := range m.Missing {
		if m.Unfit[address] == "" {
			line(address, "not met since this node started")
		}
	}
	for _, address := range slices.Sorted(maps.Keys(m.Unfit)) {
		line(address, "it doesn't fit: "+m.Unfit[address])
	}
	return out.String()
}

func memberText(c *node.ClusterStatus, m *node.MemberStatus) string {
	var words []string
	switch {
	case m.ID == c.Node:
		words = append(words, "this node")
	case m.Heard == nil:
		words = append(words, "not heard since this node started")
	default:
		words = append(words, fmt.Sprintf("heard %.1f s ago", *m.Heard))
	}
	switch {
	case m.Joins != nil:
		words = append(words, fmt.Sprintf("takes the place of node %d: votes in %d of %d groups", m.Joins.Replaces,
			m.Joins.Groups, m.Joins.Of))
	case m.ID != c.Leader:
	case m.ID == c.Node && !c.Leads:
		words = append(words, "is about to lead")
	default:
		words = append(words, "leads")
	}
	return strings.Join(words, ", ")
}

func leadsOf(s *node.Status) (n int) {
	for i := range s.Shards {
		if s.Shards[i].Leader == s.Cluster.Node {
			n++
		}
	}
	return n
}

func leaderText(id holdfast.NodeID) string {
	if id == 0 {
		return "none"
	}
	return fmt.Sprint(id)
}

// behindText says what the other nodes lack, as far as this one knows.
func behindText(s *node.ShardStatus) string {
	if s.Behind == nil {
		return "the leader knows"
	}
	var words []string
	for _, id := range slices.Sorted(maps.Keys(s.Behind)) {
		words = append(words, fmt.Sprintf("node %d: %d", id, s.Behind[id]))
	}
	return strings.Join(words, ", ")
}
