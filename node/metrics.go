package node

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"holdfast"
)

// newRegistry returns a registry of this node alone, with the metrics of its parts, the Go runtime
// and the process.
func newRegistry(parts ...prometheus.Collector) *prometheus.Registry {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "holdfast_build_info",
		Help:        "Always 1; the labels name the versions.",
		ConstLabels: prometheus.Labels{"version": holdfast.Version, "go_version": runtime.Version()},
	})
	build.Set(1)
	r := prometheus.NewRegistry()
	r.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r.MustRegister(parts...)
	return r
}

// A metric is one name with its help and its labels.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func counter(name, help string, labels ...string) metric {
	return metric{prometheus.NewDesc("holdfast_"+name, help, labels, nil), prometheus.CounterValue}
}

func gauge(name, help string, labels ...string) metric {
	return metric{prometheus.NewDesc("holdfast_"+name, help, labels, nil), prometheus.GaugeValue}
}

// A scrape is where collectors put what they read.
type scrape chan<- prometheus.Metric

// put adds a value. The labels are in the order of the metric's own.
func put[T int64 | uint64 | float64](s scrape, m metric, value T, labels ...string) {
	s <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(value), labels...)
}

func describeAll(out chan<- *prometheus.Desc, metrics ...metric) {
	for _, m := range metrics {
		out <- m.desc
	}
}
