package group

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"

	"holdfast"
	"holdfast/item"
	"holdfast/shard"
)

// An entry has the term of its leader, whoever reads it; one of a former version has that of Raft.
func TestTermOfEntry(t *testing.T) {
	for _, test := range []struct {
		data []byte
		want uint64
	}{
		{newEntry(0xabcdef, 300, []byte("x")), 5<<24 | 0xabcdef},
		{newEntry(0, 0, []byte("x")), 5 << 24},
		{[]byte{kindUnsalted, 3, 'x'}, 5},
		{nil, 5},
	} {
		e := &raftpb.Entry{Term: new(uint64(5)), Index: new(uint64(9)), Data: test.data}
		if got := termOf(e); got != test.want || holdfast.RaftTerm(got) != 5 {
			t.Errorf("%x: got term %x; want %x", test.data, got, test.want)
		}
		back, err := decodeStored(9, string(appendStored(nil, e)))
		if err != nil || termOf(back) != test.want {
			t.Errorf("%x, read back: got %v, %v; want term %x", test.data, back, err, test.want)
		}
	}
	if unneeded, raw, ok := parseEntry([]byte{kindUnsalted, 3, 'x'}); unneeded != 3 || string(raw) != "x" || !ok {
		t.Errorf("an entry of a former version: got %d, %q, %v; want 3, x, true", unneeded, raw, ok)
	}
	unneeded, raw, ok := parseEntry(newEntry(1<<24-1, 300, []byte("x")))
	if unneeded != 300 || string(raw) != "x" || !ok {
		t.Errorf("got %d, %q, %v; want 300, x, true", unneeded, raw, ok)
	}
}

// putAll puts items where the group is led, and returns their transactions.
func (c *nodes) putAll(what string, n int) (all []holdfast.TxID) {
	c.t.Helper()
	for i := range n {
		leader, it := c.leader(0), testItem(fmt.Sprint(what, i), what)
		k, err := testKeys.Key(it)
		if err != nil {
			c.t.Fatal(err)
		}
		got, err := leader.store.Commit(within(c.t, time.Minute), shard.Commit{Writes: []shard.Write{
			{Shard: leader.shards[0], Key: k, Change: func(item.Item) (item.Item, error) { return it, nil }},
		}})
		if err != nil {
			c.t.Fatal(err)
		}
		all = append(all, got[0].Tx)
	}
	return all
}

// copies returns copies of the nodes' disks, as a loss of power would leave them.
func (c *nodes) copies() (all []*vfs.MemFS) {
	for _, n := range c.all {
		all = append(all, n.fs.CrashClone(vfs.CrashCloneCfg{}))
	}
	return all
}

// restart stops all nodes and starts them with other disks.
func (c *nodes) restart(disks []*vfs.MemFS) {
	for i, n := range c.all {
		n.close()
		n.fs, n.boots = disks[i], n.boots+1
	}
	for _, n := range c.all {
		n.start()
	}
}

// Copies of the disks of all nodes are put back. Raft then counts the terms again that have been,
// and gives the same indexes; yet what was written since the copies is lost, and never taken for
// what is written afterwards.
func TestTransactionsOfCopiesDiffer(t *testing.T) {
	repeated := 0
	for seed := range uint64(3) {
		inBubble(t, seed, 1, func(t *testing.T, c *nodes) {
			kept := c.putAll("kept", 2)
			copies := c.copies()
			lost := c.putAll("lost", 2) // in the same term
			c.restart(c.copies())
			lost = append(lost, c.putAll("lost too", 3)...)
			c.restart(copies)
			for _, tx := range lost {
				n := c.leader(0)
				if err := shard.Verify(context.Background(), n.shards[0], tx); !errors.Is(err, holdfast.Lost) {
					t.Errorf("seed %d, %v, before anything else is written: got %v; want it lost", seed, tx, err)
				}
			}
			kept = append(kept, c.putAll("others", 9)...)
			for _, n := range c.all {
				if err := shard.Confirm(within(t, time.Minute), n.shards[0]); err != nil {
					t.Fatal(err)
				}
				for _, tx := range kept {
					if err := n.shards[0].Reached(tx); err != nil {
						t.Errorf("seed %d, node %d, %v: got %v; want it there", seed, n.id, tx, err)
					}
				}
				for _, tx := range lost {
					if err := n.shards[0].Reached(tx); !errors.Is(err, holdfast.Lost) {
						t.Errorf("seed %d, node %d, %v: got %v; want it lost", seed, n.id, tx, err)
					}
				}
			}
			for _, tx := range lost[2:] {
				for _, other := range kept[2:] {
					if holdfast.RaftTerm(tx.Term) == holdfast.RaftTerm(other.Term) && tx.Index == other.Index {
						repeated++
					}
				}
			}
		})
	}
	if repeated == 0 {
		t.Error("got no transaction of which Raft has given term and index again; want some")
	}
}
