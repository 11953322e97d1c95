package node

import (
	"reflect"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"holdfast"
	"holdfast/group"
	"holdfast/rpc"
)

// A fakeMember is node 1, which leads two of four groups and knows no leader of another.
type fakeMember struct{}

func (fakeMember) own() Status {
	heard := 2.5
	return Status{
		Cluster: &ClusterStatus{Node: 1, Leader: 1, Leads: true, Members: []MemberStatus{
			{ID: 1}, {ID: 2, Heard: &heard, Behind: &BehindStatus{Shards: 1, Transactions: 1, Seconds: 0.5}},
			{ID: 3, Behind: &BehindStatus{Shards: 2, Transactions: 6, Seconds: 12, More: true}},
		}},
		Shards: []ShardStatus{
			{ID: 1, Leader: 1, Committed: 10, Applied: 8, LogBytes: 100, Behind: map[holdfast.NodeID]uint64{2: 0, 3: 4}},
			{ID: 2, Leader: 1, Committed: 3, Applied: 3, Behind: map[holdfast.NodeID]uint64{2: 1, 3: 2},
				Outdated: []holdfast.NodeID{3}},
			{ID: 3, Leader: 2, Committed: 4, Applied: 9, LogBytes: 10},
			{ID: 4, Committed: 5, Applied: 4},
		},
		Problems: []Problem{{Code: ProblemShards}, {Code: ProblemShards}, {Code: ProblemSilent}},
	}
}

func (fakeMember) frames() rpc.Counts {
	return rpc.Counts{FramesSent: 5, BytesReceived: 7, DroppedLost: 2, Faults: map[rpc.Fault]uint64{rpc.Silent: 3}}
}

func (fakeMember) snapshots() group.SnapshotCounts {
	return group.SnapshotCounts{Sent: 1, Failed: 2, Received: 3, Refused: 4, SentBytes: 500, ReceivedBytes: 600}
}

func (fakeMember) requestsElsewhere() (forwarded, repeated, failed uint64) { return 9, 2, 1 }

func (fakeMember) comparisons() (results map[string]uint64, differ int) {
	return map[string]uint64{Equal: 7, Undecided: 1}, 1
}

func TestClusterMetrics(t *testing.T) {
	want := `
# HELP holdfast_cluster_comparisons_total Comparisons of the replicas of a shard, of the groups that this node led, by result.
# TYPE holdfast_cluster_comparisons_total counter
holdfast_cluster_comparisons_total{result="differs"} 0
holdfast_cluster_comparisons_total{result="equal"} 7
holdfast_cluster_comparisons_total{result="incomplete"} 0
holdfast_cluster_comparisons_total{result="undecided"} 1
# HELP holdfast_cluster_differing_shards Shards whose replicas were found to differ when they were compared last, at the node that led.
# TYPE holdfast_cluster_differing_shards gauge
holdfast_cluster_differing_shards 1
# HELP holdfast_cluster_heard_seconds Time since another node was heard; those are left out that weren't since the start.
# TYPE holdfast_cluster_heard_seconds gauge
holdfast_cluster_heard_seconds{member="2"} 2.5
# HELP holdfast_cluster_problems What this node finds wrong in the cluster, by what it is.
# TYPE holdfast_cluster_problems gauge
holdfast_cluster_problems{problem="acknowledge_unmet"} 0
holdfast_cluster_problems{problem="disk_full"} 0
holdfast_cluster_problems{problem="hangs"} 0
holdfast_cluster_problems{problem="no_leader"} 0
holdfast_cluster_problems{problem="no_majority"} 0
holdfast_cluster_problems{problem="node_silent"} 1
holdfast_cluster_problems{problem="outdated"} 0
holdfast_cluster_problems{problem="replica_lags"} 0
holdfast_cluster_problems{problem="replicas_differ"} 0
holdfast_cluster_problems{problem="shards_leaderless"} 2
holdfast_cluster_problems{problem="starting"} 0
# HELP holdfast_group_lag_seconds For how long, to a second, another node has lacked committed entries of a group that this node leads; the longest of all groups.
# TYPE holdfast_group_lag_seconds gauge
holdfast_group_lag_seconds{member="2"} 0.5
holdfast_group_lag_seconds{member="3"} 12
# HELP holdfast_group_behind_entries Committed entries that aren't known to be on another node's disk, of the groups that this node leads.
# TYPE holdfast_group_behind_entries gauge
holdfast_group_behind_entries{member="2"} 1
holdfast_group_behind_entries{member="3"} 6
# HELP holdfast_group_leaderless Replicas on this node that know no leader.
# TYPE holdfast_group_leaderless gauge
holdfast_group_leaderless 1
# HELP holdfast_group_log_bytes Bytes of the entries in the logs of the replicas on this node, about.
# TYPE holdfast_group_log_bytes gauge
holdfast_group_log_bytes 110
# HELP holdfast_group_outdated Replicas that are known here to lack what they have acknowledged, by their node.
# TYPE holdfast_group_outdated gauge
holdfast_group_outdated{member="3"} 1
# HELP holdfast_group_replicas Replicas of shards on this node, by whether they lead.
# TYPE holdfast_group_replicas gauge
holdfast_group_replicas{role="follower"} 2
holdfast_group_replicas{role="leader"} 2
# HELP holdfast_group_snapshot_bytes_total Bytes of parts of snapshots to and from other nodes.
# TYPE holdfast_group_snapshot_bytes_total counter
holdfast_group_snapshot_bytes_total{direction="received"} 600
holdfast_group_snapshot_bytes_total{direction="sent"} 500
# HELP holdfast_group_snapshots_total Snapshots of shards, by what became of them: sent or failed, received or refused.
# TYPE holdfast_group_snapshots_total counter
holdfast_group_snapshots_total{result="failed"} 2
holdfast_group_snapshots_total{result="received"} 3
holdfast_group_snapshots_total{result="refused"} 4
holdfast_group_snapshots_total{result="sent"} 1
# HELP holdfast_group_unapplied_entries Entries that are known to be committed, and that the replicas on this node haven't applied yet.
# TYPE holdfast_group_unapplied_entries gauge
holdfast_group_unapplied_entries 3
# HELP holdfast_rpc_faults_total Connections to and from other nodes that ended or didn't come about, by why.
# TYPE holdfast_rpc_faults_total counter
holdfast_rpc_faults_total{fault="silent"} 3
`
	c := &clusterCollector{source: fakeMember{}}
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), "holdfast_cluster_comparisons_total",
		"holdfast_cluster_differing_shards", "holdfast_cluster_heard_seconds",
		"holdfast_cluster_problems", "holdfast_group_lag_seconds", "holdfast_group_behind_entries",
		"holdfast_group_leaderless", "holdfast_group_outdated", "holdfast_group_replicas",
		"holdfast_group_unapplied_entries", "holdfast_group_log_bytes", "holdfast_group_snapshots_total",
		"holdfast_group_snapshot_bytes_total",
		"holdfast_rpc_faults_total"); err != nil {
		t.Error(err)
	}
}

func TestShardStatus(t *testing.T) {
	g := group.Status{Term: 3, Leader: 1, Applied: 7, Committed: 9, LogBytes: 77,
		Match: map[holdfast.NodeID]uint64{1: 9, 2: 4, 3: 12}, Learning: map[holdfast.NodeID]uint64{4: 0},
		Outdated: []holdfast.NodeID{4}}
	want := ShardStatus{ID: 5, Leader: 1, Term: 3, Committed: 9, Applied: 7, LogBytes: 77}
	want.Behind = map[holdfast.NodeID]uint64{2: 5, 3: 0}
	want.Replicas = []ReplicaStatus{{Node: 2, Behind: 5}, {Node: 3}, {Node: 4, Learner: true, Behind: 9, Outdated: true,
		Unheard: true}}
	want.Outdated = []holdfast.NodeID{4}
	if got := shardStatus(1, 5, g); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v; want %+v", got, want)
	}
	g.Match, want.Behind, want.Replicas = nil, nil, nil
	if got := shardStatus(2, 5, g); !reflect.DeepEqual(got, want) {
		t.Errorf("a follower: got %+v; want %+v", got, want)
	}
}
