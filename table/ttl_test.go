package table

import (
	"context"
	"fmt"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
	"holdfast/shard"
)

// expiring is a user that expires some seconds from the clock's now.
func (r *rig) expiring(n, seconds int) item.Item {
	return user(n, item.Attr{Name: "until", Value: number(fmt.Sprint(r.time.Now().Unix() + int64(seconds)))})
}

func (r *rig) setTTL(ttl catalog.TTL) {
	r.t.Helper()
	if err := r.SetTTL(context.Background(), "users", ttl); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) sweepAll() {
	r.t.Helper()
	if err := r.sweeper.expireAll(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

func TestExpiry(t *testing.T) {
	r := newRig(t, Options{ShardsPerTable: 2})
	r.create(users("users"))
	for i := range 100 {
		r.put("users", r.expiring(i, 10+i))
	}
	r.put("users", user(100))                                                   // never expires
	r.put("users", user(101, item.Attr{Name: "until", Value: item.Text("17")})) // nor does this
	r.put("users", user(102, item.Attr{Name: "never", Value: number("1")}))     // nor this
	r.sweepAll()
	r.time.add(time.Minute)
	r.sweepAll()
	if got := r.describe("users").Items; got != 103 {
		t.Fatalf("TTL off: got %d items; want 103", got)
	}
	r.setTTL(catalog.TTL{Attr: "until", On: true})
	r.crash() // before the queue was filled
	r.check()
	r.settle()
	r.put("users", r.expiring(0, 1000)) // has expired, but gets a later time
	r.put("users", r.expiring(103, -1)) // has expired when it is written
	r.sweepAll()
	if got := r.describe("users").Items; got != 104-50 {
		t.Errorf("after 60 s: got %d items; want 54", got)
	}
	r.checkIndexes("users")
	origins := map[holdfast.Origin]int{}
	l, _ := r.tables.serving("users")
	for _, sh := range l.shards {
		changes, _, err := sh.Changes(holdfast.Position{}, shard.Limit{Changes: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			if c.After == nil {
				origins[c.Origin]++
			}
		}
	}
	if origins[holdfast.ByExpiry] != 50 || origins[holdfast.ByClient] != 0 {
		t.Errorf("deletions: got %v by origin; want 50 by expiry alone", origins)
	}
	r.time.add(time.Hour)
	r.sweepAll()
	if got := r.describe("users").Items; got != 3 {
		t.Errorf("after an hour: got %d items; want the 3 that never expire", got)
	}
}

func TestSetTTL(t *testing.T) {
	r := newRig(t, Options{})
	r.create(users("users"))
	ctx := context.Background()
	wantError(t, r.SetTTL(ctx, "users", catalog.TTL{Attr: "until"}), holdfast.Invalid, "TimeToLive is already disabled")
	wantError(t, r.SetTTL(ctx, "none", catalog.TTL{Attr: "until", On: true}), holdfast.NotFound,
		"Requested resource not found: Table: none not found")
	r.setTTL(catalog.TTL{Attr: "until", On: true})
	wantError(t, r.SetTTL(ctx, "users", catalog.TTL{Attr: "until", On: true}), holdfast.Invalid,
		"TimeToLive is already enabled")
	wantError(t, r.SetTTL(ctx, "users", catalog.TTL{Attr: "other", On: true}), holdfast.Invalid,
		"TimeToLive is active on a different AttributeName: current AttributeName is until")
	if got, err := r.TTL("users"); err != nil || got != (catalog.TTL{Attr: "until", On: true}) {
		t.Errorf("got %v, %v; want on by until", got, err)
	}
	r.put("users", r.expiring(1, -5))
	r.settle()

	// Off, and on by another attribute at once: what the queue has by the old one must not count.
	r.setTTL(catalog.TTL{Attr: "until"})
	r.setTTL(catalog.TTL{Attr: "other", On: true})
	until, _ := r.expiring(0, -5).Get("until")
	r.put("users", user(2, item.Attr{Name: "other", Value: until}))
	r.put("users", r.expiring(3, -5))
	for r.step(1) > 0 {
		r.crash()
		r.check()
	}
	r.sweepAll()
	if got := r.describe("users").Items; got != 2 {
		t.Errorf("got %d items; want 2: those that have no other", got)
	}
}

// 1. The sweeper finds that an item has expired. 2. A client gives it a later time. 3. The sweeper
// would delete it.
func TestAnItemThatGotALaterTimeIsKept(t *testing.T) {
	r := newRig(t, Options{})
	r.create(users("users"))
	r.setTTL(catalog.TTL{Attr: "until", On: true})
	r.put("users", r.expiring(1, -5))
	r.put("users", r.expiring(2, -5))
	sh := r.tables.table("users").shards[0]
	keys, err := sh.Expired(r.time.Now(), 10, 1<<16)
	if err != nil || len(keys) != 2 {
		t.Fatalf("got %d keys, %v; want 2", len(keys), err)
	}
	r.put("users", r.expiring(1, 5))
	if n, err := r.sweeper.deleteExpired(context.Background(), sh, keys, "until", r.time.Now()); n != 1 || err != nil {
		t.Errorf("got %d deleted, %v; want 1", n, err)
	}
	sameItems(t, "left", r.items("users", ""), []item.Item{r.expiring(1, 5)})
}
