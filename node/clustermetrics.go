package node

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast"
	"holdfast/group"
	"holdfast/rpc"
)

// A clusterSource is what the cluster's metrics show: a *member.
type clusterSource interface {
	own() Status // with a cluster
	frames() rpc.Counts
	snapshots() group.SnapshotCounts
	requestsElsewhere() (forwarded, repeated, failed uint64)
	comparisons() (results map[string]uint64, differ int)
}

var (
	clusterLeads = gauge("cluster_leads", "1 on the node that executes the requests of all nodes.")
	clusterSent  = counter("cluster_forwarded_total",
		"Requests of this node's clients that another node was to execute.")
	clusterRepeated = counter("cluster_forwarded_repeated_total",
		"Those that couldn't be executed at the first try.")
	clusterFailed = counter("cluster_forwarded_failed_total", "Those that no node has answered.")

	clusterCompared = counter("cluster_comparisons_total",
		"Comparisons of the replicas of a shard, of the groups that this node led, by result.", "result")
	clusterDiffer = gauge("cluster_differing_shards",
		"Shards whose replicas were found to differ when they were compared last, at the node that led.")

	groupReplicas  = gauge("group_replicas", "Replicas of shards on this node, by whether they lead.", "role")
	groupOrphans   = gauge("group_leaderless", "Replicas on this node that know no leader.")
	groupAwake     = gauge("group_awake", "Replicas on this node that are awake: their groups have something to do.")
	groupUnapplied = gauge("group_unapplied_entries",
		"Entries that are known to be committed, and that the replicas on this node haven't applied yet.")
	groupBehind = gauge("group_behind_entries",
		"Committed entries that aren't known to be on another node's disk, of the groups that this "+
			"node leads.", "member")

	groupLogBytes  = gauge("group_log_bytes", "Bytes of the entries in the logs of the replicas on this node, about.")
	groupSnapshots = counter("group_snapshots_total",
		"Snapshots of shards, by what became of them: sent or failed, received or refused.", "result")
	groupSnapshotBytes = counter("group_snapshot_bytes_total",
		"Bytes of parts of snapshots to and from other nodes.", "direction")
	groupLag = gauge("group_lag_seconds",
		"For how long, to a second, another node has lacked committed entries of a group that this node leads; "+
			"the longest of all groups.", "member")
	clusterHeard = gauge("cluster_heard_seconds",
		"Time since another node was heard; those are left out that weren't since the start.", "member")
	clusterProblems = gauge("cluster_problems", "What this node finds wrong in the cluster, by what it is.", "problem")

	groupOutdated = gauge("group_outdated",
		"Replicas that are known here to lack what they have acknowledged, by their node.", "member")

	rpcFrames  = counter("rpc_frames_total", "Frames to and from other nodes.", "direction")
	rpcBytes   = counter("rpc_bytes_total", "Bytes to and from other nodes.", "direction")
	rpcDropped = counter("rpc_dropped_total",
		"Frames to other nodes that were dropped: full queue, no connection, or lost with one.", "reason")
	rpcFaults = counter("rpc_faults_total",
		"Connections to and from other nodes that ended or didn't come about, by why.", "fault")
)

// A clusterCollector reads the cluster's counts once per scrape.
type clusterCollector struct{ source clusterSource }

// Describe is prometheus.Collector's.
func (c *clusterCollector) Describe(out chan<- *prometheus.Desc) {
	describeAll(out, clusterLeads, clusterSent, clusterRepeated, clusterFailed, clusterCompared, clusterDiffer,
		clusterHeard, clusterProblems, groupReplicas, groupOrphans, groupAwake, groupUnapplied, groupBehind, groupLag,
		groupLogBytes, groupSnapshots, groupSnapshotBytes, groupOutdated, rpcFrames, rpcBytes, rpcDropped, rpcFaults)
}

// Collect is prometheus.Collector's.
func (c *clusterCollector) Collect(out chan<- prometheus.Metric) {
	s := c.source.own()
	put(out, clusterLeads, flag(s.Cluster.Leads))
	forwarded, repeated, failed := c.source.requestsElsewhere()
	put(out, clusterSent, forwarded)
	put(out, clusterRepeated, repeated)
	put(out, clusterFailed, failed)
	results, differ := c.source.comparisons()
	for _, result := range []string{Equal, Incomplete, Differs, Undecided} {
		put(out, clusterCompared, results[result], result)
	}
	put(out, clusterDiffer, int64(differ))
	collectGroups(out, s.Cluster.Node, s.Shards)
	collectMembers(out, &s)
	taken := c.source.snapshots()
	put(out, groupSnapshots, taken.Sent, "sent")
	put(out, groupSnapshots, taken.Failed, "failed")
	put(out, groupSnapshots, taken.Received, "received")
	put(out, groupSnapshots, taken.Refused, "refused")
	put(out, groupSnapshotBytes, taken.SentBytes, "sent")
	put(out, groupSnapshotBytes, taken.ReceivedBytes, "received")
	n := c.source.frames()
	put(out, rpcFrames, n.FramesSent, "sent")
	put(out, rpcFrames, n.FramesReceived, "received")
	put(out, rpcBytes, n.BytesSent, "sent")
	put(out, rpcBytes, n.BytesReceived, "received")
	put(out, rpcDropped, n.DroppedFull, "full")
	put(out, rpcDropped, n.DroppedAway, "away")
	put(out, rpcDropped, n.DroppedLost, "lost")
	for fault, count := range n.Faults {
		put(out, rpcFaults, count, fault.String())
	}
}

func collectGroups(out scrape, self holdfast.NodeID, all []ShardStatus) {
	var leaders, leaderless, awake int64
	unapplied, logBytes := uint64(0), uint64(0)
	behind, outdated := map[holdfast.NodeID]uint64{}, map[holdfast.NodeID]uint64{}
	for i := range all {
		s := &all[i]
		switch s.Leader {
		case 0:
			leaderless++
		case self:
			leaders++
		}
		if !s.Asleep {
			awake++
		}
		unapplied += s.Committed - min(s.Committed, s.Applied)
		logBytes += s.LogBytes
		for member, n := range s.Behind {
			behind[member] += n
		}
		for _, member := range s.Outdated {
			outdated[member]++
		}
	}
	put(out, groupReplicas, leaders, "leader")
	put(out, groupReplicas, int64(len(all))-leaders, "follower")
	put(out, groupOrphans, leaderless)
	put(out, groupAwake, awake)
	put(out, groupUnapplied, unapplied)
	put(out, groupLogBytes, logBytes)
	for member, n := range behind {
		put(out, groupBehind, n, strconv.FormatUint(uint64(member), 10))
	}
	for member, n := range outdated {
		put(out, groupOutdated, n, strconv.FormatUint(uint64(member), 10))
	}
}

func collectMembers(out scrape, s *Status) {
	for _, m := range s.Cluster.Members {
		member := strconv.FormatUint(uint64(m.ID), 10)
		if m.Heard != nil {
			put(out, clusterHeard, *m.Heard, member)
		}
		if m.Behind != nil {
			put(out, groupLag, m.Behind.Seconds, member)
		}
	}
	found := map[string]int64{}
	for _, p := range s.Problems {
		found[p.Code]++
	}
	for _, code := range problemCodes {
		put(out, clusterProblems, found[code], code)
	}
}

func (m *member) snapshots() group.SnapshotCounts {
	if host := m.host.Load(); host != nil {
		return host.Snapshots()
	}
	return group.SnapshotCounts{}
}
func (m *member) own() Status { return m.node() }

func (m *member) comparisons() (results map[string]uint64, differ int) {
	return m.compared.results(), len(m.compared.differing())
}

func (m *member) frames() rpc.Counts { return m.transport.Counts() }

func (m *member) requestsElsewhere() (forwarded, repeated, failed uint64) {
	f := &m.forwarder
	return f.forwarded.Load(), f.repeated.Load(), f.failed.Load()
}
