package replay

import "time"

// A Report is what a replay found. Its JSON has times in seconds, latencies in microseconds.
type Report struct {
	Trace   string `json:"trace"`
	Format  Format `json:"format,omitempty"`
	Server  string `json:"server"`
	Stopped string `json:"stopped,omitempty"` // why it ended before the trace did; "" if it didn't

	Version     string `json:"version,omitempty"`      // that the server reports
	MemoryBytes int64  `json:"memory_bytes,omitempty"` // its limit; 0 if it reports none
	Items       int64  `json:"items"`                  // that it holds at the end; -1 if it reports none
	Evictions   int64  `json:"evictions"`              // during the replay; likewise

	Requests  int64   `json:"requests"` // hits, misses and failed gets
	Keys      int64   `json:"keys"`     // different ones
	KeysExact bool    `json:"keys_exact"`
	DataBytes int64   `json:"data_bytes"` // of all keys with their values, if all were held
	Hits      int64   `json:"hits"`
	Misses    int64   `json:"misses"`
	HitRate   float64 `json:"hit_rate"`  // hits/requests
	HitBytes  int64   `json:"hit_bytes"` // of the values in hits

	GetErrors   int64     `json:"get_errors"`   // the server answered SERVER_ERROR; loaded, not set
	SetsRefused int64     `json:"sets_refused"` // likewise, or NOT_STORED
	Refusals    []Refusal `json:"refusals,omitempty"`

	LoadedBytes int64   `json:"loaded_bytes"` // of the values that were loaded
	LoadDelay   Seconds `json:"load_delay_s"`
	LoadSaved   Seconds `json:"load_saved_s"` // time in loads that the hits saved

	Connections int     `json:"connections"`
	Pipeline    int     `json:"pipeline"`
	Elapsed     Seconds `json:"elapsed_s"`
	PerSecond   float64 `json:"requests_per_second"`
	Latency     Latency `json:"get_latency"`

	Over    []Point `json:"hit_rate_over_time"`
	Skipped []Skip  `json:"skipped,omitempty"` // lines of the trace that are no request
}

// A Point is the hit rate of the requests from the point before up to request Through.
type Point struct {
	Through int64   `json:"through"`
	HitRate float64 `json:"hit_rate"`
}

// A Refusal counts one answer by which the server refused gets or sets.
type Refusal struct {
	Answer string `json:"answer"`
	Count  int64  `json:"count"`
}

// Latency is the time from writing a get to reading its answer, the answers before it in the
// pipeline included.
type Latency struct {
	P50  Micros `json:"p50_us"`
	P90  Micros `json:"p90_us"`
	P99  Micros `json:"p99_us"`
	P999 Micros `json:"p999_us"`
	Max  Micros `json:"max_us"`
}

// Seconds is a duration that JSON shows in seconds.
type Seconds time.Duration

// MarshalJSON implements json.Marshaler.
func (s Seconds) MarshalJSON() ([]byte, error) { return marshalFloat(time.Duration(s).Seconds()) }

// Micros is a duration that JSON shows in microseconds.
type Micros time.Duration

// MarshalJSON implements json.Marshaler.
func (m Micros) MarshalJSON() ([]byte, error) { return marshalFloat(float64(m) / 1e3) }
