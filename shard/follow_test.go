package shard

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
)

// plainShard opens a shard without indexes.
func plainShard(t testing.TB, s *Store, id holdfast.ShardID) *Shard {
	t.Helper()
	sh, err := s.Open(whole(id), plainSchema())
	if err != nil {
		t.Fatal(err)
	}
	return sh
}

// named returns an item of plainSchema with its key.
func named(t testing.TB, id int, version int) Keyed {
	t.Helper()
	it := item.New(item.Attr{Name: "id", Value: item.Text(fmt.Sprint("id", id))},
		item.Attr{Name: "v", Value: number(version)})
	key, err := plainSchema().Key.Key(it)
	if err != nil {
		t.Fatal(err)
	}
	return Keyed{Key: key, Item: it}
}

// followed is what a shard should hold that follows others.
type followed struct {
	items   map[string]item.Item
	sources map[holdfast.ShardID]Progress
}

// step returns a random step, and notes it.
func (f *followed) step(t testing.TB, rng *rand.Rand) Follow {
	source := holdfast.ShardID(10 + rng.IntN(3))
	is := f.sources[source]
	step := Follow{Source: source, From: is.Applied, To: is}
	step.To.Applied += uint64(rng.IntN(4))
	switch rng.IntN(6) {
	case 0:
		step.To.Below = item.Key(fmt.Sprint(rng.IntN(1000)))
	case 1:
		step.To.Below, step.To.Whole = nil, true
	case 2:
		step.To.Late, step.To.LateCount = []item.Key{item.Key("a"), item.Key("b")}, Count{Items: -2, Bytes: -rng.Int64N(100)}
	case 3:
		step.To.Late, step.To.LateCount = nil, Count{}
	}
	used := map[int]bool{}
	for range rng.IntN(4) {
		id := rng.IntN(20)
		if used[id] {
			continue
		}
		used[id] = true
		is := named(t, id, rng.IntN(100))
		if was, ok := f.items[string(is.Key)]; ok {
			step.Count.Items--
			step.Count.Bytes -= int64(was.Size())
		}
		if delete(f.items, string(is.Key)); rng.IntN(3) == 0 {
			step.Deletes = append(step.Deletes, is.Key)
			continue
		}
		f.items[string(is.Key)] = is.Item
		step.Puts = append(step.Puts, is)
		step.Count.Items++
		step.Count.Bytes += int64(is.Item.Size())
	}
	f.sources[source] = step.To
	return step
}

func (f *followed) compare(t testing.TB, sh *Shard) {
	t.Helper()
	bytes := 0
	for key, want := range f.items {
		if got, err := sh.Get(bg, item.Key(key)); err != nil || !got.Equal(want) {
			t.Errorf("%x: got %v, %v; want %v", key, got, err, want)
		}
		bytes += want.Size()
	}
	if n := len(all(t, sh, Span{})); n != len(f.items) {
		t.Errorf("got %d items; want %d", n, len(f.items))
	}
	if c := sh.Counts(); c.Items != int64(len(f.items)) || c.ItemBytes != int64(bytes) {
		t.Errorf("got %d items of %d bytes counted; want %d of %d", c.Items, c.ItemBytes, len(f.items), bytes)
	}
	for source, want := range f.sources {
		if got := sh.Progress(source); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("source %d: got %+v; want %+v", source, got, want)
		}
	}
}

// Random steps, with restarts between them, leave what they say. One that begins elsewhere than
// where the shard is, or would go back, is refused and changes nothing.
func TestFollow(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 21))
			o := memOptions(vfs.NewMem())
			s := openStore(t, o)
			sh := plainShard(t, s, 1)
			f := &followed{items: map[string]item.Item{}, sources: map[holdfast.ShardID]Progress{}}
			for n := range 120 {
				step := f.step(t, rng)
				if err := sh.Follow(step); err != nil {
					t.Fatal(err)
				}
				wrong := Follow{Source: step.Source, From: step.To.Applied + 1, To: Progress{Applied: step.To.Applied + 2},
					Puts: []Keyed{named(t, 99, 1)}, Count: Count{Items: 1}}
				if step.To.Applied > 0 && rng.IntN(2) == 0 {
					wrong.From, wrong.To.Applied = step.To.Applied, step.To.Applied-1
				}
				if err := sh.Follow(wrong); !errors.Is(err, holdfast.Invalid) {
					t.Fatalf("step from %d to %d: got %v; want Invalid", wrong.From, wrong.To.Applied, err)
				}
				if rng.IntN(20) == 0 {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					s = openStore(t, o)
					sh = plainShard(t, s, 1)
				}
				if n%10 == 0 {
					f.compare(t, sh)
				}
			}
			f.compare(t, sh)
			if err := s.Trim(bg); err != nil {
				t.Errorf("trimming a shard without changes: %v", err)
			}
		})
	}
}

// A follower gets each change once, in order and in whole transactions, from memory and from the
// history, and trims keep what it hasn't applied.
func TestFollower(t *testing.T) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 23))
		o := memOptions(vfs.NewMem())
		o.LogAge = 1
		s := openStore(t, o)
		sh := plainShard(t, s, 1)
		f := NewFollower(sh, 0)
		var want, got []Change
		at, applied := uint64(0), uint64(0)
		for range 300 {
			switch rng.IntN(6) {
			default:
				var c Commit
				for id := range 1 + rng.IntN(3) {
					is := named(t, id, rng.IntN(1000))
					c.Writes = append(c.Writes, Write{Shard: sh, Key: is.Key,
						Change: func(item.Item) (item.Item, error) { return is.Item, nil }})
				}
				results, err := s.Commit(bg, c)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range results {
					if r.Tx.Index > 0 {
						want = append(want, Change{Tx: r.Tx, Before: r.Before, After: r.After})
					}
				}
			case 0, 1:
				changes, to, err := f.Changes(at, at+uint64(rng.IntN(10)), 1+rng.IntN(4))
				if err != nil {
					t.Fatal(err)
				}
				got, at = append(got, changes...), to
				if f.Applied(at); rng.IntN(2) == 0 {
					f.Release(at)
				}
				applied = at
			case 2:
				if err := s.Trim(bg); err != nil {
					t.Fatal(err)
				}
			case 3:
				f.Close() // what was in memory must be read from the history
				f = NewFollower(sh, applied)
			}
		}
		for at < f.Durable() {
			changes, to, err := f.Changes(at, f.Durable(), 1000)
			if err != nil {
				t.Fatal(err)
			}
			got, at = append(got, changes...), to
		}
		if f.More(at) == nil {
			t.Errorf("seed %d: got more behind the last transaction", seed)
		}
		if len(got) != len(want) {
			t.Fatalf("seed %d: got %d changes; want %d", seed, len(got), len(want))
		}
		for i := range want {
			if g, w := got[i], want[i]; g.Tx != w.Tx || !g.Before.Equal(w.Before) || !g.After.Equal(w.After) {
				t.Fatalf("seed %d, change %d: got %+v; want %+v", seed, i, g, w)
			}
		}
		f.Close()
	}
}

// A shard's changes in memory are limited, and a follower that needs older ones gets them from the
// history.
func TestRecentChangesAreLimited(t *testing.T) {
	s, _ := memShard(t)
	sh := plainShard(t, s, 2)
	f := NewFollower(sh, 0)
	defer f.Close()
	large := item.Text(string(make([]byte, 300<<10)))
	const writes = 30
	for n := range writes {
		is := named(t, n, n)
		it := is.Item.With("large", large)
		commitAll(t, s, Write{Shard: sh, Key: is.Key, Change: func(item.Item) (item.Item, error) { return it, nil }})
	}
	if sh.recent.bytes > recentBytes || sh.recent.behind == 0 {
		t.Errorf("got %d bytes in memory behind %d; want at most %d", sh.recent.bytes, sh.recent.behind, recentBytes)
	}
	n := 0
	for at := uint64(0); at < f.Durable(); {
		changes, to, err := f.Changes(at, f.Durable(), 4)
		if err != nil {
			t.Fatal(err)
		}
		n, at = n+len(changes), to
	}
	if n != writes {
		t.Errorf("got %d changes; want %d", n, writes)
	}
}

// Items are those of the transaction that is said, while others commit.
func TestFollowerItems(t *testing.T) {
	s, _ := memShard(t)
	sh := plainShard(t, s, 2)
	f := NewFollower(sh, 0)
	defer f.Close()
	var seen []Items
	whileReading(func() {
		rng := rand.New(rand.NewPCG(1, 24))
		for range 400 {
			is := named(t, rng.IntN(10), rng.IntN(1000))
			commitAll(t, s, Write{Shard: sh, Key: is.Key, Change: func(was item.Item) (item.Item, error) {
				if was != nil && rng.IntN(3) == 0 {
					return nil, nil
				}
				return is.Item, nil
			}})
		}
	}, func() {
		items, err := f.Items(bg, nil, 5, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, items)
	})
	changes, _, err := f.Changes(0, f.Durable(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	state := map[string]item.Item{}
	for _, is := range seen {
		for len(changes) > 0 && changes[0].Tx.Index <= is.Index {
			it := changes[0].After
			if it == nil {
				it = changes[0].Before
			}
			key, err := plainSchema().Key.Key(it)
			if err != nil {
				t.Fatal(err)
			}
			if state[string(key)] = changes[0].After; changes[0].After == nil {
				delete(state, string(key))
			}
			changes = changes[1:]
		}
		if len(is.Items) != min(5, len(state)) || (is.Next != nil) != (len(state) > 5) {
			t.Fatalf("as of %d: got %d items; want those of %d", is.Index, len(is.Items), len(state))
		}
		for _, k := range is.Items {
			if !k.Item.Equal(state[string(k.Key)]) {
				t.Fatalf("as of %d: got %v; want %v", is.Index, k.Item, state[string(k.Key)])
			}
		}
	}
}

// While the disk is full, followers go on and backfills wait.
func TestFollowOnAFullDisk(t *testing.T) {
	fs := &smallFS{FS: vfs.NewMem()}
	fs.size.Store(16 << 20)
	o := memOptions(fs)
	o.ReserveBytes = 1 << 20
	s := openStore(t, o)
	sh := plainShard(t, s, 1)
	fs.other.Store(fs.free() - o.ReserveBytes/2)
	s.space.look(0)
	if err := sh.Follow(Follow{Source: 2, Fill: true, Puts: []Keyed{named(t, 1, 1)}}); !errors.Is(err, holdfast.Full) {
		t.Errorf("a backfill: got %v; want Full", err)
	}
	if err := sh.Follow(Follow{Source: 2, To: Progress{Applied: 1}, Puts: []Keyed{named(t, 1, 1)}}); err != nil {
		t.Errorf("a change: got %v; want none", err)
	}
}
