package table

import (
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
)

// A throughput is what requests may still consume of a table and its global indexes. Nil is no
// limit.
type throughput struct {
	now func() time.Time
	// buckets are those of the table, under "", and of each global index, under its name. The map is
	// immutable.
	buckets map[string]buckets
}

// Buckets are what is left of a Throughput. A nil bucket has no limit.
type buckets struct{ read, write *bucket }

// newThroughput returns full buckets for a table and its global indexes. Those whose rate stays are
// taken from old, the table before, if there was one.
func newThroughput(d *catalog.Description, old *live, clock func() time.Time) *throughput {
	p, now := &throughput{now: clock, buckets: map[string]buckets{}}, clock()
	add := func(name string, provisioned, limit catalog.Throughput) {
		rate, was := provisioned, buckets{}
		if d.Billing == catalog.OnDemand {
			rate = limit
		}
		if old != nil && old.desc.ID == d.ID && old.throughput != nil {
			was = old.throughput.buckets[name]
		}
		p.buckets[name] = buckets{read: keepOrFill(was.read, rate.Read, now), write: keepOrFill(was.write, rate.Write, now)}
	}
	add("", d.Throughput, d.OnDemandLimit)
	for _, x := range d.Indexes {
		if !x.Index.Local {
			add(x.Index.Name, x.Throughput, x.OnDemandLimit)
		}
	}
	return p
}

// keepOrFill returns a bucket of that rate: the one there was, or a full one.
func keepOrFill(was *bucket, unitsPerSecond int64, now time.Time) *bucket {
	if was != nil && was.unitsPerSecond == float64(unitsPerSecond) {
		return was
	}
	return newBucket(unitsPerSecond, now)
}

// admitRead returns holdfast.Overloaded if nothing is left to read from the table, or from a global
// index. x is nil for the table.
func (p *throughput) admitRead(x *item.Index) error {
	if p == nil {
		return nil
	}
	name := ""
	if x != nil && !x.Local {
		name = x.Name
	}
	if p.buckets[name].read.ready(p.now()) {
		return nil
	}
	return overdrawn(name != "")
}

// admitWrite returns holdfast.Overloaded if nothing is left to write to the table or to one of its
// global indexes, since an index must not lag behind its table.
func (p *throughput) admitWrite() error {
	if p == nil {
		return nil
	}
	now := p.now()
	for name, b := range p.buckets {
		if !b.write.ready(now) {
			return overdrawn(name != "")
		}
	}
	return nil
}

func overdrawn(index bool) error {
	if index {
		return holdfast.Errorf(holdfast.Overloaded, "The level of configured provisioned throughput for one or more global "+
			"secondary indexes of the table was exceeded. Consider increasing your provisioning level for the "+
			"under-provisioned global secondary indexes with the UpdateTable API")
	}
	return holdfast.Errorf(holdfast.Overloaded, "The level of configured provisioned throughput for the table was "+
		"exceeded. "+
		"Consider increasing your provisioning level with the UpdateTable API.")
}

// spend takes what a request consumed from the buckets. A local index draws on those of its table.
func (p *throughput) spend(c Capacity) {
	if p == nil {
		return
	}
	now := p.now()
	read, write := c.TableRead, c.TableWrite
	for name, x := range c.Indexes {
		if x.Local {
			read, write = read+x.Read, write+x.Write
			continue
		}
		p.buckets[name].read.spend(x.Read, now)
		p.buckets[name].write.spend(x.Write, now)
	}
	p.buckets[""].read.spend(read, now)
	p.buckets[""].write.spend(write, now)
}
