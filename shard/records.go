package shard

import (
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
)

// Record returns the value of a record, which the caller may keep; !ok if there is none.
func (s *Store) Record(name string) (value []byte, ok bool, err error) {
	if err := s.gate.enter(); err != nil {
		return nil, false, err
	}
	defer s.gate.leave()
	value, ok, err = s.record(name)
	if err != nil {
		return nil, false, err
	}
	return value, ok, s.records.waitDurable(context.Background(), s.records.applied.Load())
}

// record returns the value of a record, which may not be on disk yet.
func (s *Store) record(name string) (value []byte, ok bool, err error) {
	raw, ok, err := s.engine.read(s.engine.db, s.recordKey(name))
	if err != nil || !ok {
		return nil, false, err
	}
	return []byte(raw), true, nil
}

// recordKey returns the key of a record that is read.
func (s *Store) recordKey(name string) []byte {
	if s.former {
		return append(formerKeys{records}.prefix(formerRecord), name...)
	}
	return recordKey(name)
}

// Records returns the records whose names begin with prefix, sorted by name.
func (s *Store) Records(prefix string) ([]Record, error) {
	if err := s.gate.enter(); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	lower := s.recordKey(prefix)
	upper := behind(lower)
	it, err := s.engine.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, s.engine.fault("reading records", err)
	}
	var all []Record
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			break
		}
		all = append(all, Record{Name: recordOf(it.Key()), Value: append([]byte{}, value...)})
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return nil, s.engine.fault("reading records", err)
	}
	return all, s.records.waitDurable(context.Background(), s.records.applied.Load())
}

// SaveRecords writes records, and removes those without a value: all of them or none. It returns
// when that is on disk. removal is that of a Commit. Errors: Full and Overloaded, if nothing was
// changed; Unavailable, if the outcome is unknown.
func (s *Store) SaveRecords(ctx context.Context, records []Record, removal bool) error {
	if err := s.gate.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	if s.readOnly {
		return holdfast.Errorf(holdfast.Invalid, "the store was opened for reading only")
	}
	b := s.engine.db.NewBatch()
	for _, r := range records {
		if err := setRecord(b, r); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	if err := s.space.admitBatch(ctx, b.Len(), removal); err != nil {
		return errors.Join(err, b.Close())
	}
	at, err := s.submitRecords(b)
	if err != nil {
		return errors.Join(err, b.Close())
	}
	if err := s.engine.syncWait(b); err != nil {
		return err
	}
	s.records.durable.raise(at)
	s.commits.Add(1)
	return b.Close()
}

// submitRecords submits a batch of records, and returns its place among the commits of records.
func (s *Store) submitRecords(b *pebble.Batch) (uint64, error) {
	s.records.mu.Lock()
	defer s.records.mu.Unlock()
	at := s.records.applied.Add(1)
	return at, s.engine.submit(b)
}

// setRecord adds a record, or its removal, to a batch.
func setRecord(b *pebble.Batch, r Record) error {
	if r.Value == nil {
		return b.Delete(recordKey(r.Name), nil)
	}
	return b.Set(recordKey(r.Name), r.Value, nil)
}
