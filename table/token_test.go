package table

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/shard"
)

// addOnce adds n to the item a of a table t, once for each token.
func addOnce(t *testing.T, s *Store, token string, n int) error {
	_, err := s.TransactWrite(context.Background(), Transaction{
		Actions: []Action{{Update: &Update{Table: "t", Key: attrs("id", "a"), Change: update(t, "ADD n :n", ":n", n)}}},
		Token:   token, Digest: sha256.Sum256([]byte{byte(n)}),
	})
	return err
}

func wantAdded(t *testing.T, s *Store, want string) {
	t.Helper()
	got, err := s.Get(context.Background(), Get{Table: "t", Key: attrs("id", "a")})
	if n, _ := got.Item.Get("n"); err != nil || n.Text != want {
		t.Fatalf("got %q, %v; want %s", n.Text, err, want)
	}
}

// decisions returns how many decisions are in the ledger when those that have expired are removed.
func decisions(t *testing.T, s *Store) int64 {
	t.Helper()
	if err := s.sweeper.expireAll(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.catalog.Lock()
	defer s.catalog.Unlock()
	ledger := s.catalog.Contents().Ledger
	sh, err := s.disk.Open(ledger.Shards[0].Descriptor(ledger.Space), shard.LedgerSchema())
	if err != nil {
		t.Fatal(err)
	}
	return sh.Counts().Items
}

// A token makes a transaction happen once in ten minutes, and is forgotten then.
func TestToken(t *testing.T) {
	s, at := openMemory(t, Options{})
	d, attributes := plain("t")
	create(t, s, d, attributes)
	for i, step := range []struct {
		after time.Duration
		token string
		n     int
		err   error
		want  string // n of the item
	}{
		{0, "one", 1, nil, "1"},
		{0, "one", 1, nil, "1"},
		{0, "one", 2, ErrTokenReused, "1"},
		{0, "two", 1, nil, "2"},
		{9*time.Minute + 59*time.Second, "one", 1, nil, "2"},
		{2 * time.Second, "one", 2, nil, "4"},
		{time.Minute, "one", 2, nil, "4"},
	} {
		at.add(step.after)
		if err := addOnce(t, s, step.token, step.n); !errors.Is(err, step.err) {
			t.Fatalf("step %d: got %v; want %v", i, err, step.err)
		}
		wantAdded(t, s, step.want)
	}
	for i := range 30 {
		at.add(time.Duration(i%3) * 5 * time.Minute)
		if err := addOnce(t, s, fmt.Sprint("token", i), 1); err != nil {
			t.Fatal(err)
		}
	}
	if n := decisions(t, s); n > 10 {
		t.Errorf("got %d tokens; want those of the last minutes", n)
	}
	at.add(100 * time.Hour)
	if err := addOnce(t, s, "last", 1); err != nil {
		t.Fatal(err)
	}
	if n := decisions(t, s); n != 1 {
		t.Errorf("after long: got %d tokens; want one", n)
	}
}

// Of requests with the same token at the same time one does it, and the others wait until it is
// done.
func TestTokenAtOnce(t *testing.T) {
	s, _ := openMemory(t, Options{})
	d, attributes := plain("t")
	create(t, s, d, attributes)
	var all sync.WaitGroup
	for range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			if err := addOnce(t, s, "token", 1); err != nil {
				t.Errorf("got %v", err)
			}
			wantOnce, err := s.Get(context.Background(), Get{Table: "t", Key: attrs("id", "a")})
			if n, _ := wantOnce.Item.Get("n"); err != nil || n.Text != "1" {
				t.Errorf("got %q, %v; want 1", n.Text, err)
			}
		}()
	}
	all.Wait()
}

// A token outlives a restart. A transaction that was canceled leaves none.
func TestTokenReopened(t *testing.T) {
	fs := vfs.NewMem()
	open := func() (*Store, func()) {
		disk, err := shard.Open(shard.Options{Dir: "data", FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(context.Background(), Options{Disk: disk})
		if err != nil {
			t.Fatal(err)
		}
		return s, func() {
			if err := errors.Join(s.Close(), disk.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	s, closeAll := open()
	d, attributes := plain("t")
	create(t, s, d, attributes)
	_, err := s.TransactWrite(context.Background(), Transaction{Token: "token", Actions: []Action{
		{Check: &Check{Table: "t", Key: attrs("id", "a"), If: condition(t, "attribute_exists(id)")}},
	}})
	if canceled := (*CanceledError)(nil); !errors.As(err, &canceled) {
		t.Fatalf("got %v; want it canceled", err)
	}
	if err := addOnce(t, s, "token", 1); err != nil {
		t.Fatal(err)
	}
	closeAll()
	s, closeAll = open()
	defer closeAll()
	if err := addOnce(t, s, "token", 1); err != nil {
		t.Fatal(err)
	}
	wantAdded(t, s, "1")
	if err := addOnce(t, s, "token", 2); !errors.Is(err, ErrTokenReused) {
		t.Errorf("got %v; want ErrTokenReused", err)
	}
}

// A usedToken is a token of a transaction that was committed.
type usedToken struct {
	at time.Time
	n  int
}

// Whatever the times between requests, and with crashes between them: a token makes its transaction
// happen once within ten minutes, another request with it is refused, and after that it is free
// again. Few more tokens are kept than those of that time.
func TestTokenModel(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r, rng := newRig(t, Options{}), rand.New(rand.NewPCG(seed, 13))
			r.create(plain("t"))
			used, sum, replayed, reused := map[string]usedToken{}, 0, 0, 0
			for step := range 250 {
				switch rng.IntN(20) {
				case 0:
					r.crash()
				case 1:
					r.time.add(time.Duration(rng.IntN(30)) * time.Minute)
				case 2: // just before and just after the end of a token's time
					for _, u := range used {
						if left := u.at.Add(shard.TokenAge).Sub(r.time.Now()); left > time.Millisecond {
							r.time.add(left - time.Duration(rng.IntN(2))*time.Millisecond)
							break
						}
					}
				default:
					r.time.add(time.Duration(rng.IntN(90_000)) * time.Millisecond)
				}
				token, n := fmt.Sprint("token", rng.IntN(8)), 1+rng.IntN(2)
				err := addOnce(t, r.Store, token, n)
				u, known := used[token]
				switch known = known && r.time.Now().Sub(u.at) < shard.TokenAge; {
				case known && u.n == n:
					replayed++
				case known:
					reused++
					if !errors.Is(err, ErrTokenReused) {
						t.Fatalf("seed %d, step %d, %s: got %v; want ErrTokenReused", seed, step, token, err)
					}
					err = nil
				default:
					used[token], sum = usedToken{r.time.Now(), n}, sum+n
				}
				if err != nil {
					t.Fatalf("seed %d, step %d, %s: got %v; want it done", seed, step, token, err)
				}
				wantAdded(t, r.Store, fmt.Sprint(sum))
			}
			if replayed == 0 || reused == 0 {
				t.Errorf("got %d requests again, %d refused; want some of both", replayed, reused)
			}
			if n := decisions(t, r.Store); n > int64(len(used)) {
				t.Errorf("got %d tokens kept; want those of ten minutes", n)
			}
		})
	}
}
