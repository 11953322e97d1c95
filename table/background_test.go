package table

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
	"holdfast/shard"
)

// The worker and the sweeper do by themselves what the other tests do job by job.
func TestBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, err := shard.Open(shard.Options{Dir: "data", FS: vfs.NewMem()})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = disk.Close() }()
		s, err := Open(context.Background(), Options{Disk: disk})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		r := &rig{Store: s, t: t, time: &clock{now: time.Now()}}
		r.create(users("users"))
		for i := range 20 {
			r.put("users", r.expiring(i, 100))
		}
		a := item.KeyAttr{Name: "n", Type: item.N}
		r.alter(catalog.Alteration{Table: "users", Attributes: []item.KeyAttr{a},
			Indexes: []catalog.IndexAlteration{{Create: &catalog.IndexDefinition{
				Index: item.Index{Name: "by-n", Key: item.KeySchema{Hash: a}.Index(), Project: item.ProjectKeys}}}}})
		r.setTTL(catalog.TTL{Attr: "until", On: true})
		time.Sleep(time.Second) // changes wait a little on their way to the indexes
		synctest.Wait()
		if d := r.describe("users"); d.Status != catalog.Active || d.Items != 20 || d.Indexes[1].Items != 20 {
			t.Errorf("got %+v; want it active, with 20 items in its new index", d)
		}
		time.Sleep(98 * time.Second)
		synctest.Wait()
		if d := r.describe("users"); d.Items != 20 {
			t.Errorf("a second too soon: got %d items; want 20", d.Items)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if d := r.describe("users"); d.Items != 0 {
			t.Errorf("two seconds after expiry: got %d items; want 0", d.Items)
		}
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
		_, err = s.Alter(context.Background(), catalog.Alteration{Table: "users"})
		wantError(t, err, holdfast.Closed, "the tables are closed")
	})
}

func TestAFaultIsLoggedOnce(t *testing.T) {
	var text bytes.Buffer
	c := failureLog{log: slog.New(slog.NewTextHandler(&text, nil)), last: map[string]string{}}
	full := holdfast.Errorf(holdfast.Full, "the disk is full")
	for range 3 {
		c.note(context.Background(), "fill index a", full)
	}
	c.note(context.Background(), "fill index a", nil)
	c.note(context.Background(), "fill index a", full)
	c.note(context.Background(), "fill index b", holdfast.Errorf(holdfast.Closed, "closed"))
	if got := strings.Count(text.String(), "fill index a"); got != 2 || strings.Contains(text.String(), "fill index b") {
		t.Errorf("got %d lines: %s; want 2, of index a", got, &text)
	}
}
