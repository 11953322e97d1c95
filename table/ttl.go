package table

import (
	"context"

	"holdfast/catalog"
)

// maxTTLNameBytes is how long the name of the attribute can be.
const maxTTLNameBytes = 255

// TTL returns whether, and by which attribute, a table's items expire. NotFound if there is no such
// table.
func (s *Store) TTL(table string) (catalog.TTL, error) {
	t := s.tables.table(table)
	if t == nil {
		return catalog.TTL{}, noTable(table)
	}
	return t.desc.TTL, nil
}

// SetTTL sets whether a table's items expire by an attribute. Items that have it already are found
// in the background. Errors: NotFound, Exists while the table is being made, Invalid if it is so
// already.
func (s *Store) SetTTL(ctx context.Context, table string, ttl catalog.TTL) error {
	if ttl.Attr == "" || len(ttl.Attr) > maxTTLNameBytes {
		return invalid("1 validation error detected: Value '%s' at 'timeToLiveSpecification.attributeName' failed to "+
			"satisfy constraint: "+
			"Member must have length between 1 and %d", ttl.Attr, maxTTLNameBytes)
	}
	s.catalog.Lock()
	defer s.catalog.Unlock()
	old, err := s.installer.table(table)
	if err != nil {
		return err
	}
	switch was := old.Table.TTL; {
	case old.Table.Status == catalog.Creating:
		return inUse("created", table)
	case ttl.On && was.On && ttl.Attr != was.Attr:
		return invalid("TimeToLive is active on a different AttributeName: current AttributeName is %s", was.Attr)
	case ttl.On && was.On:
		return invalid("TimeToLive is already enabled")
	case !ttl.On && !was.On:
		return invalid("TimeToLive is already disabled")
	case !ttl.On && ttl.Attr != was.Attr:
		return invalid("TimeToLive is active on a different AttributeName: current AttributeName is %s", was.Attr)
	}
	r := old.Clone()
	if ttl.On {
		r.Table.TTL, r.FillTTL = ttl, true
	} else {
		// The queue has entries by the old attribute: they must go before another one is in the schema.
		r.Table.TTL, r.FillTTL, r.ClearTTL = catalog.TTL{}, false, true
	}
	return s.installer.replace(ctx, r, false)
}
