package shard

import (
	"crypto/rand"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
)

// metaStore is the name under which shard 0 has the identity that is in the control file, too. So a
// database whose control file was removed is told from one of a version that had none, and a
// control file of another store from its own.
const metaStore = "store"

// newID returns an identity for a store.
func newID() (id [16]byte) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// identity returns what the database says that it is; !ok if it says nothing. If the block is
// corrupt where it stands, it says as much: what can be read is served all the same.
func (s *Store) identity() (id string, ok bool, err error) {
	id, ok, err = s.engine.read(s.engine.db, metaKey(records, metaStore))
	if errors.Is(err, holdfast.Corrupt) {
		return "", false, nil
	}
	return id, ok, err
}

// identify looks whether the database is that of the control file. If it has no identity yet, it
// gets one, in a sorted table at once: a log may be lost.
func (s *Store) identify(id [16]byte) error {
	is, ok, err := s.identity()
	switch {
	case err != nil:
		return err
	case ok && is != string(id[:]):
		return holdfast.Errorf(holdfast.Corrupt, "%s is that of other tables", controlName)
	case ok:
		return nil
	}
	if err := s.engine.db.Set(metaKey(records, metaStore), id[:], pebble.Sync); err != nil {
		return err
	}
	return s.engine.db.Flush()
}

// commits counts those in the logs that are needed.
func (in *inspection) commits() (sum int64) {
	for _, l := range in.logs {
		sum += l.scan.records
	}
	return sum
}
