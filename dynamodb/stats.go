package dynamodb

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
)

// Stats are how many requests there were since the start. Their operations and results are few and known.
type Stats struct {
	Requests []RequestCount // sorted by operation and result; none that is 0
}

// A RequestCount is how many requests for an operation ended in a result.
type RequestCount struct {
	Operation string // "" where the request named none that there is
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

// A counter counts an operation's requests by result.
type counter [results]atomic.Uint64

// count counts an answer with its status and, of an error, its __type.
func (c *counter) count(status int, typ string) {
	result := resultRefused
	switch {
	case status == http.StatusOK:
		result = resultOK
	case status >= http.StatusInternalServerError:
		result = resultError
	case strings.HasSuffix(typ, "#ConditionalCheckFailedException"), strings.HasSuffix(typ, "#TransactionCanceledException"):
		result = resultCondition
	case strings.HasSuffix(typ, "#ProvisionedThroughputExceededException"), strings.HasSuffix(typ, "#ThrottlingException"):
		result = resultThrottled
	}
	c[result].Add(1)
}

// Stats returns the counts.
func (h *Handler) Stats() Stats {
	var s Stats
	for name, c := range h.counters {
		for result := range c {
			if n := c[result].Load(); n > 0 {
				s.Requests = append(s.Requests, RequestCount{name, resultNames[result], n})
			}
		}
	}
	slices.SortFunc(s.Requests, func(a, b RequestCount) int {
		return cmp.Or(cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.Result, b.Result))
	})
	return s
}
