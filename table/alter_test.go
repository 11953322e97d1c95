package table

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
)

func provisioned(name string, read, write int64) (catalog.Definition, []item.KeyAttr) {
	d, attributes := users(name)
	d.Billing, d.Throughput = catalog.Provisioned, catalog.Throughput{Read: read, Write: write}
	d.Indexes[0].Throughput = d.Throughput
	return d, attributes
}

func TestAlterThroughput(t *testing.T) {
	r := newRig(t, Options{Throttle: true})
	r.create(provisioned("users", 5, 5))
	same := catalog.Throughput{Read: 5, Write: 5}
	_, err := r.Alter(context.Background(), catalog.Alteration{Table: "users", Throughput: &same})
	wantError(t, err, holdfast.Invalid, "The provisioned throughput for the table will not change. The requested value "+
		"equals the current value. "+
		"Current ReadCapacityUnits provisioned for the table: 5. Requested ReadCapacityUnits: 5. "+
		"Current WriteCapacityUnits provisioned for the table: 5. Requested WriteCapacityUnits: 5. "+
		"Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher limits.")

	up := r.alter(catalog.Alteration{Table: "users", Throughput: &catalog.Throughput{Read: 15, Write: 15}})
	if up.Status != catalog.Updating || up.Throughput != same || up.LastIncrease.IsZero() {
		t.Errorf("response: got %+v; want it updating, with the old throughput, and the time of an increase", up)
	}
	_, err = r.Alter(context.Background(), catalog.Alteration{Table: "users", Throughput: &same})
	wantError(t, err, holdfast.Exists, "Attempt to change a resource which is still in use: Table is being updated: users")
	is := r.describe("users")
	if is.Status != catalog.Active || is.Throughput != (catalog.Throughput{Read: 15, Write: 15}) ||
		!is.LastIncrease.After(up.LastIncrease) {
		t.Errorf("described: got %+v; want it active, with 15 units, and the increase a moment later than %v", is,
			up.LastIncrease)
	}
	if got := r.tables.table("users").throughput.buckets[""].read.unitsPerSecond; got != 15 {
		t.Errorf("bucket: got %v units a second; want 15", got)
	}
	bucket := r.tables.table("users").throughput.buckets[""].read
	r.setTTL(catalog.TTL{Attr: "until", On: true})
	if got := r.tables.table("users").throughput.buckets[""].read; got != bucket {
		t.Error("another setting: got another bucket; want the same, with what is left in it")
	}
	r.time.add(time.Minute)
	down := r.alter(catalog.Alteration{Table: "users", Throughput: &same})
	if down.DecreasesToday != 0 || !down.LastDecrease.Equal(r.time.Now()) || !down.LastIncrease.Equal(is.LastIncrease) {
		t.Errorf("response: got %+v; want no decrease counted yet", down)
	}
	is = r.describe("users")
	if is.DecreasesToday != 1 || !is.LastDecrease.After(down.LastDecrease) || is.Throughput != same {
		t.Errorf("described: got %+v; want one decrease, and 5 units", is)
	}
	r.time.add(24 * time.Hour)
	if is = r.describe("users"); is.DecreasesToday != 0 {
		t.Errorf("a day later: got %d decreases today; want 0", is.DecreasesToday)
	}
	r.crash()
	r.check()
	if is = r.describe("users"); is.Throughput != same {
		t.Errorf("after a crash: got %v; want %v", is.Throughput, same)
	}
}

func TestAlterBilling(t *testing.T) {
	r := newRig(t, Options{Throttle: true})
	r.create(provisioned("users", 5, 5))
	onDemand, again := catalog.OnDemand, catalog.Provisioned
	if d := r.alter(catalog.Alteration{Table: "users", Billing: &onDemand}); d.Throughput != (catalog.Throughput{}) ||
		d.LastDecrease.IsZero() || !d.LastOnDemand.IsZero() ||
		d.Indexes[0].Status != catalog.Updating || d.Indexes[0].DecreasesToday != 1 {
		t.Errorf("response: got %+v; want no throughput, a decrease, and the index updating", d)
	}
	d := r.describe("users")
	if d.Billing != catalog.OnDemand || d.LastOnDemand.IsZero() || d.Indexes[0].Throughput != (catalog.Throughput{}) ||
		d.Indexes[0].Status != catalog.Active {
		t.Errorf("described: got %+v; want it on demand", d)
	}
	if b := r.tables.table("users").throughput.buckets[""]; b.read != nil || b.write != nil {
		t.Errorf("buckets: got %v; want none", b)
	}
	five := catalog.Throughput{Read: 5, Write: 5}
	_, err := r.Alter(context.Background(), catalog.Alteration{Table: "users", Throughput: &five})
	wantError(t, err, holdfast.Invalid, "One or more parameter values were invalid: "+
		"Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST")
	_, err = r.Alter(context.Background(), catalog.Alteration{Table: "users", Billing: &again, Throughput: &five})
	wantError(t, err, holdfast.Invalid, "One or more parameter values were invalid: ProvisionedThroughput must be "+
		"specified for index: by-city")
	index := []catalog.IndexAlteration{{Update: &catalog.IndexUpdate{Name: "by-city", Throughput: &five}}}
	if d := r.alter(catalog.Alteration{Table: "users", Billing: &again, Throughput: &five,
		Indexes: index}); d.Throughput != five || d.Indexes[0].Throughput != five {
		t.Errorf("response: got %+v; want the new throughput in it, as there was none", d)
	}
	if d := r.alterSoon(catalog.Alteration{Table: "users", Billing: &onDemand}); d.Billing != catalog.OnDemand {
		t.Errorf("got billing %d; want %d", d.Billing, catalog.OnDemand)
	}
	// no change, but no error
	if d := r.alterSoon(catalog.Alteration{Table: "users", Billing: &onDemand}); d.Billing != catalog.OnDemand {
		t.Errorf("got billing %d; want %d", d.Billing, catalog.OnDemand)
	}
}

// alterSoon alters a table once the previous change is complete.
func (r *rig) alterSoon(a catalog.Alteration) catalog.Description {
	r.t.Helper()
	r.time.add(changeTime)
	return r.alter(a)
}

func TestAlterRefusesIndexes(t *testing.T) {
	r := newRig(t, Options{})
	r.create(users("users"))
	a := item.KeyAttr{Name: "a", Type: item.N}
	index := func(name string) *catalog.IndexDefinition {
		return &catalog.IndexDefinition{
			Index: item.Index{Name: name, Key: item.KeySchema{Hash: a}.Index(), Project: item.ProjectAll},
		}
	}
	for _, c := range []struct {
		a    catalog.Alteration
		kind holdfast.Kind
		want string
	}{
		{catalog.Alteration{Indexes: []catalog.IndexAlteration{{Create: index("by-city")}}, Attributes: []item.KeyAttr{a}},
			holdfast.Invalid,
			"Attempting to create an index which already exists"},
		{catalog.Alteration{Indexes: []catalog.IndexAlteration{{Create: index("by-a")}}}, holdfast.Invalid,
			"One or more parameter values were invalid: Some index key attributes are not defined in AttributeDefinitions. " +
				"Keys: [a], AttributeDefinitions: [id, city]"},
		{catalog.Alteration{Indexes: []catalog.IndexAlteration{{Delete: "none"}}}, holdfast.NotFound,
			"Requested resource not found"},
		{catalog.Alteration{Indexes: []catalog.IndexAlteration{{Create: index("by-a")}, {Delete: "by-city"}},
			Attributes: []item.KeyAttr{a}},
			holdfast.Limit,
			"Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table"},
		{catalog.Alteration{Indexes: []catalog.IndexAlteration{{Update: &catalog.IndexUpdate{Name: "none",
			Throughput: &catalog.Throughput{Read: 1_000_000_000_000 + 1}}}}}, holdfast.Invalid,
			"This operation cannot be performed with given input values. Please contact DynamoDB service team for more info: " +
				"Action Blocked: IndexUpdate"},
		{catalog.Alteration{Attributes: []item.KeyAttr{{Name: "id", Type: item.N}}}, holdfast.Invalid,
			"One or more parameter values were invalid: Attributes cannot be redefined. Please check that your attribute has " +
				"the same type as " +
				"previously defined. Existing schema: Schema:[SchemaElement: key{id:S:HASH}] New schema: Schema:[SchemaElement: " +
				"key{id:N:HASH}]"},
	} {
		c.a.Table = "users"
		_, err := r.Alter(context.Background(), c.a)
		wantError(t, err, c.kind, c.want)
	}
	_, err := r.Alter(context.Background(), catalog.Alteration{Table: "none"})
	wantError(t, err, holdfast.NotFound, "Requested resource not found: Table: none not found")
	if d := r.describe("users"); d.Status != catalog.Active || len(d.Indexes) != 1 || len(d.Attributes) != 2 {
		t.Errorf("got %+v; want it unchanged", d)
	}
}

// An index is added to a table with items, some of which have an attribute of another type or none,
// and another index is removed, with a crash after each number of background jobs: it ends the
// same.
func TestIndexesAreFilledAndRemovedDespiteCrashes(t *testing.T) {
	for crashAfter := range 8 {
		t.Run(fmt.Sprint(crashAfter), func(t *testing.T) {
			r := newRig(t, Options{ShardsPerTable: 2})
			r.create(users("users"))
			const n = 2 * fillBatch
			for i := range n {
				switch i % 3 {
				case 0:
					r.put("users", user(i, item.Attr{Name: "a", Value: number(fmt.Sprint(i))}))
				case 1:
					r.put("users", user(i, item.Attr{Name: "a", Value: item.Text("not a number")}))
				default:
					r.put("users", user(i))
				}
			}
			a := item.KeyAttr{Name: "a", Type: item.N}
			d := r.alter(catalog.Alteration{Table: "users", Attributes: []item.KeyAttr{a},
				Indexes: []catalog.IndexAlteration{{Create: &catalog.IndexDefinition{
					Index: item.Index{Name: "by-a", Key: item.KeySchema{Hash: a}.Index(), Project: item.ProjectKeys}}}}})
			if x := d.Indexes[1]; d.Status != catalog.Updating || x.Status != catalog.Creating || !x.Backfilling {
				t.Fatalf("got status %d, index %+v; want it being filled", d.Status, x)
			}
			l, _ := r.tables.serving("users")
			if _, active, ok := l.index("by-a"); active || !ok {
				t.Errorf("index being filled: got active %v, there %v; want false, true", active, ok)
			}
			r.step(crashAfter)
			r.crash()
			r.check()
			r.put("users", user(n, item.Attr{Name: "a", Value: number("7")})) // while it is being filled, or after
			r.settle()
			d = r.describe("users")
			x := d.Indexes[1]
			if d.Status != catalog.Active || x.Status != catalog.Active || x.Backfilling || x.Items != (n+2)/3+1 {
				t.Errorf("got status %d, index %+v; want both active with %d items", d.Status, x, (n+2)/3+1)
			}
			r.checkIndexes("users")

			r.alter(catalog.Alteration{Table: "users", Indexes: []catalog.IndexAlteration{{Delete: "by-city"}}})
			_, err := r.Remove(context.Background(), "users")
			wantError(t, err, holdfast.Exists, "Attempt to change a resource which is still in use: Table is being updated: "+
				"users")
			r.step(crashAfter)
			r.crash()
			r.check()
			r.settle()
			d = r.describe("users")
			if len(d.Indexes) != 1 || d.Status != catalog.Active || !slices.Equal(names(d.Attributes), []string{"id", "a"}) {
				t.Errorf("got %+v; want it active with one index, and no definition of city", d)
			}
			r.checkIndexes("users")
			l, _ = r.tables.serving("users")
			for _, sh := range l.shards {
				if got := scanShard(t, sh, 1); len(got) != 0 {
					t.Errorf("removed index: got %d entries; want 0", len(got))
				}
			}
		})
	}
}

func TestAnIndexBeingFilledCanBeRemoved(t *testing.T) {
	r := newRig(t, Options{})
	r.create(users("users"))
	r.put("users", user(1, item.Attr{Name: "a", Value: number("1")}))
	a := item.KeyAttr{Name: "a", Type: item.N}
	add := catalog.Alteration{Table: "users", Attributes: []item.KeyAttr{a},
		Indexes: []catalog.IndexAlteration{{Create: &catalog.IndexDefinition{
			Index: item.Index{Name: "by-a", Key: item.KeySchema{Hash: a}.Index(), Project: item.ProjectKeys}}}}}
	r.alter(add)
	r.time.add(changeTime)
	_, err := r.Alter(context.Background(),
		catalog.Alteration{Table: "users", Indexes: []catalog.IndexAlteration{{Delete: "by-city"}}})
	wantError(t, err, holdfast.Exists, "Attempt to change a resource which is still in use: Table is being updated: users")
	r.alter(catalog.Alteration{Table: "users", Indexes: []catalog.IndexAlteration{{Delete: "by-a"}}})
	r.settle()
	if d := r.describe("users"); d.Status != catalog.Active || len(d.Indexes) != 1 {
		t.Errorf("got %+v; want it active with one index", d)
	}
	r.alter(add)
	r.settle()
	if d := r.describe("users"); len(d.Indexes) != 2 || d.Indexes[1].Index.ID != 3 || d.Indexes[1].Items != 1 {
		t.Errorf("got %+v; want a new index with ID 3 and one item", d.Indexes)
	}
}
