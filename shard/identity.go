package shard

import (
	"crypto/rand"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
)

// metaStore is the name under which shard 0 has the store's identity, which the control file has
// too. It distinguishes a database whose control file was removed from one of a version that had
// none, and the control file of another store from its own.
const metaStore = "store"

// newID returns an identity for a store.
func newID() (id [16]byte) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// identity returns the identity in the database; !ok if there is none. A corrupt block counts as
// none: the start must not fail because of it, since the rest can be served.
func (s *Store) identity() (id string, ok bool, err error) {
	id, ok, err = s.engine.read(s.engine.db, keys{records}.meta(metaStore))
	if errors.Is(err, holdfast.Corrupt) {
		return "", false, nil
	}
	return id, ok, err
}

// identify returns an error unless the database is that of the control file. A database without an
// identity gets one, in a sorted table at once, since a log may be lost.
func (s *Store) identify(id [16]byte) error {
	is, ok, err := s.identity()
	switch {
	case err != nil:
		return err
	case ok && is != string(id[:]):
		return holdfast.Errorf(holdfast.Corrupt, "%s belongs to other tables", controlName)
	case ok:
		return nil
	}
	if err := s.engine.db.Set(keys{records}.meta(metaStore), id[:], pebble.Sync); err != nil {
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
