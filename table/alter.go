package table

import (
	"context"
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

// Alter changes a table. Settings take effect at once, although the response's status is Updating
// and it has the old throughput, as DynamoDB's does; an index is filled or removed in the
// background, and the table is Updating until that is done. Errors: NotFound, Exists while another
// change is under way, Limit for more than one index added or removed, Invalid.
func (s *Store) Alter(ctx context.Context, a Alteration) (Description, error) {
	s.catalog.mu.Lock()
	defer s.catalog.mu.Unlock()
	old, err := s.catalog.table(a.Table)
	if err != nil {
		return Description{}, err
	}
	r, now := old.clone(), milliseconds(s.now())
	response, err := r.alter(&a, now)
	if err != nil {
		return Description{}, err
	}
	if err := s.tables.table(a.Table).alterable(old, &a, s.now()); err != nil {
		return Description{}, err
	}
	if a.Stream != nil {
		if err := r.alterStream(*a.Stream, now, s.tables.table(a.Table).shards); err != nil {
			return Description{}, err
		}
	}
	r.updateStatus()
	if err := s.catalog.replace(ctx, r, false); err != nil {
		return Description{}, err
	}
	t := s.tables.table(a.Table)
	t.pending.Store(uint32(Updating))
	d := t.describe(s.now())
	d.Status = Updating
	response.apply(&d)
	return d, nil
}

// alterable returns an error unless the table, whose record is r, may be altered at now. An index
// that is being filled may be removed.
func (t *live) alterable(r *record, a *Alteration, now time.Time) error {
	if r.Table.Status == Updating && len(a.Indexes) == 1 && a.Indexes[0].Delete != "" {
		if x := r.index(a.Indexes[0].Delete); x != nil && x.Status == Creating {
			return nil
		}
	}
	return t.busy(now)
}

// alter applies an alteration to a record, and returns how the response differs from the record.
func (r *record) alter(a *Alteration, now time.Time) (*alterResponse, error) {
	was := r.Table.Billing
	response := &alterResponse{indexes: map[string]throughputResponse{}}
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

func (r *record) alterBilling(a *Alteration) error {
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
		if without := r.indexesWithout(a); len(without) > 0 {
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
func (r *record) indexesWithout(a *Alteration) []string {
	var without []string
	for _, x := range r.Table.Indexes {
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
func (r *record) alterThroughput(a *Alteration, was Billing, now time.Time, response *alterResponse) error {
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

func (r *record) alterIndex(u *IndexUpdate, was Billing, now time.Time, response *alterResponse) error {
	if t := u.Throughput; t != nil && (t.Read > maxThroughput || t.Write > maxThroughput) {
		return invalid("This operation cannot be performed with given input values. Please contact DynamoDB service team " +
			"for more info: " +
			"Action Blocked: IndexUpdate")
	}
	x := r.index(u.Name)
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

// An alterResponse is how the response to an Alter differs from the table's new description: it
// shows what DynamoDB reports while a change is under way.
type alterResponse struct {
	table    *throughputResponse
	indexes  map[string]throughputResponse
	onDemand bool // it has become so
}

type throughputResponse struct {
	Throughput
	increase, decrease time.Time
	decreases          int64
}

// apply changes a description to what the response has.
func (a *alterResponse) apply(d *Description) {
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
func (r *record) becomeOnDemand(was Billing, now time.Time, response *alterResponse) {
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

// alterIndexes adds or removes an index: only one at a time.
func (r *record) alterIndexes(a *Alteration) error {
	changed := 0
	for _, c := range a.Indexes {
		if c.Create != nil || c.Delete != "" {
			changed++
		}
	}
	if changed > 1 || len(a.Indexes) > 5 && changed > 0 {
		return holdfast.Errorf(holdfast.Limit,
			"Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table")
	}
	if err := r.define(a.Attributes); err != nil {
		return err
	}
	for _, c := range a.Indexes {
		var err error
		switch {
		case c.Create != nil:
			err = r.createIndex(*c.Create)
		case c.Delete != "":
			err = r.deleteIndex(c.Delete)
		}
		if err != nil {
			return err
		}
	}
	return r.undefine(a.Attributes)
}

func (r *record) createIndex(d IndexDefinition) error {
	if r.index(d.Index.Name) != nil {
		return invalid("Attempting to create an index which already exists")
	}
	if r.Table.Billing == Provisioned && (d.Throughput.Read < 1 || d.Throughput.Write < 1) {
		return invalid("One or more parameter values were invalid: ProvisionedThroughput must be specified for index: %s",
			d.Index.Name)
	}
	d.Index.Local = false
	return r.addIndex(d, Creating)
}

func (r *record) deleteIndex(name string) error {
	x := r.index(name)
	if x == nil || x.Index.Local {
		return holdfast.Errorf(holdfast.NotFound, "Requested resource not found")
	}
	x.Status, x.Backfilling = Deleting, false
	return nil
}

// define adds definitions of attributes. One that is part of a key keeps its type.
func (r *record) define(attributes []item.KeyAttr) error {
	for _, a := range attributes {
		i := slices.IndexFunc(r.Table.Attributes, func(d item.KeyAttr) bool { return d.Name == a.Name })
		if i < 0 {
			r.Table.Attributes = append(r.Table.Attributes, a)
		} else if r.Table.Attributes[i].Type != a.Type {
			return r.redefined(r.Table.Attributes[i], a)
		}
	}
	return nil
}

// redefined is DynamoDB's error for an attribute that is defined again with another type. It names
// the role of the attribute.
func (r *record) redefined(was, a item.KeyAttr) error {
	role := "RANGE"
	hash := func(key item.IndexKey) bool {
		return slices.ContainsFunc(key.Hash, func(k item.KeyAttr) bool { return k.Name == a.Name })
	}
	if hash(r.Table.Key.Index()) || slices.ContainsFunc(r.Table.Indexes,
		func(x IndexDescription) bool { return hash(x.Index.Key) }) {
		role = "HASH"
	}
	return invalid("One or more parameter values were invalid: Attributes cannot be redefined. Please check that your "+
		"attribute has the "+
		"same type as previously defined. Existing schema: Schema:[SchemaElement: key{%s:%s:%s}] New schema: "+
		"Schema:[SchemaElement: key{%s:%s:%s}]",
		a.Name, was.Type, role, a.Name, a.Type, role)
}

// undefine removes the definitions of attributes that no key has any more. It is an error if one of
// those just given is among them.
func (r *record) undefine(given []item.KeyAttr) error {
	used := r.keyNames()
	for _, a := range given {
		if !slices.Contains(used, a.Name) {
			return invalid("One or more parameter values were invalid: Some AttributeDefinitions are not used. "+
				"AttributeDefinitions: %s, "+
				"keys used: %s", list(attrNames(given)), list(used))
		}
	}
	r.Table.Attributes = slices.DeleteFunc(r.Table.Attributes,
		func(a item.KeyAttr) bool { return !slices.Contains(used, a.Name) })
	return nil
}
