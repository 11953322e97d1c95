package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// The requests of builds concern tables that are created, all their items in turn, and in a
// transaction three different ones.
func TestBuildLoads(t *testing.T) {
	created := map[string]bool{}
	for _, of := range buildTables() {
		for _, table := range of.create {
			created[table.name] = true
			if body := table.create; !json.Valid([]byte(body)) {
				t.Errorf("got %s; want JSON", body)
			}
		}
	}
	const items = 60
	names := map[string]bool{}
	for _, l := range buildLoads(items) {
		names[l.name] = true
		keys, bodies := map[string]bool{}, map[string]bool{}
		for i := range items {
			body := string(l.body(i + 7))
			if !json.Valid([]byte(body)) {
				t.Fatalf("%s: got %s; want JSON", l.name, body)
			}
			_, name, _ := strings.Cut(body, `"TableName":"`)
			if name, _, _ = strings.Cut(name, `"`); !created[name] {
				t.Errorf("%s: table %q isn't created", l.name, name)
			}
			within := map[string]bool{}
			for _, part := range strings.Split(body, `{"S":"user-`)[1:] {
				within[part[:8]], keys[part[:8]] = true, true
			}
			if l.operation == "TransactWriteItems" && len(within) != 3 {
				t.Errorf("%s: got %d different items in a request; want 3", l.name, len(within))
			}
			if bodies[body] && l.writes() {
				t.Errorf("%s: two equal requests, which change nothing: %s", l.name, body)
			}
			bodies[body] = true
		}
		if want := items; l.operation != "Query" && len(keys) != want {
			t.Errorf("%s: got %d different items; want %d", l.name, len(keys), want)
		}
		if want := items / groupItems; l.operation == "Query" && len(bodies) != want {
			t.Errorf("%s: got %d different groups; want %d", l.name, len(bodies), want)
		}
	}
	for _, w := range withinBuild {
		if !names[w.load] || !names[w.of] {
			t.Errorf("%s: a load isn't there: %q, %q", w.name, w.load, w.of)
		}
	}
}

// The ratio is the median of the rounds' ratios, and not the ratio of medians.
func TestComparedBuilds(t *testing.T) {
	got := fmt.Sprint(compared([]float64{10, 20, 40}, []float64{30, 40, 40}))
	if want := "[20 40 2.00]"; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

func TestWrittenBytes(t *testing.T) {
	text := "rchar: 1\nwchar: 2\nread_bytes: 3\nwrite_bytes: 4096\ncancelled_write_bytes: 5\n"
	if got := writtenOf([]byte(text)); got != 4096 {
		t.Errorf("got %v; want 4096", got)
	}
}

func TestPercentile(t *testing.T) {
	values := make([]float64, 200)
	for i := range values {
		values[i] = float64(199 - i)
	}
	for share, want := range map[float64]float64{0: 0, 0.5: 100, 0.99: 198, 1: 199} {
		if got := percentile(values, share); got != want {
			t.Errorf("%v: got %v; want %v", share, got, want)
		}
	}
}
