package main

import (
	"bytes"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// lagLoad is the name of what measures how far a global index is behind its table.
const lagLoad = "lag of a global index"

// A lags is times, in milliseconds, that a client sees beside a full load of puts.
type lags struct {
	visible []float64 // from a put's acknowledgement until a query of the index has returned the item
	queries []float64 // how many queries that took
	gets    []float64 // a GetItem's own time, to compare with
}

// lagWriters is how many connections put items meanwhile.
const lagWriters = 16

// measure has all but one connection put items of the indexed table, and one connection put an
// item with a value of its own, query the index by this value until it returns the item, and get
// the item.
func (g *lags) measure(r *tableRun, length time.Duration) error {
	if err := r.redial(); err != nil {
		return err
	}
	start := time.Now()
	var done atomic.Bool
	puts := textTable("indexed")
	clients := r.clients[:min(lagWriters+1, len(r.clients))]
	return onAll(clients, func(lane int, c *dynamoClient) error {
		if lane == 0 {
			defer done.Store(true)
			for time.Since(start) < length {
				if err := g.look(c, fmt.Sprintf("probe-%d-%d", start.UnixNano(), len(g.visible))); err != nil {
					return err
				}
			}
			return nil
		}
		for !done.Load() {
			n := int(r.next.Add(1))
			if _, err := c.ask("PutItem", puts.put(n%lagItems, n)); err != nil {
				return err
			}
		}
		return nil
	})
}

// lagItems is how many items the puts go over: few, so that they are overwritten.
const lagItems = 10_000

// look measures one item.
func (g *lags) look(c *dynamoClient, value string) error {
	put := fmt.Appendf(nil, `{"TableName":"indexed","Item":{"id":{"S":"probe"},"a":{"S":%q},"b":{"S":"probe"},`+
		`"n":{"N":"1"},"value":{"S":"%s"}}}`, value, valueOf(len(g.visible)))
	if _, err := c.ask("PutItem", put); err != nil {
		return err
	}
	query := fmt.Appendf(nil, `{"TableName":"indexed","IndexName":"by-a","Select":"COUNT","KeyConditionExpression":"a = :a",`+
		`"ExpressionAttributeValues":{":a":{"S":%q}}}`, value)
	queries, start := 0, time.Now()
	for found := false; !found; queries++ {
		answer, err := c.ask("Query", query)
		if err != nil {
			return err
		}
		found = bytes.Contains(answer, []byte(`"Count":1`))
		if time.Since(start) > dynamoTimeout {
			return fmt.Errorf("the index doesn't show an item after %v", dynamoTimeout)
		}
	}
	g.visible = append(g.visible, milliseconds(time.Since(start)))
	g.queries = append(g.queries, float64(queries))
	start = time.Now()
	if _, err := c.ask("GetItem", []byte(`{"TableName":"indexed","Key":{"id":{"S":"probe"}}}`)); err != nil {
		return err
	}
	g.gets = append(g.gets, milliseconds(time.Since(start)))
	return nil
}

// percentile is the value that the given share of values is below; there must be a value.
func percentile(values []float64, share float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// printLags prints the builds' lags, if they were measured.
func (c *comparison) printLags() {
	if len(c.lags[0].visible) == 0 {
		return
	}
	rows := [][]string{{lagLoad + ", 16 connections put", "p50 ms before", "after", "p99 ms before", "after",
		"items before", "after"}}
	for _, of := range []struct {
		name   string
		values func(lags) []float64
	}{
		{"from the put's answer until a query returns the item", func(g lags) []float64 { return g.visible }},
		{"queries until then", func(g lags) []float64 { return g.queries }},
		{"GetItem of the item, to compare with", func(g lags) []float64 { return g.gets }},
	} {
		row := []string{of.name}
		for _, share := range []float64{0.5, 0.99} {
			for _, g := range c.lags {
				row = append(row, fmt.Sprintf("%.2f", percentile(of.values(g), share)))
			}
		}
		for _, g := range c.lags {
			row = append(row, fmt.Sprint(len(of.values(g))))
		}
		rows = append(rows, row)
	}
	fmt.Println()
	table(rows)
}
