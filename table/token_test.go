package table

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
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
	if records, err := s.disk.Records(tokenPrefix); err != nil || len(records) > 10 {
		t.Errorf("got %d tokens, %v; want those of the last minutes", len(records), err)
	}
	at.add(100 * time.Hour)
	if err := addOnce(t, s, "last", 1); err != nil {
		t.Fatal(err)
	}
	if records, err := s.disk.Records(tokenPrefix); err != nil || len(records) != 1 {
		t.Errorf("after long: got %d tokens, %v; want one", len(records), err)
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
