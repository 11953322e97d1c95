package dynamodb

import (
	"slices"
	"strings"

	"holdfast/table"
)

// measured is a request's choice of ReturnConsumedCapacity.
type measured uint8

const (
	unmeasured measured = iota
	measuredTotal
	measuredIndexes
)

func measuredOf(req node) measured {
	switch req.get("ReturnConsumedCapacity").text() {
	case "TOTAL":
		return measuredTotal
	case "INDEXES":
		return measuredIndexes
	}
	return unmeasured
}

// write writes the ConsumedCapacity of a request for one table.
func (m measured) write(w *writer, c table.Capacity) {
	if m == unmeasured {
		return
	}
	w.name("ConsumedCapacity")
	m.object(w, c, false)
}

// writeAll writes the ConsumedCapacity of a request for several tables.
func (m measured) writeAll(w *writer, cs []table.Capacity, transaction bool) {
	if m == unmeasured {
		return
	}
	w.name("ConsumedCapacity")
	w.beginArray()
	for _, c := range cs {
		m.object(w, c, transaction)
	}
	w.endArray()
}

// object writes one ConsumedCapacity. Reads and writes are listed separately only in transactions.
func (m measured) object(w *writer, c table.Capacity, transaction bool) {
	w.beginObject()
	w.strField("TableName", c.Table)
	writeConsumed(w, c.Read, c.Write, transaction)
	if m == measuredIndexes {
		w.name("Table")
		w.beginObject()
		writeConsumed(w, c.TableRead, c.TableWrite, transaction)
		w.endObject()
		writeIndexesConsumed(w, "LocalSecondaryIndexes", c.Indexes, true, transaction)
		writeIndexesConsumed(w, "GlobalSecondaryIndexes", c.Indexes, false, transaction)
	}
	w.endObject()
}

func writeConsumed(w *writer, read, write float64, apart bool) {
	w.floatField("CapacityUnits", read+write)
	if apart && read > 0 {
		w.floatField("ReadCapacityUnits", read)
	}
	if apart && write > 0 {
		w.floatField("WriteCapacityUnits", write)
	}
}

func writeIndexesConsumed(w *writer, name string, indexes map[string]table.IndexCapacity, local, transaction bool) {
	var which []string
	for index, c := range indexes {
		if c.Local == local {
			which = append(which, index)
		}
	}
	if len(which) == 0 {
		return
	}
	slices.Sort(which)
	w.name(name)
	w.beginObject()
	for _, index := range which {
		w.name(index)
		w.beginObject()
		writeConsumed(w, indexes[index].Read, indexes[index].Write, transaction)
		w.endObject()
	}
	w.endObject()
}

// writeCollection writes the ItemCollectionMetrics of one write. The size is reported in whole GB,
// as DynamoDB does.
func writeCollection(w *writer, req node, c *table.Collection) {
	if c == nil || req.get("ReturnItemCollectionMetrics").text() != "SIZE" {
		return
	}
	w.name("ItemCollectionMetrics")
	collectionObject(w, c)
}

func collectionObject(w *writer, c *table.Collection) {
	low := float64(c.Bytes >> 30)
	w.beginObject()
	w.itemField("ItemCollectionKey", c.Key)
	w.name("SizeEstimateRangeGB")
	w.beginArray()
	w.float(low)
	w.float(low + 1)
	w.endArray()
	w.endObject()
}

// writeCollections writes the ItemCollectionMetrics of several writes, by table, each collection
// once.
func writeCollections(w *writer, req node, cs []table.Collection) {
	if len(cs) == 0 || req.get("ReturnItemCollectionMetrics").text() != "SIZE" {
		return
	}
	slices.SortStableFunc(cs, func(a, b table.Collection) int { return strings.Compare(a.Table, b.Table) })
	w.name("ItemCollectionMetrics")
	w.beginObject()
	for i := range cs {
		if i == 0 || cs[i].Table != cs[i-1].Table {
			if i > 0 {
				w.endArray()
			}
			w.name(cs[i].Table)
			w.beginArray()
		}
		same := func(o table.Collection) bool { return o.Table == cs[i].Table && o.Key.Equal(cs[i].Key) }
		if !slices.ContainsFunc(cs[:i], same) {
			collectionObject(w, &cs[i])
		}
	}
	w.endArray()
	w.endObject()
}
