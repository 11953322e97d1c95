package replay

import (
	"fmt"
	"io"
	"math"
	"time"
)

// Options say how a trace is read and how it is played. The zero value of a field means its
// default.
type Options struct {
	// What Open uses.

	Format Format    // default: detected from the content, then the name
	Zipf   Zipf      // the load that Open generates if Format is FormatZipf
	Stdin  io.Reader // the input for the name "-"

	// KeyBytes pads shorter keys to this size: numbers with zeros on the left, other keys with
	// dots on the right. Default: 20 for numbers, 0 for other keys; at most MaxKeyBytes.
	KeyBytes int

	// What Run uses.

	Server      string        // host:port, host (port 11211), or the path of a Unix socket
	ValueBytes  int           // of every value; default: the trace's sizes, and 1000 where it has none
	TTL         time.Duration // of every item; default: the trace's; negative: none
	Connections int           // default 1, which keeps the trace's order
	Pipeline    int           // requests in flight on a connection; default 1, at most MaxPipeline
	LoadDelay   time.Duration // how long a load after a miss takes; default 0
	Limit       int64         // requests to play; default: all
	Speed       float64       // relative to the trace's time, 2 is twice as fast; default: as fast as the server answers
	Points      int           // of the hit rate over time; default 20
	Flush       bool          // flush_all first
	Timeout     time.Duration // for connecting and for each batch of answers; default 10 s

	// Progress, if set, is called from time to time with the requests played and the hits so far, by
	// one goroutine at a time.
	Progress func(requests, hits int64)
}

// Zipf describes a generated load, in which the key of rank i is requested with a probability
// proportional to 1/i^Skew.
type Zipf struct {
	Keys     uint64  // default 1,000,000
	Skew     float64 // 0 requests every key equally often; about 1 is typical of caches
	Requests int64   // default 1,000,000
	Seed     uint64  // equal seeds give equal loads
}

// Limits of what Options accept, and what they default to.
const (
	MaxKeyBytes   = 250 // memcached's KEY_MAX_LENGTH
	MaxPipeline   = 256 // gets that are written before an answer is read, which must fit in socket buffers
	MaxValueBytes = 1 << 30
	maxConns      = 1024
	maxPoints     = 10000

	defaultValueBytes  = 1000
	defaultNumberBytes = 20
	defaultPoints      = 20
	defaultTimeout     = 10 * time.Second
)

// checkSource checks the fields that Open uses, and sets their defaults.
func (o *Options) checkSource() error {
	if o.KeyBytes < 0 || o.KeyBytes > MaxKeyBytes {
		return fmt.Errorf("key size: %d bytes; at most %d", o.KeyBytes, MaxKeyBytes)
	}
	if o.Format != "" && !o.Format.known() {
		return fmt.Errorf("format %q: want one of %v", o.Format, Formats)
	}
	return o.Zipf.check()
}

func (z *Zipf) check() error {
	if z.Keys == 0 {
		z.Keys = 1_000_000
	}
	if z.Requests == 0 {
		z.Requests = 1_000_000
	}
	if z.Keys > 1<<40 {
		return fmt.Errorf("zipf: %d keys; at most 2^40", z.Keys)
	}
	if z.Requests < 0 {
		return fmt.Errorf("zipf: %d requests", z.Requests)
	}
	if !(z.Skew >= 0 && z.Skew <= 10) {
		return fmt.Errorf("zipf: skew %v is not in [0, 10]", z.Skew)
	}
	return nil
}

// checkRun checks the fields that Run uses, and sets their defaults.
func (o *Options) checkRun() error {
	for _, n := range []struct {
		what           string
		got            *int
		otherwise, max int
	}{
		{"connections", &o.Connections, 1, maxConns},
		{"pipeline", &o.Pipeline, 1, MaxPipeline},
		{"points", &o.Points, defaultPoints, maxPoints},
		{"value size", &o.ValueBytes, 0, MaxValueBytes},
	} {
		if *n.got == 0 {
			*n.got = n.otherwise
		}
		if *n.got < 0 || *n.got > n.max {
			return fmt.Errorf("%s: %d; at most %d", n.what, *n.got, n.max)
		}
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Timeout < 0 || o.LoadDelay < 0 {
		return fmt.Errorf("timeout %v, load delay %v: a time can't be negative", o.Timeout, o.LoadDelay)
	}
	if o.Limit < 0 {
		return fmt.Errorf("limit: %d requests", o.Limit)
	}
	if !(o.Speed >= 0 && o.Speed < math.Inf(1)) {
		return fmt.Errorf("speed: %v; want 0 for as fast as possible, or a factor of the trace's time", o.Speed)
	}
	if o.Server == "" {
		return fmt.Errorf("no server to replay against")
	}
	return nil
}
