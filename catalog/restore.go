package catalog

import (
	"slices"
	"time"

	"holdfast/item"
)

// Overrides are the settings in which a restored table differs. A nil setting is that of the
// source.
type Overrides struct {
	Billing       *Billing
	Throughput    *Throughput
	OnDemandLimit *Throughput
	Global, Local []IndexDefinition // the indexes that it gets, with their throughput; empty but not nil: none
	Encryption    *string
}

// NewTable returns the record of a table that is restored from one with that description. It has no
// shards yet, and what is copied into them is c.
func (o *Overrides) NewTable(
	as *Description, target string, source Restored, c Copying, now time.Time,
) (*Table, error) {
	d, err := o.definition(as)
	if err != nil {
		return nil, err
	}
	d.Name = target
	r, err := NewTable(d, definitions(as, d), Creating, now)
	if err != nil {
		return nil, err
	}
	source.InProgress = true
	r.Table.Restored, r.Copy = &source, &c
	r.UpdateStatus()
	return r, nil
}

// definition returns the definition of a restored table.
func (o *Overrides) definition(as *Description) (Definition, error) {
	d := Definition{
		Key: as.Key, Billing: as.Billing, Throughput: as.Throughput, OnDemandLimit: as.OnDemandLimit, Class: as.Class,
		Encryption: as.Encryption,
	}
	if o.Billing != nil {
		d.Billing = *o.Billing
	}
	if o.Throughput != nil {
		d.Throughput = *o.Throughput
	}
	if o.OnDemandLimit != nil {
		d.OnDemandLimit = *o.OnDemandLimit
	}
	if o.Encryption != nil {
		d.Encryption = *o.Encryption
	}
	if d.Billing == OnDemand {
		d.Throughput = Throughput{}
	} else if d.Throughput.Read < 1 || d.Throughput.Write < 1 {
		return d, invalid("One or more parameter values were invalid: " +
			"ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED")
	}
	local, err := chosen(as, o.Local, true)
	if err != nil {
		return d, err
	}
	global, err := chosen(as, o.Global, false)
	if err != nil {
		return d, err
	}
	d.Indexes = append(local, global...)
	for i := range d.Indexes {
		if x := &d.Indexes[i]; d.Billing == OnDemand {
			x.Throughput = Throughput{}
		} else if !x.Index.Local && x.Throughput.Read < 1 {
			x.Throughput = d.Throughput
		}
	}
	return d, nil
}

// chosen returns the local or the global indexes that a restored table gets: those of override,
// which the source must have, or, if that is nil, all.
func chosen(as *Description, override []IndexDefinition, local bool) ([]IndexDefinition, error) {
	var all []IndexDefinition
	for _, x := range as.Indexes {
		if x.Index.Local == local && x.Status != Deleting {
			all = append(all, x.IndexDefinition)
		}
	}
	if override == nil {
		return all, nil
	}
	some := make([]IndexDefinition, 0, len(override))
	for _, x := range override {
		i := slices.IndexFunc(all, func(have IndexDefinition) bool {
			return have.Index.Name == x.Index.Name && sameNames(have.Index.Key, x.Index.Key)
		})
		if i < 0 {
			return nil, invalid("One or more parameter values were invalid: The indexes provided should match existing "+
				"secondary indexes; "+
				"there is no such index: %s", x.Index.Name)
		}
		have := all[i]
		have.Throughput, have.OnDemandLimit = x.Throughput, x.OnDemandLimit
		some = append(some, have)
	}
	return some, nil
}

// sameNames reports whether two keys have the same attributes in the same places, of whatever
// types.
func sameNames(a, b item.IndexKey) bool {
	return slices.Equal(attrNames(a.Hash), attrNames(b.Hash)) && slices.Equal(attrNames(a.Range), attrNames(b.Range))
}

// definitions returns the attributes that the keys of a restored table need.
func definitions(as *Description, d Definition) []item.KeyAttr {
	used := d.Key.Names()
	for _, x := range d.Indexes {
		used = append(used, x.Index.Key.Names()...)
	}
	var needed []item.KeyAttr
	for _, a := range as.Attributes {
		if slices.Contains(used, a.Name) {
			needed = append(needed, a)
		}
	}
	return needed
}
