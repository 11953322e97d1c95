package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"holdfast"
	"holdfast/rpc"
)

// Two nodes on loopback, of which the first asks the second for something.
func Example() {
	cluster := [16]byte{'d', 'e', 'm', 'o'}
	nodes := make(map[holdfast.NodeID]*rpc.Transport)
	peers := make(map[holdfast.NodeID]rpc.Peer)
	for id := holdfast.NodeID(1); id <= 2; id++ {
		t, err := rpc.Listen(rpc.Options{
			Node: id, Cluster: cluster, Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler),
			Receive: func(m rpc.Message) {}, // a message that was sent with Send
			Answer: func(_ context.Context, m rpc.Message) ([]byte, error) {
				if m.Kind != 1 {
					return nil, holdfast.Errorf(holdfast.NotLeader, "node %d doesn't lead shard %d", m.To, m.Shard)
				}
				return fmt.Appendf(nil, "node %d has answered %q of node %d", m.To, m.Body, m.From), nil
			},
		})
		if err != nil {
			panic(err)
		}
		defer t.Close()
		nodes[id], peers[id] = t, rpc.Peer{Addr: t.Addr().String()}
	}
	for _, t := range nodes {
		t.SetPeers(peers)
	}

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	answer, err := nodes[1].Call(ctx, rpc.Message{To: 2, Kind: 1, Body: []byte("hello")})
	for errors.Is(err, holdfast.Refused) && ctx.Err() == nil { // not connected yet, so nothing was changed
		answer, err = nodes[1].Call(ctx, rpc.Message{To: 2, Kind: 1, Body: []byte("hello")})
	}
	fmt.Println(string(answer), err)
	_, err = nodes[1].Call(ctx, rpc.Message{To: 2, Kind: 2, Shard: 12})
	fmt.Println(err, errors.Is(err, holdfast.NotLeader))
	// Output:
	// node 2 has answered "hello" of node 1 <nil>
	// node 2 doesn't lead shard 12 true
}
