package shard

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// Apply applies an entry in a batch that nobody reads before it is submitted.
func (sh *Shard) Apply(b *pebble.Batch, raw string, tx holdfast.TxID) error {
	sh.sequencer.mu.Lock()
	e, err := applyRaw(sh, b, raw, tx)
	sh.sequencer.mu.Unlock()
	if err == nil {
		seen([]*entry{e})
	}
	return err
}

// An entry that was decided by another schema than the shard has is Corrupt, and nothing is applied;
// so is one of an unknown kind or version.
func TestApplyRefuses(t *testing.T) {
	s, sh := memShard(t)
	it := thing("a", 1)
	good := entry{schema: sh.schema.Load(), effects: []effect{effectOf(t, it)}}
	raw := string(good.appendTo(nil))
	other := good
	other.schema = &schema{version: good.schema.version + 1}
	tx := holdfast.TxID{Shard: 1, Term: 1, Index: 1}
	before := keysAndValues(t, s, 1)
	for _, bad := range []string{string(other.appendTo(nil)), raw[:1] + "\xff" + raw[2:], "\x02" + raw[1:]} {
		b := s.engine.db.NewIndexedBatch()
		if err := sh.Apply(b, bad, tx); !errors.Is(err, holdfast.Corrupt) || !b.Empty() || sh.Counts().Applied != 0 {
			t.Errorf("%x: got %v, a batch of %d, %+v; want Corrupt and nothing", bad, err, b.Count(), sh.Counts())
		}
		if err := s.engine.write(b); err != nil {
			t.Fatal(err)
		}
	}
	if got := keysAndValues(t, s, 1); len(got) != len(before) {
		t.Errorf("got %d keys; want %d", len(got), len(before))
	}
	b := s.engine.db.NewIndexedBatch()
	if err := sh.Apply(b, raw, holdfast.TxID{Shard: 1, Index: 1}); !errors.Is(err, holdfast.Invalid) || !b.Empty() {
		t.Errorf("a former term: got %v, a batch of %d; want it refused", err, b.Count())
	}
	if err := sh.Apply(b, raw, tx); err != nil || sh.Counts().Applied != 1 {
		t.Errorf("got %v; want the entry applied", err)
	}
	if err := s.engine.write(b); err != nil {
		t.Fatal(err)
	}
}

// FuzzDecodeEntry decodes anything: it is refused, or its form is decoded as the same again.
func FuzzDecodeEntry(f *testing.F) {
	of := &schema{Schema: testSchema(), version: 3}
	for _, x := range []body{nil, &schemaBody{*of}, &trimBody{trimming{oldest: 5, logged: 7, at: 9}}, &clearBody{3},
		&fillBody{index: 1, from: item.Key("a"), to: item.Key("b")}, &fillBody{index: 1},
		&copyBody{source: 7, at: time.Unix(1, 2), items: 3, bytes: 4, key: of.Key},
		&loadBody{begins: true, source: loadSource{7, -2}}, &timeBody{9},
		&loadBody{attempt: 3, items: -1, bytes: 4, all: []loadedItem{{item.Key("a"), true, "x"}, {key: item.Key("b")}}},
		&loadBody{attempt: 3, whole: true},
		&prepare{id: txnID{1}, decision: item.Key("d"), shards: []holdfast.ShardID{2, 300}},
		&resolve{committed: true, at: 9},
		&followBody{Follow{Source: 4, From: 1, To: Progress{Applied: 2, Late: []item.Key{item.Key("a")}}}}} {
		f.Add((&entry{schema: of, at: 5, body: x}).appendTo(nil))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := decodeEntry(string(raw))
		if err != nil {
			return
		}
		form := e.appendTo(nil)
		again, err := decodeEntry(string(form))
		if err != nil || again.kind() != e.kind() || !bytes.Equal(again.appendTo(nil), form) {
			t.Fatalf("%x: got %x again, %v", raw, form, err)
		}
	})
}

// An entry is decoded as it was encoded; one that is cut, longer, or of another version
// or kind is refused.
func TestEntriesAreReadBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 12))
	for range 300 {
		e := entry{at: rng.Int64(), schema: &schema{version: rng.Uint64() >> rng.IntN(64)}}
		for n := range rng.IntN(4) {
			f := effect{key: item.Key(fmt.Sprint("key", n)), origin: holdfast.Origin(rng.IntN(2))}
			if rng.IntN(3) > 0 {
				f.after = thing("id", rng.IntN(100))
				f.encoded = item.Append(nil, f.after)
			}
			e.effects = append(e.effects, f)
		}
		raw := string(e.appendTo(nil))
		got, err := decodeEntry(raw)
		if err != nil || string(got.appendTo(nil)) != raw || got.at != e.at || len(got.effects) != len(e.effects) {
			t.Fatalf("got %+v, %v; want %+v", got, err, e)
		}
		for i, f := range got.effects {
			if want := e.effects[i]; !f.after.Equal(want.after) || string(f.key) != string(want.key) || f.origin != want.origin {
				t.Fatalf("effect %d: got %+v; want %+v", i, f, want)
			}
		}
		for _, bad := range []string{raw[:rng.IntN(len(raw))], raw + "x", "\x00" + raw[1:], raw[:1] + "\xff" + raw[2:]} {
			if got, err := decodeEntry(bad); err == nil {
				t.Fatalf("%x: got %+v; want an error", bad, got)
			}
		}
	}
}
