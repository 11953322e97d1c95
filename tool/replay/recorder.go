package replay

import (
	"slices"
	"sync"
	"time"
)

// recorder collects the results of all connections of a replay.
type recorder struct {
	mu       sync.Mutex // guards all below
	report   Report
	over     *timeline
	distinct *distinct
	latency  histogram
	progress func(requests, hits int64)
	reported int64 // requests at the last call of progress
}

// progressEvery is the least number of requests between two calls of Options.Progress.
const progressEvery = 1000

// maxRefusals bounds the different answers that are counted; the last one counts all others.
const maxRefusals = 8

func newRecorder(o Options) *recorder {
	return &recorder{
		report: Report{
			Server:      o.Server,
			Connections: o.Connections,
			Pipeline:    o.Pipeline,
			LoadDelay:   Seconds(o.LoadDelay),
			Items:       -1,
			Evictions:   -1,
		},
		over:     newTimeline(o.Points),
		distinct: newDistinct(maxDistinctHashes),
		progress: o.Progress,
	}
}

// add records the gets that were answered.
func (r *recorder) add(batch []play) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range batch {
		r.addOne(&batch[i])
	}
	if r.progress != nil && r.report.Requests-r.reported >= progressEvery {
		r.reported = r.report.Requests
		r.progress(r.report.Requests, r.report.Hits)
	}
}

func (r *recorder) addOne(p *play) {
	rep := &r.report
	rep.Requests++
	r.latency.add(p.latency)
	r.over.add(p.seq, p.answer.hit)
	r.distinct.add(p.key, int64(len(p.key)+p.valueBytes))
	switch {
	case p.answer.hit:
		rep.Hits++
		rep.HitBytes += p.answer.valueBytes
		return
	case p.answer.refusal != "":
		rep.GetErrors++
		r.refusal(p.answer.refusal)
	default:
		rep.Misses++
	}
	rep.LoadedBytes += int64(p.valueBytes)
}

// setRefused records a set that the server refused.
func (r *recorder) setRefused(answer string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.SetsRefused++
	r.refusal(answer)
}

func (r *recorder) refusal(answer string) {
	list := r.report.Refusals
	i := slices.IndexFunc(list, func(a Refusal) bool { return a.Answer == answer })
	switch {
	case i < 0 && len(list) < maxRefusals:
		r.report.Refusals = append(list, Refusal{Answer: answer, Count: 1})
		return
	case i < 0:
		i = len(list) - 1
		list[i].Answer = "other answers"
	}
	list[i].Count++
}

// finish returns the report of a replay that took elapsed.
func (r *recorder) finish(o Options, elapsed time.Duration) Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	rep := r.report
	if r.progress != nil {
		r.progress(rep.Requests, rep.Hits)
	}
	rep.Keys, rep.KeysExact, rep.DataBytes = r.distinct.keys(), r.distinct.exact(), r.distinct.totalBytes()
	rep.HitRate = share(rep.Hits, rep.Requests)
	rep.LoadSaved = Seconds(time.Duration(rep.Hits) * o.LoadDelay)
	rep.Elapsed = Seconds(elapsed)
	if elapsed > 0 {
		rep.PerSecond = float64(rep.Requests) / elapsed.Seconds()
	}
	rep.Latency = Latency{
		P50:  Micros(r.latency.quantile(0.5)),
		P90:  Micros(r.latency.quantile(0.9)),
		P99:  Micros(r.latency.quantile(0.99)),
		P999: Micros(r.latency.quantile(0.999)),
		Max:  Micros(r.latency.max),
	}
	rep.Over = r.over.points(o.Points)
	return rep
}
