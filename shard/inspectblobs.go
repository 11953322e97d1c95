package shard

import (
	"cmp"
	"errors"
	"os"
	"slices"
)

// Tags of the edits in a manifest (Pebble's version_edit.go), with the numbers or texts that follow.
const (
	editNextFile     = 3   // number
	editLastSequence = 4   // number
	editPointer      = 5   // level, key
	editNoTable      = 6   // level, number
	editTable        = 7   // level, number, bytes, first and last key
	editPrevLog      = 9   // number
	editTable2       = 100 // editTable, first and last sequence number
	editTable4       = 103 // editTable2, fields
	editTable5       = 104 // editTable2 with other bounds, fields
	editBacking      = 105 // number, bytes
	editNoBacking    = 106 // number
	editBlob         = 107 // ID, number, bytes, bytes of values, second it was made
	editNoBlob       = 108 // ID, number
)

// Tags of the fields of a table.
const (
	fieldsEnd    = 1
	fieldBacking = 66 // number
	fieldBlobs   = 69 // depth, count, and for each: ID, bytes of values
)

// Bits of the byte before the bounds of an editTable5.
const boundsPoint = 1 // the first and the last key come before those of ranges

// A blobSet is the blob files that a manifest needs.
type blobSet struct {
	byID    map[uint64]extent // the ID stays when a file is replaced by another one
	unknown bool              // an edit wasn't understood
}

// add adds what an edit says.
func (s *blobSet) add(edit []byte) {
	if s.byID == nil {
		s.byID = map[uint64]extent{}
	}
	r := reader{rest: string(edit)}
	for r.rest != "" && !s.unknown {
		s.next(&r)
	}
	s.unknown = s.unknown || r.bad
}

// next adds the next part of an edit.
func (s *blobSet) next(r *reader) {
	switch tag := r.uvarint(); tag {
	case editComparer:
		r.text()
	case editLog, editNextFile, editLastSequence, editPrevLog, editNoBacking:
		r.uvarint()
	case editPointer:
		r.uvarint()
		r.text()
	case editNoTable, editBacking:
		r.uvarint()
		r.uvarint()
	case editTable, editTable2, editTable4, editTable5:
		s.table(r, tag)
	case editBlob:
		id, is := r.uvarint(), extent{num: r.uvarint(), bytes: int64(r.uvarint())}
		r.uvarint()
		r.uvarint()
		s.byID[id] = is
	case editNoBlob:
		if id, num := r.uvarint(), r.uvarint(); s.byID[id].num == num {
			delete(s.byID, id)
		}
	default:
		s.unknown = true
	}
}

// table skips a table.
func (s *blobSet) table(r *reader, tag uint64) {
	for range 3 {
		r.uvarint()
	}
	bounds := 2
	if tag == editTable5 && r.octet()&boundsPoint != 0 {
		bounds = 4
	}
	for range bounds {
		r.text()
	}
	if tag == editTable {
		return
	}
	r.uvarint()
	r.uvarint()
	if tag == editTable2 {
		return
	}
	for !r.bad {
		switch r.uvarint() {
		case fieldsEnd:
			return
		case fieldBacking:
			r.uvarint()
		case fieldBlobs:
			r.uvarint()
			for range r.uvarint() {
				if r.uvarint(); r.bad {
					break
				}
				r.uvarint()
			}
		default:
			r.text()
		}
	}
}

// all returns the files, by number.
func (s *blobSet) all() []extent {
	var all []extent
	for _, is := range s.byID {
		all = append(all, is)
	}
	slices.SortFunc(all, func(a, b extent) int { return cmp.Compare(a.num, b.num) })
	return all
}

// check checks whether all blob files are there with the length that they had, which Pebble
// doesn't. Their blocks are checked when they are read.
func (s *blobSet) check(in *inspection) error {
	if s.unknown {
		in.found(repairNone, in.pebble(manifestName(in.manifest.num)), "can't be read by this version of the program")
		return nil
	}
	for _, is := range s.all() {
		name := blobName(is.num)
		info, err := in.fs.Stat(in.fs.PathJoin(in.engine, name))
		switch {
		case errors.Is(err, os.ErrNotExist):
			in.found(repairNone, in.pebble(name), "is missing")
		case err != nil:
			return err
		case info.Size() != is.bytes:
			in.found(repairNone, in.pebble(name), "has %d bytes of the %d that were written", info.Size(), is.bytes)
		}
	}
	return nil
}
