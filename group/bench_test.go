package group

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"holdfast"
	"holdfast/item"
	"holdfast/rpc"
	"holdfast/shard"
)

// A benchNode is a node on the disk, with connections to the others.
type benchNode struct {
	store     *shard.Store
	host      *Host
	transport *rpc.Transport
	shard     *shard.Shard
	replica   *Replica
}

const benchMembers = 3

// benchKind is the kind of frames with messages of Raft.
const benchKind = 1

// newBenchNodes starts three nodes in this process, each with a directory and sockets of its own,
// and returns the one that leads.
func newBenchNodes(b *testing.B) *benchNode {
	b.Helper()
	nodes := make([]*benchNode, benchMembers)
	peers := map[holdfast.NodeID]rpc.Peer{}
	var members []holdfast.NodeID
	for i := range nodes {
		id := holdfast.NodeID(i + 1)
		nodes[i] = newBenchNode(b, id)
		peers[id] = rpc.Peer{Addr: nodes[i].transport.Addr().String()}
		members = append(members, id)
	}
	for _, n := range nodes {
		n.transport.SetPeers(peers)
		sh, err := n.store.Open(shard.Descriptor{ID: 1, Space: 1}, shard.Schema{Key: testKeys})
		if err == nil {
			n.shard = sh
			n.replica, err = n.host.Start(sh, members)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	stop := make(chan struct{})
	var clock sync.WaitGroup
	clock.Go(func() {
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				for _, n := range nodes {
					n.host.Tick()
				}
			case <-stop:
				return
			}
		}
	})
	b.Cleanup(func() {
		close(stop)
		clock.Wait()
		for _, n := range nodes {
			if err := errors.Join(n.host.Close(), n.transport.Close(), n.store.Close()); err != nil {
				b.Error(err)
			}
		}
	})
	for {
		for _, n := range nodes {
			if _, err := n.replica.Lead(); err == nil {
				return n
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func newBenchNode(b *testing.B, id holdfast.NodeID) *benchNode {
	b.Helper()
	n := &benchNode{}
	var err error
	n.store, err = shard.Open(shard.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	n.host = NewHost(Options{
		Node: id, Store: n.store, Fatal: func(err error) { b.Error(err) },
		Send: func(m Message) {
			n.transport.Send(rpc.Message{To: m.To, Kind: benchKind, Shard: m.Shard, Body: m.Body})
		},
	})
	n.transport, err = rpc.Listen(rpc.Options{
		Node: id, Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler),
		Receive: func(m rpc.Message) {
			_ = n.host.Receive(Message{From: m.From, To: m.To, Shard: m.Shard, Body: m.Body}) // Raft sends again
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// inParallel has n goroutines do b.N operations, and reports their number per second and the
// processor time of all nodes.
func inParallel(b *testing.B, n int, do func(i int) error) {
	b.Helper()
	var next atomic.Int64
	var wait sync.WaitGroup
	before := processorTime(b)
	b.ResetTimer()
	for range n {
		wait.Go(func() {
			for i := int(next.Add(1)); i <= b.N; i = int(next.Add(1)) {
				if err := do(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

// processorTime returns how much processor time the process has taken.
func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkPut puts items of 256 bytes into a shard of three replicas, over loopback and with
// syncs. The nodes are in one process, and there are no clients' connections.
func BenchmarkPut(b *testing.B) {
	for _, n := range []int{1, 8, 64, 256} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			leader := newBenchNodes(b)
			value := item.Text(string(bytes.Repeat([]byte("v"), 256)))
			inParallel(b, n, func(i int) error {
				id := item.Text(fmt.Sprint("user-", i%100_000))
				it := item.New(item.Attr{Name: "id", Value: id}, item.Attr{Name: "v", Value: value})
				key, err := testKeys.Key(it)
				if err != nil {
					return err
				}
				_, err = leader.store.Commit(context.Background(), shard.Commit{Writes: []shard.Write{{
					Shard: leader.shard, Key: key, Change: func(item.Item) (item.Item, error) { return it, nil },
				}}})
				return err
			})
		})
	}
}

// BenchmarkRead reads consistently at the leader of a shard of three replicas.
func BenchmarkRead(b *testing.B) {
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			leader := newBenchNodes(b)
			key, err := testKeys.Key(item.New(item.Attr{Name: "id", Value: item.Text("a")}))
			if err != nil {
				b.Fatal(err)
			}
			inParallel(b, n, func(int) error {
				if err := leader.replica.Read(context.Background()); err != nil {
					return err
				}
				_, err := leader.shard.Get(context.Background(), key)
				return err
			})
		})
	}
}
