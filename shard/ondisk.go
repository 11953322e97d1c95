package shard

import "holdfast"

// OnDisk returns the descriptors of all shards that are on disk, open or not, by rising ID.
func OnDisk(s *Store) ([]Descriptor, error) {
	if err := s.gate.enter(); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	all, bad, err := s.engine.described()
	if err != nil {
		return nil, err
	}
	if len(bad) > 0 {
		return nil, holdfast.Errorf(holdfast.Corrupt, "shard %d has no descriptor that can be decoded", bad[0])
	}
	return all, nil
}
