package table

import (
	"errors"
	"fmt"
	"testing"

	"holdfast"
)

// Errors name the shard of an item with its table, and never another shard whose number begins so.
func TestErrorsNameShardsAndTables(t *testing.T) {
	s, _ := openMemory(t, Options{ShardsPerTable: 4})
	d, attributes := plain("orders")
	create(t, s, d, attributes)
	o := s.tables.table("orders")
	key, err := o.schema.Key.Key(attrs("id", "a"))
	if err != nil {
		t.Fatal(err)
	}
	sh := o.shard(key).ID()
	for _, test := range [][2]string{
		{s.Where("orders", attrs("id", "a", "v", "x")), fmt.Sprintf("shard %d of table orders", sh)},
		{s.Where("orders", attrs("other", "a")), "the 4 shards of table orders"},
		{s.Where("orders", nil), "the 4 shards of table orders"},
		{s.Where("none", nil), "table none"},
	} {
		if test[0] != test[1] {
			t.Errorf("got %q; want %q", test[0], test[1])
		}
	}
	o.replicated = true
	about := func(format string, args ...any) error { return holdfast.Errorf(holdfast.Refused, format, args...) }
	for _, test := range []struct {
		err  error
		want string
	}{
		{about("nothing was changed: shard %d has no leader", sh), fmt.Sprintf(
			"nothing was changed: shard %d of table orders has no leader", sh)},
		{about("see: %w", about("shard %d is cut off", sh)),
			fmt.Sprintf("see: shard %d of table orders is cut off", sh)},
		{about("shard %d of table orders is cut off", sh), fmt.Sprintf("shard %d of table orders is cut off", sh)},
		{about("shard %d has no leader", sh*10), fmt.Sprintf("shard %d has no leader", sh*10)},
		{about("another text"), "another text"},
	} {
		var e *holdfast.Error
		for got := test.err; got != nil; got = nil {
			got = o.naming(fmt.Errorf("while: %w", o.naming(got)))
			if !errors.As(got, &e) || e.Text != test.want || !errors.Is(got, holdfast.Refused) {
				t.Errorf("got %v; want %q, of the same kind", got, test.want)
			}
		}
	}
}
