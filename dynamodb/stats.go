package dynamodb

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Stats are the number of requests since the start, and how long they took. The operations and
// results that they distinguish are few and known.
type Stats struct {
	Requests []RequestCount // sorted by operation and result; counts of 0 are left out
	Times    []RequestTimes // sorted by operation; operations without requests are left out
}

// RequestTimes are how long an operation's requests took, from the end of the body until the
// response was ready to send.
type RequestTimes struct {
	Operation string
	Sum       time.Duration
	N         uint64
	AtMost    []uint64 // AtMost[i] requests took TimeBounds()[i] or less
}

// TimeBounds returns the upper bounds of the histogram of times.
func TimeBounds() []time.Duration { return timeBounds[:] }

var timeBounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond,
	5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond,
	time.Second, 10 * time.Second,
}

// A RequestCount is how many requests for an operation had one result.
type RequestCount struct {
	Operation string // "" for requests that name no known operation
	Result    string // ok, condition, throttled, refused (any other 400), error (500 and above)
	N         uint64
}

// The results of requests.
const (
	resultOK = iota
	resultCondition
	resultThrottled
	resultRefused
	resultError
	results
)

var resultNames = [results]string{"ok", "condition", "throttled", "refused", "error"}

// A counter counts an operation's requests by result, and by how long they took.
type counter struct {
	results [results]atomic.Uint64
	times   [len(timeBounds) + 1]atomic.Uint64 // the last counts times above all bounds
	nanos   atomic.Int64
}

// took records how long a request took.
func (c *counter) took(d time.Duration) {
	i := 0
	for i < len(timeBounds) && d > timeBounds[i] {
		i++
	}
	c.times[i].Add(1)
	c.nanos.Add(int64(d))
}

// count records a response by its status and, for an error, its __type.
func (c *counter) count(status int, typ string) {
	result := resultRefused
	switch {
	case status == http.StatusOK:
		result = resultOK
	case status >= http.StatusInternalServerError:
		result = resultError
	case strings.HasSuffix(typ, "#ConditionalCheckFailedException"),
		strings.HasSuffix(typ, "#TransactionCanceledException"):
		result = resultCondition
	case strings.HasSuffix(typ, "#ProvisionedThroughputExceededException"), strings.HasSuffix(typ, "#ThrottlingException"):
		result = resultThrottled
	}
	c.results[result].Add(1)
}

// counters are the counters of all operations by name; "" counts requests for unknown operations.
// The map doesn't change.
type counters map[string]*counter

func newCounters(operations map[string]map[string]operation) counters {
	cs := counters{"": new(counter)}
	for _, named := range operations {
		for name := range named {
			cs[name] = new(counter)
		}
	}
	return cs
}

// stats returns the counts so far.
func (cs counters) stats() Stats {
	var s Stats
	for name, c := range cs {
		for result := range c.results {
			if n := c.results[result].Load(); n > 0 {
				s.Requests = append(s.Requests, RequestCount{name, resultNames[result], n})
			}
		}
		if times := c.timesOf(name); times.N > 0 {
			s.Times = append(s.Times, times)
		}
	}
	slices.SortFunc(s.Requests, func(a, b RequestCount) int {
		return cmp.Or(cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.Result, b.Result))
	})
	slices.SortFunc(s.Times, func(a, b RequestTimes) int { return cmp.Compare(a.Operation, b.Operation) })
	return s
}

func (c *counter) timesOf(operation string) RequestTimes {
	t := RequestTimes{Operation: operation, Sum: time.Duration(c.nanos.Load()), AtMost: make([]uint64, len(timeBounds))}
	for i := range c.times {
		t.N += c.times[i].Load()
		if i < len(timeBounds) {
			t.AtMost[i] = t.N
		}
	}
	return t
}
