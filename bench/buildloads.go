package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
)

// A buildTable is a table of builds; put makes the request that stores item i for the n-th time.
type buildTable struct {
	name, create string
	put          func(i, n int) []byte
}

// A shardedTables is tables that have so many shards each.
type shardedTables struct {
	shards int
	create []buildTable
}

// buildTables are in the order in which they are created; those with one shard come last.
func buildTables() []shardedTables {
	plain, indexed := textTable("plain"), textTable("indexed",
		`{"IndexName":"by-a","Projection":{"ProjectionType":"ALL"},"KeySchema":[{"AttributeName":"a","KeyType":"HASH"}]}`,
		`{"IndexName":"by-b","Projection":{"ProjectionType":"ALL"},`+
			`"KeySchema":[{"AttributeName":"b","KeyType":"HASH"},{"AttributeName":"n","KeyType":"RANGE"}]}`)
	return []shardedTables{
		{64, []buildTable{groupsTable(64), textTable("spread")}},
		{8, []buildTable{groupsTable(8)}},
		{1, []buildTable{groupsTable(1), orderedTable(), plain, indexed}},
	}
}

const (
	groupItems = 10 // that a query returns
	onDemand   = `"BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],`
	stringKey  = `{"AttributeName":"id","AttributeType":"S"}`
)

// valueBytes is the size of a value of text tables.
const valueBytes = 1000

// manyTexts is text that can't be compressed; values are cut from it, so that they differ.
var manyTexts = sync.OnceValue(func() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	random := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, 4<<20)
	for i := range text {
		text[i] = letters[random.IntN(len(letters))]
	}
	return string(text)
})

// valueOf is the value of an item that is stored for the n-th time.
func valueOf(n int) string {
	at := n * valueBytes % (len(manyTexts()) - valueBytes)
	return manyTexts()[at : at+valueBytes]
}

// textTable is a table of 1-KB items, with these global indexes. Each put of an item gives it other
// values of the attributes by which it may be indexed.
func textTable(name string, indexes ...string) buildTable {
	attributes := ""
	if len(indexes) > 0 {
		attributes = `,{"AttributeName":"a","AttributeType":"S"},{"AttributeName":"b","AttributeType":"S"},` +
			`{"AttributeName":"n","AttributeType":"N"}`
	}
	t := buildTable{name: name, create: `{"TableName":"` + name + `",` + onDemand + globals(indexes) +
		`"AttributeDefinitions":[` + stringKey + attributes + `]}`}
	t.put = func(i, n int) []byte { return fmt.Appendf(nil, `{"TableName":%q,%s}`, name, textItem(i, n)) }
	return t
}

func textItem(i, n int) string {
	return fmt.Sprintf(`"Item":{"id":{"S":"user-%08d"},"n":{"N":"%d"},"a":{"S":"a-%d"},"b":{"S":"b-%d"},"value":{"S":"%s"}}`,
		i, n, n%997, n%499, valueOf(n))
}

func globals(indexes []string) string {
	if len(indexes) == 0 {
		return ""
	}
	return `"GlobalSecondaryIndexes":[` + strings.Join(indexes, ",") + `],`
}

// groupsTable is a table of small items with a global index by groups of groupItems.
func groupsTable(shards int) buildTable {
	name := fmt.Sprintf("groups-%d", shards)
	return buildTable{
		name: name,
		create: `{"TableName":"` + name + `",` + onDemand + globals([]string{`{"IndexName":"groups",` +
			`"Projection":{"ProjectionType":"ALL"},"KeySchema":[{"AttributeName":"g","KeyType":"HASH"}]}`}) +
			`"AttributeDefinitions":[` + stringKey + `,{"AttributeName":"g","AttributeType":"S"}]}`,
		put: func(i, _ int) []byte {
			return fmt.Appendf(nil, `{"TableName":%q,"Item":{"id":{"S":"user-%08d"},"g":{"S":"g-%d"},"text":{"S":"%s"}}}`,
				name, i, i/groupItems, valueOf(i)[:60])
		},
	}
}

// orderedTable is a table of small items whose partitions have groupItems each.
func orderedTable() buildTable {
	return buildTable{
		name: "ordered",
		create: `{"TableName":"ordered","BillingMode":"PAY_PER_REQUEST",` +
			`"KeySchema":[{"AttributeName":"id","KeyType":"HASH"},{"AttributeName":"n","KeyType":"RANGE"}],` +
			`"AttributeDefinitions":[` + stringKey + `,{"AttributeName":"n","AttributeType":"N"}]}`,
		put: func(i, _ int) []byte {
			return fmt.Appendf(nil, `{"TableName":"ordered",`+
				`"Item":{"id":{"S":"g-%d"},"n":{"N":"%d"},"text":{"S":"%s"}}}`, i/groupItems, i, valueOf(i)[:60])
		},
	}
}

// buildLoads are the loads of builds.
func buildLoads(items int) (loads []tableLoad) {
	spread := spreadOver(max(3, items)) // a transaction has three different ones
	get := func(i int) []byte {
		return fmt.Appendf(nil, `{"TableName":"plain","Key":{"id":{"S":"user-%08d"}}}`, spread(i))
	}
	for _, connections := range []int{16, 64} {
		of := fmt.Sprintf(", %d connections", connections)
		loads = append(loads, tableLoad{name: "GetItem" + of, operation: "GetItem", items: 1, connections: connections,
			body: get})
		loads = append(loads, tableLoad{name: fmt.Sprintf("Query of %d of a table", groupItems) + of,
			operation: "Query", items: groupItems, connections: connections, body: func(i int) []byte {
				return fmt.Appendf(nil, `{"TableName":"ordered","KeyConditionExpression":"id = :g",`+
					`"ExpressionAttributeValues":{":g":{"S":"g-%d"}}}`, spread(i)/groupItems)
			}})
		for _, t := range []struct {
			name  string
			table buildTable
		}{
			{"PutItem", textTable("plain")},
			{"PutItem, two global indexes", textTable("indexed")},
			{"PutItem, 64 shards", textTable("spread")},
		} {
			loads = append(loads, tableLoad{name: t.name + of, operation: "PutItem", items: 1, connections: connections,
				body: func(i int) []byte { return t.table.put(spread(i), i) }})
		}
		for _, t := range []struct{ name, token string }{
			{"TransactWriteItems, 3 of 64 shards", ""},
			{"TransactWriteItems with a token, 3 of 64 shards", `"ClientRequestToken":"token-%d",`},
		} {
			loads = append(loads, tableLoad{name: t.name + of, operation: "TransactWriteItems", items: 3,
				connections: connections, body: func(i int) []byte { return threePuts(t.token, i, spread) }})
		}
	}
	for _, shards := range []int{1, 8, 64} {
		loads = append(loads, tableLoad{name: queryName(shards), operation: "Query", items: groupItems, connections: 16,
			body: func(i int) []byte {
				return fmt.Appendf(nil, `{"TableName":"groups-%d","IndexName":"groups","KeyConditionExpression":"g = :g",`+
					`"ExpressionAttributeValues":{":g":{"S":"g-%d"}}}`, shards, spread(i)/groupItems)
			}})
	}
	return loads
}

func queryName(shards int) string {
	return fmt.Sprintf("Query of %d by a global index, shards: %d", groupItems, shards)
}

// threePuts is a transaction of three items, which in most cases lie in three of 64 shards.
func threePuts(token string, i int, spread func(int) int) []byte {
	body := []byte("{")
	if token != "" {
		body = fmt.Appendf(body, token, i)
	}
	for n := range 3 {
		body = append(body, []string{`"TransactItems":[`, ",", ","}[n]...)
		body = fmt.Appendf(body, `{"Put":{"TableName":"spread",%s}}`, textItem(spread(3*i+n), i))
	}
	return append(body, "]}"...)
}

// A within compares two loads of one build, by processor time or by time per request.
type within struct {
	name, load, of string
	cpu            bool
}

var withinBuild = []within{
	{"CPU, PutItem by GetItem, 16 connections", "PutItem, 16 connections", "GetItem, 16 connections", true},
	{"CPU, PutItem by GetItem, 64 connections", "PutItem, 64 connections", "GetItem, 64 connections", true},
	{"requests/s, PutItem with two global indexes by without, 16 connections",
		"PutItem, two global indexes, 16 connections", "PutItem, 16 connections", false},
	{"requests/s, PutItem with two global indexes by without, 64 connections",
		"PutItem, two global indexes, 64 connections", "PutItem, 64 connections", false},
	{"requests/s, PutItem by TransactWriteItems over 3 shards, 16 connections",
		"PutItem, 64 shards, 16 connections", "TransactWriteItems, 3 of 64 shards, 16 connections", false},
	{"requests/s, PutItem by TransactWriteItems over 3 shards, 64 connections",
		"PutItem, 64 shards, 64 connections", "TransactWriteItems, 3 of 64 shards, 64 connections", false},
	{"requests/s, PutItem by TransactWriteItems with a token, 16 connections",
		"PutItem, 64 shards, 16 connections", "TransactWriteItems with a token, 3 of 64 shards, 16 connections", false},
	{"CPU, TransactWriteItems over 3 shards by PutItem, 16 connections",
		"TransactWriteItems, 3 of 64 shards, 16 connections", "PutItem, 64 shards, 16 connections", true},
	{"requests/s, query of an index with 1 shard by 8", queryName(1), queryName(8), false},
	{"requests/s, query of an index with 1 shard by 64", queryName(1), queryName(64), false},
}

func (w within) figures(r *tableRun) []float64 {
	if w.cpu {
		return ratios(r.cpu[w.load], r.cpu[w.of])
	}
	return ratios(r.rate[w.load], r.rate[w.of])
}
