package shard

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// A schema is a Schema as a shard has it. It is immutable.
type schema struct {
	Schema
	version uint64 // how many schemas the shard has had, with this one; 0: none was saved yet
	filling bool   // any of its indexes still lacks entries
}

const schemaForm = 1

// appendTo appends the schema's form on disk: a byte for the form, the version, the table's key as
// one of an index, the number of indexes and each of them, the TTL's attribute, and a byte that is 1
// if the shard is one of a global index, which follows then. An index is its
// ID, name, a byte that is 1 if it is local, one for what it projects, its key, and the number of
// projected attributes and their names. A key is the number of attributes of the partition key and
// each of them, and the same for the sort key; an attribute is its name and a byte for its type.
// Numbers are varints, texts are preceded by their lengths.
func (s *schema) appendTo(dst []byte) []byte {
	dst = append(dst, schemaForm)
	dst = binary.AppendUvarint(dst, s.version)
	return s.Schema.appendTo(dst)
}

func (s *Schema) appendTo(dst []byte) []byte {
	dst = appendIndexKey(dst, s.Key.Index())
	dst = binary.AppendUvarint(dst, uint64(len(s.Indexes)))
	for i := range s.Indexes {
		dst = appendIndex(dst, &s.Indexes[i])
	}
	dst = appendText(dst, s.TTL)
	if s.Of == nil {
		return append(dst, 0)
	}
	return appendIndex(append(dst, 1), s.Of)
}

func appendIndex(dst []byte, x *item.Index) []byte {
	dst = binary.AppendUvarint(dst, uint64(x.ID))
	dst = appendText(dst, x.Name)
	local := byte(0)
	if x.Local {
		local = 1
	}
	dst = append(dst, local, byte(x.Project))
	dst = appendIndexKey(dst, x.Key)
	dst = binary.AppendUvarint(dst, uint64(len(x.Attrs)))
	for _, name := range x.Attrs {
		dst = appendText(dst, name)
	}
	return dst
}

func appendIndexKey(dst []byte, key item.IndexKey) []byte {
	for _, part := range [][]item.KeyAttr{key.Hash, key.Range} {
		dst = binary.AppendUvarint(dst, uint64(len(part)))
		for _, a := range part {
			dst = append(appendText(dst, a.Name), byte(a.Type))
		}
	}
	return dst
}

// decodeSchema decodes a schema.
func decodeSchema(raw string) (*schema, error) {
	if len(raw) == 0 || raw[0] != schemaForm {
		return nil, errSchema()
	}
	r := reader{rest: raw[1:]}
	s := &schema{version: r.uvarint()}
	key, err := cutTableKey(&r)
	if err != nil {
		return nil, err
	}
	s.Key = key
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		s.Indexes = append(s.Indexes, cutIndex(&r))
	}
	s.TTL = r.text()
	if r.octet() == 1 {
		of := cutIndex(&r)
		s.Of = &of
	}
	if r.bad || r.rest != "" {
		return nil, errSchema()
	}
	return s, nil
}

func cutIndex(r *reader) item.Index {
	x := item.Index{ID: uint32(r.uvarint()), Name: r.text(), Local: r.octet() == 1, Project: item.Projected(r.octet())}
	x.Key = cutIndexKey(r)
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		x.Attrs = append(x.Attrs, r.text())
	}
	return x
}

func cutIndexKey(r *reader) (key item.IndexKey) {
	for _, part := range []*[]item.KeyAttr{&key.Hash, &key.Range} {
		for n := r.uvarint(); n > 0 && !r.bad; n-- {
			*part = append(*part, item.KeyAttr{Name: r.text(), Type: item.Type(r.octet())})
		}
	}
	return key
}

// cutTableKey takes the key of a table, in the form of one of an index.
func cutTableKey(r *reader) (s item.KeySchema, err error) {
	key := cutIndexKey(r)
	if len(key.Hash) != 1 || len(key.Range) > 1 {
		return item.KeySchema{}, errSchema()
	}
	s.Hash = key.Hash[0]
	if len(key.Range) == 1 {
		s.Range = key.Range[0]
	}
	return s, nil
}

func errSchema() error {
	return holdfast.Errorf(holdfast.Corrupt, "the schema of a shard can't be decoded")
}

// equals reports whether two schemas are the same.
func (s *Schema) equals(o *Schema) bool { return string(s.appendTo(nil)) == string(o.appendTo(nil)) }

// index returns the schema's index of that ID, or nil.
func (s *schema) index(id uint32) *item.Index {
	for i := range s.Indexes {
		if s.Indexes[i].ID == id {
			return &s.Indexes[i]
		}
	}
	return nil
}

// SetSchema sets the schema of later commits, and returns when it is on disk. No commit with the old
// one is in progress then. Items that were there before get their entries by Backfill and
// BackfillTTL; the entries of an index that is gone are removed by Clear. It may use the reserve of
// a full disk, since the table has the schema already.
func (sh *Shard) SetSchema(to Schema) error {
	if err := sh.store.gate.enter(); err != nil {
		return err
	}
	defer sh.store.gate.leave()
	p, err := sh.proposeSchema(to)
	if err != nil || p == nil {
		return err
	}
	return p.wait()
}

// proposeSchema proposes a schema; nil: the shard has it already.
func (sh *Shard) proposeSchema(to Schema) (*staged, error) {
	sh.schemas.Lock()
	defer sh.schemas.Unlock()
	p, err := decide(context.Background(), sh, func() (body, error) {
		now := sh.schema.Load()
		if now.version > 0 && now.equals(&to) {
			return nil, nil
		}
		return &schemaBody{schema{Schema: to, version: now.version + 1}}, nil
	}, sh.engine.db)
	if err != nil || p == nil {
		return nil, err
	}
	return p, p.propose(true)
}

// A schemaBody replaces the shard's schema. Its form for a log is that of the schema. Commits carry
// the version of the schema by which they were decided, and so does this entry: that of the schema
// which it replaces.
type schemaBody struct{ to schema }

func decodeSchemaChange(r *reader) (body, error) {
	to, err := decodeSchema(r.rest)
	if err != nil {
		return nil, errEntry()
	}
	r.rest = ""
	return &schemaBody{*to}, nil
}

func (x *schemaBody) kind() entryKind { return entrySchema }

func (x *schemaBody) appendTo(dst []byte) []byte { return x.to.appendTo(dst) }

func (x *schemaBody) stage(e *entry, b *pebble.Batch, _ pebble.Reader) error {
	if x.to.version != e.schema.version+1 {
		return holdfast.Errorf(holdfast.Invalid, "schema %d of shard %d can't follow schema %d",
			x.to.version, e.shard.id, e.schema.version)
	}
	return b.Set(e.shard.keys.meta(metaSchema), x.to.appendTo(nil), nil)
}

func (x *schemaBody) apply(e *entry, _ *pebble.Batch) error {
	for i := range x.to.Indexes {
		e.next.addIndex(x.to.Indexes[i].ID)
	}
	return nil
}

func (x *schemaBody) install(e *entry) { e.shard.adopt(x.to.Schema, x.to.version) }

// adopt changes the schema in memory. sequencer.mu is held, or the shard isn't in use yet.
func (sh *Shard) adopt(to Schema, version uint64) {
	next := &schema{Schema: to, version: version}
	for i := range to.Indexes {
		sh.tally.addIndex(to.Indexes[i].ID)
		next.filling = next.filling || sh.tally.index(to.Indexes[i].ID).filling
	}
	sh.schema.Store(next)
}

// begin gives a shard that is being opened the schema that its table has, and returns what waits
// until that is on disk; nil: it has it already. A shard that has none on disk, since it is new or
// was taken over from format 1, begins with the schema, which takes no place in its log, and a new
// one with its descriptor. Otherwise it is a change of schema as any other. That of a shard with a
// group changes by the group's log only.
func (sh *Shard) begin(to Schema, described bool) (wait func() error, err error) {
	now := sh.schema.Load()
	if sh.group.grouped() {
		to = now.Schema
	}
	if sh.store.readOnly || now.version > 0 && now.equals(&to) {
		sh.adopt(to, now.version)
		return nil, nil
	}
	if now.version > 0 {
		p, err := sh.proposeSchema(to)
		if err != nil {
			return nil, err
		}
		return p.wait, nil
	}
	sh.adopt(to, 1)
	b := sh.engine.db.NewBatch()
	err = b.Set(sh.keys.meta(metaSchema), sh.schema.Load().appendTo(nil), nil)
	if !described {
		err = errors.Join(err, b.Set(sh.keys.meta(metaDescriptor), sh.is.appendTo(nil), nil))
	}
	if err == nil {
		err = sh.store.space.admitRemoval(b.Len())
	}
	if err == nil {
		err = sh.engine.submit(b)
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return func() error {
		if err := sh.engine.syncWait(b); err != nil {
			return err
		}
		return b.Close()
	}, nil
}
