package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"holdfast/catalog"
	"holdfast/dynamodb"
	"holdfast/shard"
)

// A tablesSource is what the tables' metrics show: a *tables.
type tablesSource interface {
	requests() dynamodb.Stats
	diskStats() shard.Stats
	descriptions() []catalog.Description
}

var (
	tableRequests = counter("tables_requests_total", "Requests of DynamoDB's API by operation and result.", "op", "result")
	tableTimes    = metric{desc: prometheus.NewDesc("holdfast_tables_request_duration_seconds",
		"Time from receiving a request of DynamoDB's API until its response is ready.",
		[]string{"op"}, nil)}
	tableItems   = gauge("tables_items", "Items in the table.", "table")
	tableBytes   = gauge("tables_item_bytes", "Bytes of the table's items, as the API counts them.", "table")
	tableCommits = counter("tables_commits_total", "Commits on disk.")
	tableLog     = gauge("tables_log_bytes", "Bytes of the log of mutations, before compression.")
	tableDisk    = gauge("tables_disk_bytes", "Bytes of the data directory.")
	tableFree    = gauge("tables_disk_free_bytes", "Free bytes of the disk.")
	tableFull    = gauge("tables_disk_full", "1 while writes are refused because the disk is full.")
	tableStalls  = counter("tables_write_stalls_total", "How often writes had to wait for compactions.")
	tableDebt    = gauge("tables_compaction_debt_bytes", "Estimated bytes that compactions still have to move.")
	tableBlocks  = counter("tables_block_reads_total",
		"Blocks read, by whether they were in memory.", "result")
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
		tableFull, tableStalls, tableDebt, tableBlocks, tableCorrupt)
}

// Collect is prometheus.Collector's.
func (c *tablesCollector) Collect(out chan<- prometheus.Metric) {
	collectRequestsOfTables(out, c.source.requests())
	var others catalog.Description
	all := c.source.descriptions()
	for i, d := range all {
		if i >= maxTableLabels {
			others.Items += d.Items
			others.ItemBytes += d.ItemBytes
			continue
		}
		collectTable(out, d.Name, &d)
	}
	if len(all) > maxTableLabels {
		collectTable(out, otherTables, &others)
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

func collectTable(out scrape, name string, d *catalog.Description) {
	put(out, tableItems, d.Items, name)
	put(out, tableBytes, d.ItemBytes, name)
}

func (t *tables) requests() dynamodb.Stats { return t.handler.Stats() }

func (t *tables) diskStats() shard.Stats { return t.disk.Stats() }

// descriptions leaves out tables that are deleted while it runs.
func (t *tables) descriptions() (all []catalog.Description) {
	after := ""
	for more := true; more; {
		var names []string
		if names, more = t.store.List(after, maxTableLabels); len(names) == 0 {
			break
		}
		for _, name := range names {
			if d, err := t.store.Describe(name); err == nil {
				all = append(all, d)
			}
		}
		after = names[len(names)-1]
	}
	return all
}
