package table

import "holdfast/item"

// Units of capacity are bytes rounded up: 4 KiB a read, half of that counted where the read needn't
// be consistent, and 1 KiB a write. See
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/capacity-unit-calculations.html.
const (
	readUnitBytes  = 4 << 10
	writeUnitBytes = 1 << 10
)

// readUnits returns what reading so many bytes costs. Reading nothing costs as much as reading one
// byte.
func readUnits(bytes int, consistent bool) float64 {
	units := float64(max(1, (bytes+readUnitBytes-1)/readUnitBytes))
	if !consistent {
		units /= 2
	}
	return units
}

// writeUnits returns what writing, or removing, so many bytes costs. Writing nothing costs as much
// as writing one byte.
func writeUnits(bytes int) float64 {
	return float64(max(1, (bytes+writeUnitBytes-1)/writeUnitBytes))
}

// add adds what another request to the same table consumed.
func (c *Capacity) add(o Capacity) {
	c.Read += o.Read
	c.Write += o.Write
	c.TableRead += o.TableRead
	c.TableWrite += o.TableWrite
	for name, x := range o.Indexes {
		c.addIndex(name, x)
	}
}

func (c *Capacity) addIndex(name string, x IndexCapacity) {
	if c.Indexes == nil {
		c.Indexes = map[string]IndexCapacity{}
	}
	x.Read += c.Indexes[name].Read
	x.Write += c.Indexes[name].Write
	c.Indexes[name] = x
}

// doubled returns the capacity that the same request consumes within a transaction.
func (c Capacity) doubled() Capacity {
	twice := c
	twice.Indexes = nil
	twice.add(c)
	return twice
}

// readCapacity returns what a read of a table, and of none of its indexes, consumed.
func readCapacity(table string, units float64) Capacity {
	return Capacity{Table: table, Read: units, TableRead: units}
}

// writeCapacity returns what changing an item from before to after costs. The table pays for the
// larger of the two. So does each index whose entry changes in place; an entry that moves is paid
// for twice, once for its removal.
func (t *live) writeCapacity(before, after item.Item) Capacity {
	units := writeUnits(max(before.Size(), after.Size()))
	c := Capacity{Table: t.desc.Name, Write: units, TableWrite: units}
	for i := range t.entries {
		x := &t.entries[i]
		if units := t.entryUnits(x, before, after); units > 0 {
			c.Write += units
			c.addIndex(x.Name, IndexCapacity{Local: x.Local, Write: units})
		}
	}
	return c
}

// entryUnits returns what an index pays when an item changes.
func (t *live) entryUnits(x *item.Index, before, after item.Item) (units float64) {
	was, is := t.entry(x, before), t.entry(x, after)
	switch {
	case was != nil && is != nil && sameKey(x.Key, was, is):
		if was.Equal(is) {
			return 0
		}
		return writeUnits(max(was.Size(), is.Size()))
	case was != nil:
		units = writeUnits(was.Size())
	}
	if is != nil {
		units += writeUnits(is.Size())
	}
	return units
}

// entry returns what an item's entry in an index holds, nil if it has none. It doesn't make the
// entry's key, most of which is hashing: two entries of one item have equal keys if the attributes
// of the index's key are equal.
func (t *live) entry(x *item.Index, it item.Item) item.Item {
	for part := range x.Key.All() {
		if v, _ := it.Get(part.Name); v.Type != part.Type {
			return nil
		}
	}
	if x.Project == item.ProjectAll {
		return it
	}
	held := make(item.Item, 0, len(it))
	for i := range it {
		if name := it[i].Name; x.Holds(name) || t.schema.Key.Has(name) {
			held = append(held, it[i])
		}
	}
	return held
}

// sameKey reports whether two items agree in the attributes of a key.
func sameKey(key item.IndexKey, a, b item.Item) bool {
	for part := range key.All() {
		in, _ := a.Get(part.Name)
		if other, _ := b.Get(part.Name); !in.Equal(other) {
			return false
		}
	}
	return true
}
