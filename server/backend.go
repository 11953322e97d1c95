package server

import (
	"time"

	"holdfast/mc"
)

// A Backend serves item requests. It may also implement the optional interfaces below. New looks
// for them once, so a request costs no type assertion; a command whose interface is missing gets
// the answer that the interface's comment names.
//
// The methods of the optional interfaces are called on event loops, so they return quickly.
type Backend interface{ mc.Handler }

// A StatsReporter is a Backend with statistics of its own. Without it, "stats" shows the server's
// alone and other groups are answered ERROR.
type StatsReporter interface {
	// Stats appends a group of statistics to dst, as lines "STAT name value\r\n". The group is "" for
	// those of "stats", else what followed it: "settings" (the backend's part of them), "items",
	// "slabs", "sizes", "whatif", "detail dump", "cachedump 1 100". It returns false for a group
	// that it doesn't know.
	Stats(dst []byte, group string) ([]byte, bool)
}

// A StatsResetter is a Backend whose counters "stats reset" sets to zero. Without it, that command
// resets the server's alone.
type StatsResetter interface{ ResetStats() }

// A PrefixCounter is a Backend that counts by key prefix while "stats detail on" is in force.
// Without it, "stats detail on|off" is answered ERROR.
type PrefixCounter interface{ Detail(on bool) }

// A Dumper is a Backend that lists its items. Without it, dumps are refused as by Options.NoDump.
type Dumper interface {
	// Dump appends to dst a bounded number of items from cursor on, which is 0 at first, and returns
	// where to go on, 0 at the end. The lines are those of "lru_crawler metadump": "key=… exp=… la=…
	// cas=… fetch=… cls=… size=… flags=…\n", or with mgdump those of that: "mg key\r\n".
	Dump(dst []byte, cursor uint64, mgdump bool) ([]byte, uint64)
}

// A Clock is a Backend whose time debugtime moves, for tests. Without it, that command is answered
// ERROR.
type Clock interface {
	AdvanceClock(by time.Duration)
	PauseClock(paused bool)
}

// A Prefetcher is a Backend that serves faster if it knows several batches before it serves the
// first: their waits for memory, which are most of the time of a short request, then overlap.
// Without it, each batch is served as soon as it has been decoded.
type Prefetcher interface {
	// Prefetch is called with some batches whose Serve follows at once, one after the other. It
	// changes nothing but their requests' Hash.
	Prefetch(batches []*mc.Batch)
}

// optional are a Backend's optional interfaces, nil where it doesn't implement one. They are set
// once, by New.
type optional struct {
	stats      StatsReporter
	resetter   StatsResetter
	prefixes   PrefixCounter
	dumper     Dumper
	clock      Clock
	prefetcher Prefetcher
}

func optionalOf(b Backend) optional {
	var o optional
	o.stats, _ = b.(StatsReporter)
	o.resetter, _ = b.(StatsResetter)
	o.prefixes, _ = b.(PrefixCounter)
	o.dumper, _ = b.(Dumper)
	o.clock, _ = b.(Clock)
	o.prefetcher, _ = b.(Prefetcher)
	return o
}
