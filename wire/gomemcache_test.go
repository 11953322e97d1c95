package wire

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/bradfitz/gomemcache/memcache"
)

// TestGomemcache runs gomemcache against Holdfast.
func TestGomemcache(t *testing.T) {
	c := memcache.New(start(t, holdfast(t)).addr)
	t.Cleanup(func() { c.Close() })
	c.Timeout = patience
	for _, test := range []struct {
		name string
		run  func(*testing.T, *memcache.Client)
	}{
		{"items", gomemcacheItems},
		{"many", gomemcacheMany},
		{"compare and swap", gomemcacheCAS},
		{"numbers", gomemcacheNumbers},
		{"touch and flush", gomemcacheTouch},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, c) })
	}
	if err := c.Ping(); err != nil {
		t.Fatalf("ping: %v", err)
	}
}

func gomemcacheItems(t *testing.T, c *memcache.Client) {
	want(t, "get of a miss", gomemcacheGet(c, "items"), memcache.ErrCacheMiss)
	want(t, "set", c.Set(&memcache.Item{Key: "items", Value: []byte("b"), Flags: 7}), nil)
	want(t, "add", c.Add(&memcache.Item{Key: "items", Value: []byte("x")}), memcache.ErrNotStored)
	want(t, "append", c.Append(&memcache.Item{Key: "items", Value: []byte("c")}), nil)
	want(t, "prepend", c.Prepend(&memcache.Item{Key: "items", Value: []byte("a")}), nil)
	it, err := c.Get("items")
	if err != nil || string(it.Value) != "abc" || it.Flags != 7 {
		t.Errorf("get: got %+v, %v; want abc, flags 7", it, err)
	}
	want(t, "replace", c.Replace(&memcache.Item{Key: "items", Value: []byte("z")}), nil)
	want(t, "delete", c.Delete("items"), nil)
	want(t, "delete of a miss", c.Delete("items"), memcache.ErrCacheMiss)
	want(t, "replace of a miss", c.Replace(&memcache.Item{Key: "items", Value: []byte("z")}), memcache.ErrNotStored)
	large := bytes.Repeat([]byte("v"), 1_000_000)
	want(t, "set of a megabyte", c.Set(&memcache.Item{Key: "items", Value: large}), nil)
	if it, err := c.Get("items"); err != nil || !bytes.Equal(it.Value, large) {
		t.Errorf("get of a megabyte: %v", err)
	}
}

func gomemcacheGet(c *memcache.Client, key string) error {
	_, err := c.Get(key)
	return err
}

func gomemcacheMany(t *testing.T, c *memcache.Client) {
	var keys []string
	for i := range 200 {
		key := fmt.Sprintf("many%d", i)
		keys = append(keys, key)
		if i%2 == 0 {
			want(t, "set", c.Set(&memcache.Item{Key: key, Value: []byte(key)}), nil)
		}
	}
	items, err := c.GetMulti(keys)
	if err != nil || len(items) != 100 {
		t.Fatalf("multiget: got %d items, %v; want 100", len(items), err)
	}
	for key, it := range items {
		if string(it.Value) != key {
			t.Errorf("%s: got %q", key, it.Value)
		}
	}
}

func gomemcacheCAS(t *testing.T, c *memcache.Client) {
	want(t, "set", c.Set(&memcache.Item{Key: "cas", Value: []byte("a")}), nil)
	mine, err := c.Get("cas")
	want(t, "get", err, nil)
	theirs, err := c.Get("cas")
	want(t, "get", err, nil)
	theirs.Value = []byte("theirs")
	want(t, "the first swap", c.CompareAndSwap(theirs), nil)
	mine.Value = []byte("mine")
	want(t, "the second swap", c.CompareAndSwap(mine), memcache.ErrCASConflict)
	want(t, "delete", c.Delete("cas"), nil)
	want(t, "a swap of what is gone", c.CompareAndSwap(mine), memcache.ErrCacheMiss)
}

func gomemcacheNumbers(t *testing.T, c *memcache.Client) {
	want(t, "set", c.Set(&memcache.Item{Key: "n", Value: []byte("98")}), nil)
	if n, err := c.Increment("n", 2); err != nil || n != 100 {
		t.Errorf("increment: got %d, %v; want 100", n, err)
	}
	if n, err := c.Decrement("n", 1000); err != nil || n != 0 {
		t.Errorf("decrement: got %d, %v; want 0", n, err)
	}
	_, err := c.Increment("no number", 1)
	want(t, "increment of a bad key", err, memcache.ErrMalformedKey)
	_, err = c.Increment("none", 1)
	want(t, "increment of a miss", err, memcache.ErrCacheMiss)
}

func gomemcacheTouch(t *testing.T, c *memcache.Client) {
	want(t, "set", c.Set(&memcache.Item{Key: "touched", Value: []byte("a")}), nil)
	want(t, "touch", c.Touch("touched", 100), nil)
	want(t, "touch of a miss", c.Touch("none", 100), memcache.ErrCacheMiss)
	it, err := c.GetAndTouch("touched", 50)
	if err != nil || string(it.Value) != "a" {
		t.Errorf("get and touch: got %+v, %v; want a", it, err)
	}
	want(t, "flush", c.FlushAll(), nil)
	want(t, "get after it", gomemcacheGet(c, "touched"), memcache.ErrCacheMiss)
}

func want(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v; want %v", what, got, want)
	}
}
