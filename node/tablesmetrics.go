package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"holdfast/dynamodb"
	"holdfast/session"
	"holdfast/shard"
	"holdfast/table"
)

// A tablesSource is what the tables' metrics show: a *tables.
type tablesSource interface {
	requests() dynamodb.Stats
	diskStats() shard.Stats
	tableStats() []table.TableStats // by name
	sessionStats() session.Stats
}

var (
	tableRequests = counter("tables_requests_total", "Requests of DynamoDB's API by operation and result.", "op", "result")
	tableTimes    = metric{desc: prometheus.NewDesc("holdfast_tables_request_duration_seconds",
		"Time from receiving a request of DynamoDB's API until its response is ready.",
		[]string{"op"}, nil)}
	tableItems = gauge("tables_items", "Items in the table.", "table")
	tableBytes = gauge("tables_item_bytes", "Bytes of the table's items, as the API counts them.", "table")
	indexLag   = gauge("tables_index_lag_transactions",
		"Transactions on disk that a global index of the table hasn't applied yet.", "table")
	indexLagP50 = gauge("tables_index_lag_p50_seconds",
		"Median time from when a change was on disk until the table's global indexes had it, since the start.", "table")
	indexLagP99  = gauge("tables_index_lag_p99_seconds", "The 99th percentile of that time.", "table")
	indexApplied = counter("tables_index_changes_total",
		"Changes that the table's global indexes have applied.", "table")
	indexLate = counter("tables_index_late_queries_total",
		"Queries of the table's global indexes that were answered before the index had caught up.", "table")
	tableCommits = counter("tables_commits_total", "Commits on disk.")
	tableLog     = gauge("tables_log_bytes", "Bytes of the log of mutations, before compression.")
	tableDisk    = gauge("tables_disk_bytes", "Bytes of the data directory.")
	tableFree    = gauge("tables_disk_free_bytes", "Free bytes of the disk.")
	tableFull    = gauge("tables_disk_full", "1 while writes are refused because the disk is full.")
	tableStalls  = counter("tables_write_stalls_total", "How often writes had to wait for compactions.")
	tableDebt    = gauge("tables_compaction_debt_bytes", "Estimated bytes that compactions still have to move.")
	tableBlocks  = counter("tables_block_reads_total",
		"Blocks read, by whether they were in memory.", "result")
	sessionsKept  = gauge("tables_sessions", "Sessions named by clients that are bound to this node.")
	sessionsBytes = gauge("tables_sessions_bytes", "Bytes that they take, approximately.")
	sessionsAsked = counter("tables_session_requests_total",
		"Requests that name a session, by whether this node knew what it had seen.", "session")
	sessionsMoved = counter("tables_session_moved_requests_total",
		"Requests whose session wasn't bound to this node any more when they were answered.")
	sessionsDropped = counter("tables_sessions_dropped_total",
		"Sessions that this node has forgotten, by why.", "reason")
	tableCorrupt = counter("tables_corrupt_reads_total", "Reads that found a block whose checksum is wrong.")
)

// A tablesCollector reads the tables' counts once per scrape.
type tablesCollector struct{ source tablesSource }

// Clients create tables, so the number of values of the label "table" is bounded. The first tables
// by name have a label; the others are counted together.
const (
	maxTableLabels = 1000
	otherTables    = "(other)"
)

// Describe is prometheus.Collector's.
func (c *tablesCollector) Describe(out chan<- *prometheus.Desc) {
	describeAll(out, tableRequests, tableTimes, tableItems, tableBytes, tableCommits, tableLog, tableDisk, tableFree,
		indexLag, indexLagP50, indexLagP99, indexApplied, indexLate, tableFull, tableStalls, tableDebt, tableBlocks,
		tableCorrupt, sessionsKept, sessionsBytes, sessionsAsked, sessionsMoved, sessionsDropped)
}

// Collect is prometheus.Collector's.
func (c *tablesCollector) Collect(out chan<- prometheus.Metric) {
	collectRequestsOfTables(out, c.source.requests())
	others := table.TableStats{Name: otherTables}
	all := c.source.tableStats()
	for i := range all {
		if i < maxTableLabels {
			collectTable(out, &all[i])
		} else {
			addTable(&others, &all[i])
		}
	}
	if len(all) > maxTableLabels {
		collectTable(out, &others)
	}
	disk := c.source.diskStats()
	put(out, tableCommits, disk.Commits)
	put(out, tableLog, disk.LogBytes)
	put(out, tableDisk, disk.DiskBytes)
	put(out, tableFree, disk.FreeBytes)
	put(out, tableFull, flag(disk.Full))
	put(out, tableStalls, disk.WriteStalls)
	put(out, tableDebt, disk.CompactionDebtBytes)
	put(out, tableBlocks, disk.CacheHits, "hit")
	put(out, tableBlocks, disk.CacheMisses, "miss")
	put(out, tableCorrupt, disk.CorruptReads)
	collectSessions(out, c.source.sessionStats())
}

func collectSessions(out scrape, s session.Stats) {
	put(out, sessionsKept, int64(s.Kept))
	put(out, sessionsBytes, s.Bytes)
	put(out, sessionsAsked, s.Known, "known")
	put(out, sessionsAsked, s.Unknown, "unknown")
	put(out, sessionsMoved, s.Moved)
	put(out, sessionsDropped, s.DroppedFull, "full")
	put(out, sessionsDropped, s.DroppedIdle, "idle")
	put(out, sessionsDropped, s.DroppedElsewhere, "elsewhere")
	put(out, sessionsDropped, s.DroppedLease, "lease")
}

func collectRequestsOfTables(out scrape, all dynamodb.Stats) {
	for _, r := range all.Requests {
		put(out, tableRequests, r.N, operationLabel(r.Operation), r.Result)
	}
	for _, t := range all.Times {
		buckets := map[float64]uint64{}
		for i, bound := range dynamodb.TimeBounds() {
			buckets[bound.Seconds()] = t.AtMost[i]
		}
		out <- prometheus.MustNewConstHistogram(tableTimes.desc, t.N, t.Sum.Seconds(), buckets, operationLabel(t.Operation))
	}
}

// operationLabel also has a name for requests of no known operation.
func operationLabel(operation string) string {
	if operation == "" {
		return "(unknown)"
	}
	return operation
}

func collectTable(out scrape, t *table.TableStats) {
	put(out, tableItems, t.Items, t.Name)
	put(out, tableBytes, t.ItemBytes, t.Name)
	if !t.Follows {
		return
	}
	put(out, indexLag, t.Lag.Transactions, t.Name)
	put(out, indexLagP50, t.Lag.P50.Seconds(), t.Name)
	put(out, indexLagP99, t.Lag.P99.Seconds(), t.Name)
	put(out, indexApplied, t.Lag.Applied, t.Name)
	put(out, indexLate, t.Lag.Late, t.Name)
}

// addTable adds a table to others. Lags don't add up: theirs is the longest.
func addTable(others, t *table.TableStats) {
	others.Items += t.Items
	others.ItemBytes += t.ItemBytes
	others.Follows = others.Follows || t.Follows
	sum, lag := &others.Lag, &t.Lag
	sum.Transactions = max(sum.Transactions, lag.Transactions)
	sum.P50, sum.P99 = max(sum.P50, lag.P50), max(sum.P99, lag.P99)
	sum.Applied += lag.Applied
	sum.Late += lag.Late
}

func (t *tables) requests() dynamodb.Stats { return t.handler.Stats() }

func (t *tables) diskStats() shard.Stats { return t.disk.Stats() }

func (t *tables) sessionStats() session.Stats { return t.sessions.keeper.Stats() }

func (t *tables) tableStats() []table.TableStats { return t.store.Stats() }
