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

// StoreID returns the identity of a store, which it has for good: it was drawn when the directory
// became a store's. The store isn't read-only.
func StoreID(s *Store) [16]byte { return s.control.id() }

// Steps returns how far a store has got, as its start has found it and as is on disk at the moment:
// a number that rises about once a second while something is synced. So a copy of the directory
// that lacks what was synced more than some seconds later has a smaller one. The store isn't
// read-only.
func Steps(s *Store) (found, now uint64) { return s.control.found, s.control.written.Load() }

// identity returns the identity in the database; !ok if there is none. If it isn't where today's
// records are, neither are the records, and s.former is set. A corrupt block counts as none: the
// start must not fail because of it, since the rest can be served.
func (s *Store) identity() (id string, ok bool, err error) {
	for _, key := range [][]byte{keys{shard: records}.meta(metaStore), formerKeys{records}.meta(metaStore)} {
		id, ok, err = s.engine.read(s.engine.db, key)
		if errors.Is(err, holdfast.Corrupt) {
			return "", false, nil
		}
		if err != nil || ok {
			return id, ok, err
		}
		s.former = true
	}
	return "", false, nil
}

// identify returns an error unless the database is that of the control file. A database of format 1
// becomes one of the present format, but for the shards, and one without an identity gets one, in a
// sorted table at once, since a log may be lost.
func (s *Store) identify(id [16]byte) error {
	is, ok, err := s.identity()
	switch {
	case err != nil:
		return err
	case ok && is != string(id[:]):
		return holdfast.Errorf(holdfast.Corrupt, "%s belongs to other tables", controlName)
	case s.former:
		if err := s.upgrade(id); err != nil {
			return err
		}
	case !ok:
		if err := s.engine.db.Set(keys{shard: records}.meta(metaStore), id[:], pebble.Sync); err != nil {
			return err
		}
		if err := s.engine.db.Flush(); err != nil {
			return err
		}
	}
	_, _, err = s.takeovers.countFormer(s.engine)
	return err
}

// upgrade makes the directory one of the present format. The control file says so before anything
// else does, so that no earlier program finds a part of its keys; and before that it is certain
// that the disk has space, so that the earlier program can go on otherwise.
func (s *Store) upgrade(id [16]byte) error {
	largest, bytes, err := s.takeovers.countFormer(s.engine)
	if err != nil {
		return err
	}
	if s.takeovers.shards > 0 {
		if err := s.space.forTakeover(largest, bytes, s.takeovers.total-bytes); err != nil {
			return err
		}
	}
	news, err := s.control.upgrade()
	if err != nil {
		return err
	}
	if news {
		s.log.Warn("the tables' directory is of format 1, and is being taken over: no earlier program can use it any more",
			"shards", s.takeovers.shards)
	}
	if err := takeOverRecords(s, id); err != nil {
		return err
	}
	s.former = false
	return nil
}

// commits counts those in the logs that are needed.
func (in *inspection) commits() (sum int64) {
	for _, l := range in.logs {
		sum += l.scan.records
	}
	return sum
}
