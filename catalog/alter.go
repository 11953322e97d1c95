package catalog

import (
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/item"
)

// An Alteration is a change of a table's settings. What is nil stays.
type Alteration struct {
	Table              string
	Billing            *Billing
	Throughput         *Throughput
	OnDemandLimit      *Throughput
	Warm               *Throughput
	Indexes            []IndexAlteration
	Stream             *View // 0: off
	DeletionProtection *bool
	Class              *string
	Encryption         *string
	Attributes         []item.KeyAttr // AttributeDefinitions in the order of the request
}

// An IndexAlteration adds, changes or removes a global index: exactly one is set.
type IndexAlteration struct {
	Create *IndexDefinition
	Update *IndexUpdate
	Delete string // its name
}

// An IndexUpdate changes the throughput of an index. What is nil stays.
type IndexUpdate struct {
	Name          string
	Throughput    *Throughput
	OnDemandLimit *Throughput
	Warm          *Throughput
}

// maxThroughput is the most units that can be asked for.
const maxThroughput = 1_000_000_000_000

// Alter applies an alteration to a record, and returns how the response differs from the record.
func (r *Table) Alter(a *Alteration, now time.Time) (*AlterResponse, error) {
	was := r.Table.Billing
	response := &AlterResponse{indexes: map[string]throughputResponse{}}
	if err := r.alterBilling(a); err != nil {
		return nil, err
	}
	if err := r.alterThroughput(a, was, now, response); err != nil {
		return nil, err
	}
	if err := r.alterIndexes(a); err != nil {
		return nil, err
	}
	r.becomeOnDemand(was, now, response)
	if a.DeletionProtection != nil {
		r.Table.DeletionProtection = *a.DeletionProtection
	}
	if a.Class != nil {
		r.Table.Class = *a.Class
	}
	if a.Encryption != nil {
		r.Table.Encryption = *a.Encryption
	}
	return response, nil
}

func (r *Table) alterBilling(a *Alteration) error {
	was := r.Table.Billing
	if a.Billing != nil {
		r.Table.Billing = *a.Billing
	}
	if a.Throughput != nil && r.Table.Billing == OnDemand {
		return invalid("One or more parameter values were invalid: " +
			"Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST")
	}
	if was == OnDemand && r.Table.Billing == Provisioned {
		if a.Throughput == nil {
			return invalid("One or more parameter values were invalid: ProvisionedThroughput must be specified when " +
				"BillingMode is PROVISIONED")
		}
		if without := r.Table.indexesWithout(a); len(without) > 0 {
			return invalid("One or more parameter values were invalid: ProvisionedThroughput must be specified for index: %s",
				strings.Join(without, ","))
		}
	}
	if a.OnDemandLimit != nil {
		r.Table.OnDemandLimit = *a.OnDemandLimit
	}
	if a.Warm != nil {
		r.Table.Warm = *a.Warm
	}
	return nil
}

// indexesWithout returns the global indexes for which the alteration gives no throughput.
func (d *Description) indexesWithout(a *Alteration) []string {
	var without []string
	for _, x := range d.Indexes {
		given := slices.ContainsFunc(a.Indexes, func(c IndexAlteration) bool {
			return c.Delete == x.Index.Name || c.Update != nil && c.Update.Name == x.Index.Name && c.Update.Throughput != nil
		})
		if !x.Index.Local && !given {
			without = append(without, x.Index.Name)
		}
	}
	return without
}

// alterThroughput changes the throughput of the table and of its indexes. A throughput that is
// given must differ from the present one.
func (r *Table) alterThroughput(a *Alteration, was Billing, now time.Time, response *AlterResponse) error {
	if a.Throughput != nil {
		d := &r.Table
		before := throughputResponse{d.Throughput, d.LastIncrease, d.LastDecrease, d.DecreasesToday}
		step, err := changeThroughput(&d.Throughput, *a.Throughput, &d.LastIncrease, &d.LastDecrease, &d.DecreasesToday, now)
		if err != nil {
			return err
		}
		response.table = step.of(before, now)
		if was == OnDemand {
			response.table.Throughput = *a.Throughput
		}
	}
	for _, c := range a.Indexes {
		if c.Update == nil {
			continue
		}
		if err := r.alterIndex(c.Update, was, now, response); err != nil {
			return err
		}
	}
	return nil
}

func (r *Table) alterIndex(u *IndexUpdate, was Billing, now time.Time, response *AlterResponse) error {
	if t := u.Throughput; t != nil && (t.Read > maxThroughput || t.Write > maxThroughput) {
		return invalid("This operation cannot be performed with given input values. Please contact DynamoDB service team " +
			"for more info: " +
			"Action Blocked: IndexUpdate")
	}
	x := r.Index(u.Name)
	if x == nil || x.Index.Local {
		return holdfast.Errorf(holdfast.NotFound, "Requested resource not found")
	}
	if u.OnDemandLimit != nil {
		x.OnDemandLimit = *u.OnDemandLimit
	}
	if u.Warm != nil {
		x.Warm = *u.Warm
	}
	if u.Throughput == nil {
		return nil
	}
	before := throughputResponse{x.Throughput, x.LastIncrease, x.LastDecrease, x.DecreasesToday}
	step, err := changeThroughput(&x.Throughput, *u.Throughput, &x.LastIncrease, &x.LastDecrease, &x.DecreasesToday, now)
	if err != nil {
		return err
	}
	reported := step.of(before, now)
	if was == OnDemand {
		reported.Throughput = *u.Throughput
	}
	response.indexes[u.Name] = *reported
	return nil
}

// An AlterResponse is how the response to an Alter differs from the table's new description: it
// shows what DynamoDB reports while a change is under way.
type AlterResponse struct {
	table    *throughputResponse
	indexes  map[string]throughputResponse
	onDemand bool // it has become so
}

type throughputResponse struct {
	Throughput
	increase, decrease time.Time
	decreases          int64
}

// Apply changes a description to what the response has.
func (a *AlterResponse) Apply(d *Description) {
	if t := a.table; t != nil {
		d.Throughput, d.LastIncrease, d.LastDecrease, d.DecreasesToday = t.Throughput, t.increase, t.decrease, t.decreases
	}
	if a.onDemand {
		d.LastDecrease, d.LastOnDemand = d.LastOnDemand.Add(-time.Millisecond), time.Time{}
	}
	for i := range d.Indexes {
		x := &d.Indexes[i]
		if t, ok := a.indexes[x.Index.Name]; ok {
			x.Throughput, x.LastIncrease, x.LastDecrease, x.DecreasesToday = t.Throughput, t.increase, t.decrease, t.decreases
			x.Status = Updating
		}
		if a.onDemand && !x.Index.Local {
			x.Status = Updating
		}
	}
}

// A step is the directions in which a throughput changes: one of its units may rise while the other
// falls.
type step struct{ up, down bool }

// of returns what the response reports of a change that begins now.
func (s step) of(before throughputResponse, now time.Time) *throughputResponse {
	if s.up {
		before.increase = now
	}
	if s.down {
		before.decrease = now
	}
	return &before
}

// changeThroughput changes a throughput, and records when. A change ends a millisecond, the unit in
// which clients see these times, after it began. A change that lowers one unit and raises the other
// counts as an increase.
func changeThroughput(
	t *Throughput, to Throughput, increase, decrease *time.Time, decreases *int64, now time.Time,
) (step, error) {
	if *t == to {
		return step{}, invalid("The provisioned throughput for the table will not change. The requested value equals the "+
			"current value. "+
			"Current ReadCapacityUnits provisioned for the table: %d. Requested ReadCapacityUnits: %d. "+
			"Current WriteCapacityUnits provisioned for the table: %d. Requested WriteCapacityUnits: %d. "+
			"Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher limits.",
			t.Read, to.Read, t.Write, to.Write)
	}
	s := step{up: to.Read > t.Read || to.Write > t.Write, down: to.Read < t.Read || to.Write < t.Write}
	over := now.Add(time.Millisecond)
	if s.up {
		*increase = over
	}
	if s.down {
		if !sameDay(*decrease, now) {
			*decreases = 0
		}
		*decrease = over
	}
	if s.down && !s.up {
		*decreases++
	}
	*t = to
	return s, nil
}

func sameDay(a, b time.Time) bool {
	return a.UTC().Truncate(24 * time.Hour).Equal(b.UTC().Truncate(24 * time.Hour))
}

// becomeOnDemand drops the provisioned throughput if the table is no longer billed for it.
func (r *Table) becomeOnDemand(was Billing, now time.Time, response *AlterResponse) {
	if was == OnDemand || r.Table.Billing != OnDemand {
		return
	}
	response.onDemand = true
	r.Table.Throughput, r.Table.LastDecrease = Throughput{}, time.Time{}
	r.Table.LastOnDemand = now.Add(time.Millisecond)
	for i := range r.Table.Indexes {
		if x := &r.Table.Indexes[i]; !x.Index.Local {
			if !sameDay(x.LastDecrease, now) {
				x.DecreasesToday = 0
			}
			x.Throughput, x.LastDecrease = Throughput{}, now.Add(time.Millisecond)
			x.DecreasesToday++
		}
	}
}
