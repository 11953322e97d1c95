package shard

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
)

// A snapshot that is installed with the log of a group empties that log and sets the state in the same
// step: the disk is taken away before each change to it, and what is left has the old replica or the
// new one, whole. Entries that follow the snapshot can be appended then, and other logs stay as they
// are.
func TestInstallWithLog(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 46))
	leader := newReplicated(t, rng)
	leader.run(60)
	id := replicated[0]
	from := leader.store.shards[id]
	chunks, tx := chunksOf(t, from, SnapshotOptions{ChunkBytes: 500})
	after := fmt.Sprint(tx.Index)

	base := &replica{t: t, rng: rng, fs: vfs.NewCrashableMem(), copied: leader.copied}
	base.open()
	base.applyUpTo(id, leader.log.sent[id], tx.Index/2)
	base.shard(id)
	write := func(s *Store, of holdfast.ShardID, n int) *GroupLog {
		log, err := OpenGroupLog(s, of)
		if err != nil {
			t.Fatal(err)
		}
		b := NewLogBatch(s)
		for i := range n {
			b.Append(log, uint64(i+1), [][]byte{fmt.Appendf(nil, "entry %d", i+1)})
		}
		b.SetState(log, []byte("old state"))
		if err := b.Commit(true); err != nil {
			t.Fatal(err)
		}
		return log
	}
	write(base.store, id, 40)
	write(base.store, id+100, 7)
	before := fmt.Sprint(ReplicaOf(base.shard(id)).Applied().Index)
	is, schema := base.shard(id).is, base.shard(id).schema.Load().Schema
	o := memOptions(base.fs)
	if err := base.store.Close(); err != nil {
		t.Fatal(err)
	}
	mem := base.fs

	look := func(s *Store) string {
		sh, err := s.Open(is, schema)
		if err != nil {
			t.Fatal(err)
		}
		log, other := openLog(t, s, id), openLog(t, s, id+100)
		state, err := log.State()
		if err != nil {
			t.Fatal(err)
		}
		first, last := log.Bounds()
		entries := uint64(0)
		if first <= last {
			all, err := log.Entries(first, last+1, 1<<30)
			if err != nil {
				t.Fatal(err)
			}
			entries = uint64(len(all))
		}
		if first, last := other.Bounds(); first != 1 || last != 7 {
			t.Errorf("got entries %d to %d of another log; want 1 to 7", first, last)
		}
		return fmt.Sprintf("applied %d, %d entries, %s", ReplicaOf(sh).Applied().Index, entries, state)
	}
	olds, news := 0, 0
	old, changed := "applied "+before+", 40 entries, old state", "applied "+after+", 0 entries, new state"
	crashes := crashAtEvery(t, mem, func(fs vfs.FS) {
		o := o
		o.FS = fs
		s := openPlain(t, o)
		sh, err := s.Open(is, schema)
		if err != nil {
			t.Error(err)
			return
		}
		log := openLog(t, s, id)
		if err := ReplicaOf(sh).InstallWithLog(received(t, sh, chunks), log, []byte("new state")); err != nil {
			t.Error(err)
			return
		}
		if first, last := log.Bounds(); first != tx.Index+1 || last != tx.Index {
			t.Errorf("got entries %d to %d; want none behind %d", first, last, tx.Index)
		}
		b := NewLogBatch(s)
		b.Append(log, tx.Index+1, [][]byte{[]byte("next")})
		if err := b.Commit(false); err != nil {
			t.Error(err)
		}
		if got, err := log.Entries(tx.Index+1, tx.Index+2, 100); err != nil || got[0] != "next" {
			t.Errorf("got %q, %v; want the entry behind the snapshot", got, err)
		}
		_ = s.Close()
	}, func(left *stopped) {
		s, err := Open(left.options())
		if err != nil {
			t.Error(err)
			return
		}
		defer s.Close()
		switch got := look(s); got {
		case old:
			olds++
		case changed, "applied " + after + ", 1 entries, new state":
			news++
		default:
			t.Errorf("got %s; want %s, or %s", got, old, changed)
		}
	})
	if olds == 0 || news == 0 {
		t.Errorf("got %d crashes with the old replica and %d with the new one; want some of each", olds, news)
	}
	t.Logf("%d crashes: %d with the old replica, %d with the new one", crashes, olds, news)
}

func openLog(t *testing.T, s *Store, id holdfast.ShardID) *GroupLog {
	t.Helper()
	log, err := OpenGroupLog(s, id)
	if err != nil {
		t.Fatal(err)
	}
	return log
}
