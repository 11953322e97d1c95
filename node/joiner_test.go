package node

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/catalog"
	"holdfast/cluster"
	"holdfast/group"
	"holdfast/item"
	"holdfast/rpc"
	"holdfast/shard"
)

// A node that has joined founds no group that others have founded: it would vote in it before its
// leader has made it a voter. It founds those that are made since, and goes on with what is on its disk.
func TestNewNodesFoundNoOldGroups(t *testing.T) {
	disk, err := shard.Open(shard.Options{Dir: "data", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	var members *group.Members // that another node has
	m := &member{
		is: &cluster.Identity{Node: 4, Members: []holdfast.NodeID{1, 3, 4}, Met: make([]cluster.Member, 3),
			Replaces: 2},
		lags: newLags(), log: slog.New(slog.DiscardHandler),
	}
	m.roster.is, m.roster.peers = m.is, func(map[holdfast.NodeID]rpc.Peer) {}
	open := func() *replicas {
		rs := &replicas{}
		rs.init(m, group.NewHost(group.Options{Node: 4, Store: disk, Send: func(group.Message) {}}), disk)
		rs.joiner.call = func(_ context.Context, r rpc.Message) ([]byte, error) {
			if members == nil || r.To != 3 || r.Kind != kindMembers {
				return nil, holdfast.Errorf(holdfast.NotLeader, "node 3 leads")
			}
			return members.Encode(), nil
		}
		return rs
	}
	schema := shard.Schema{Key: item.KeySchema{Hash: item.KeyAttr{Name: "id", Type: item.S}}}
	start := func(rs *replicas, id holdfast.ShardID) {
		t.Helper()
		sh, err := disk.Open(shard.Descriptor{ID: id, Space: holdfast.SpaceID(id)}, schema)
		if err == nil {
			err = rs.Start(sh)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	votes := func(rs *replicas, id holdfast.ShardID, want bool) {
		t.Helper()
		if r := rs.of(id); r == nil {
			t.Errorf("shard %d: got no replica; want one", id)
		} else if is, _ := r.Members(); is.Votes(4) != want {
			t.Errorf("shard %d: got the members %+v; want node 4 to vote: %t", id, *is, want)
		}
	}
	waits := func(rs *replicas, want ...holdfast.ShardID) {
		t.Helper()
		got := rs.joiner.list()
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("got %v, which wait to join; want %v", got, want)
		}
		for _, id := range got {
			if rs.of(id) != nil {
				t.Errorf("shard %d: got a replica; want none yet", id)
			}
		}
	}

	rs := open()
	start(rs, catalog.ShardID) // the catalog isn't known yet
	waits(rs, catalog.ShardID)
	n, err := nodesOf(&cluster.Identity{
		Members: []holdfast.NodeID{1, 2, 3}, Met: []cluster.Member{{Addr: "1"}, {Addr: "2"}, {Addr: "3"}},
	}).Replace(2, catalog.Node{Address: "4", Incarnation: "4"}, 50)
	if err != nil {
		t.Fatal(err)
	}
	if !rs.Follow(n) || !slices.Equal(m.roster.members(), []holdfast.NodeID{1, 3, 4}) {
		t.Errorf("got the members %v; want 1, 3 and 4, of which this node joins", m.roster.members())
	}
	start(rs, 49)
	start(rs, 50)
	waits(rs, catalog.ShardID, 49)
	votes(rs, 50, true)

	rs.joiner.try(t.Context(), 49) // nobody has the members yet
	members = &group.Members{Index: 7, Voters: []holdfast.NodeID{1, 2, 3, 4}}
	rs.joiner.try(t.Context(), 49)
	waits(rs, catalog.ShardID, 49) // such members are no learner's
	members = &group.Members{Index: 7, Voters: []holdfast.NodeID{1, 2, 3}, Learners: []holdfast.NodeID{4}}
	rs.joiner.try(t.Context(), 49)
	waits(rs, catalog.ShardID)
	votes(rs, 49, false)
	if err := rs.Stop(catalog.ShardID); err != nil { // as when a table is removed meanwhile
		t.Fatal(err)
	}
	rs.joiner.try(t.Context(), catalog.ShardID)
	waits(rs)
	if err := rs.host.Close(); err != nil {
		t.Fatal(err)
	}

	rs = open()
	members = nil
	start(rs, 49)
	start(rs, 50)
	waits(rs)
	votes(rs, 49, false)
	votes(rs, 50, true)
	if err := rs.host.Close(); err != nil {
		t.Fatal(err)
	}
}
