package dynamodb

import (
	"context"

	"holdfast/item"
	"holdfast/table"
)

// The most keys or writes that a batch may have.
const (
	maxBatchGets   = 100
	maxBatchWrites = 25
)

func (o *itemOps) batchGetItem(ctx context.Context, req node, w *writer) error {
	gets, keys, err := batchGetsOf(req)
	if err != nil {
		return err
	}
	got, unprocessed, capacities, err := o.tables.BatchGet(ctx, gets)
	if err != nil {
		return err
	}
	w.beginObject()
	w.name("Responses")
	w.beginObject()
	at := 0
	req.get("RequestItems").each(func(name string, part node) bool {
		w.name(name)
		w.beginArray()
		for end := at + part.get("Keys").len(); at < end; at++ {
			if it := got[at].Item; it != nil {
				w.item(it)
			}
		}
		w.endArray()
		return true
	})
	w.endObject()
	writeUnprocessedKeys(w, req, keys, unprocessed)
	measuredOf(req).writeAll(w, capacities, false)
	w.endObject()
	return nil
}

// batchGetsOf returns the reads of a BatchGetItem, table by table, and their keys' nodes in the
// request.
func batchGetsOf(req node) (gets []table.Get, keys []node, err error) {
	req.get("RequestItems").each(func(name string, part node) bool {
		get := table.Get{Table: tableOf(name), Consistent: truth(part.get("ConsistentRead"))}
		if err = getParameters.apart(part); err != nil {
			return false
		}
		if get.Project, err = projectionOf(part); err != nil {
			return false
		}
		part.get("Keys").each(func(_ string, key node) bool {
			if get.Key, err = attributes(key); err != nil {
				return false
			}
			gets, keys = append(gets, get), append(keys, key)
			if len(gets) > maxBatchGets {
				err = invalid("Too many items requested for the BatchGetItem call")
			}
			return err == nil
		})
		return err == nil
	})
	return gets, keys, err
}

// writeUnprocessedKeys writes the part of the request that the client must repeat, in the form in
// which it was sent. unprocessed has indexes into keys, in ascending order.
func writeUnprocessedKeys(w *writer, req node, keys []node, unprocessed []int) {
	w.name("UnprocessedKeys")
	w.beginObject()
	first := 0 // index of the table's first key
	req.get("RequestItems").each(func(name string, part node) bool {
		end := first + part.get("Keys").len()
		of := numbersWithin(unprocessed, first, end)
		first = end
		if len(of) == 0 {
			return true
		}
		w.name(name)
		w.beginObject()
		part.each(func(name string, v node) bool {
			if name != "Keys" {
				w.name(name)
				w.raw(v.raw())
			}
			return true
		})
		w.name("Keys")
		w.beginArray()
		for _, i := range of {
			w.raw(keys[i].raw())
		}
		w.endArray()
		w.endObject()
		return true
	})
	w.endObject()
}

// numbersWithin returns the numbers n with from ≤ n < to.
func numbersWithin(numbers []int, from, to int) []int {
	var within []int
	for _, n := range numbers {
		if from <= n && n < to {
			within = append(within, n)
		}
	}
	return within
}

func (o *itemOps) batchWriteItem(ctx context.Context, req node, w *writer) error {
	writes, parts, err := batchWritesOf(req)
	if err != nil {
		return err
	}
	unprocessed, capacities, collections, err := o.tables.BatchWrite(ctx, writes)
	if err != nil {
		return err
	}
	w.beginObject()
	w.name("UnprocessedItems")
	w.beginObject()
	first := 0 // index of the table's first write
	req.get("RequestItems").each(func(name string, list node) bool {
		end := first + list.len()
		of := numbersWithin(unprocessed, first, end)
		first = end
		if len(of) == 0 {
			return true
		}
		w.name(name)
		w.beginArray()
		for _, i := range of {
			w.raw(parts[i].raw())
		}
		w.endArray()
		return true
	})
	w.endObject()
	measuredOf(req).writeAll(w, capacities, false)
	writeCollections(w, req, collections)
	w.endObject()
	return nil
}

// batchWritesOf returns the writes of a BatchWriteItem, table by table, and their nodes in the
// request.
func batchWritesOf(req node) (writes []table.BatchWrite, parts []node, err error) {
	req.get("RequestItems").each(func(name string, list node) bool {
		list.each(func(_ string, part node) bool {
			if part.has("PutRequest") == part.has("DeleteRequest") {
				err = invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the " +
					"supported datatypes")
			}
			return err == nil
		})
		list.each(func(_ string, part node) bool {
			if err != nil {
				return false
			}
			var write table.BatchWrite
			write, err = batchWriteOf(name, part)
			writes, parts = append(writes, write), append(parts, part)
			return true
		})
		return err == nil
	})
	if err == nil && len(writes) > maxBatchWrites {
		err = invalid("Too many items requested for the BatchWriteItem call")
	}
	return writes, parts, err
}

func batchWriteOf(name string, part node) (table.BatchWrite, error) {
	if put := part.get("PutRequest"); put.kind() != absent {
		it, err := newItem(put.get("Item"))
		if err == nil && it.Size() > item.MaxItemBytes {
			err = errItemTooLarge
		}
		return table.BatchWrite{Put: &table.Put{Table: tableOf(name), Item: it}}, err
	}
	key, err := attributes(part.get("DeleteRequest").get("Key"))
	return table.BatchWrite{Delete: &table.Delete{Table: tableOf(name), Key: key}}, err
}
