package table

import (
	"context"
	"time"

	"holdfast/catalog"
	"holdfast/item"
)

// Create makes a table. The response's status is Creating, as DynamoDB's is, but its items can be
// written at once, and the first Describe finds it Active; before that it can't be altered or
// removed. Types of key attributes are those of attributes. Errors: Exists if there is a table of
// that name, Invalid if the definition contradicts itself.
func (s *Store) Create(
	ctx context.Context, d catalog.Definition, attributes []item.KeyAttr,
) (catalog.Description, error) {
	if err := catalog.CheckSettings(d.Tags, voters(s.catalog, s.nodes)); err != nil {
		return catalog.Description{}, err
	}
	s.catalog.Lock()
	defer s.catalog.Unlock()
	r, err := catalog.NewTable(d, attributes, catalog.Active, s.now())
	if err != nil {
		return catalog.Description{}, err
	}
	if err := s.installer.vacant(d.Name); err != nil {
		return catalog.Description{}, err
	}
	if err := hasSpace(s.disk); err != nil {
		return catalog.Description{}, err // before shards are opened
	}
	if r.Space, r.Shards, err = s.catalog.NewSpace(ctx, catalog.Even(s.shardsPerTable)); err != nil {
		return catalog.Description{}, err
	}
	if _, err = s.catalog.PlaceIndexes(ctx, r); err != nil {
		return catalog.Description{}, err
	}
	t, err := s.installer.create(ctx, r, d.Stream)
	if err != nil {
		return catalog.Description{}, err
	}
	response := t.describe(s.now())
	response.Status, response.LastOnDemand = catalog.Creating, time.Time{}
	for i := range response.Indexes {
		response.Indexes[i].Status = catalog.Creating
	}
	return response, nil
}

// create opens the shards of a new table, puts its record into the catalog, publishes it, and
// returns when its indexes follow it. view is that of its stream; 0: it has none. The catalog is
// locked.
func (i *installer) create(ctx context.Context, r *catalog.Table, view catalog.View) (*live, error) {
	ctx, cancel := i.cluster.ended(ctx)
	defer cancel()
	o, err := openNew(i, r)
	if err != nil {
		i.stopFollowers(r.Table.ID)
		return nil, i.cluster.abandon(r, err)
	}
	r.BeginStream(view, r.Table.Created, ends(o.shards))
	r.UpdateStatus()
	if err := i.commit(ctx, catalog.Revision{Put: []catalog.Entry{r}}); err != nil {
		i.stopFollowers(r.Table.ID)
		return nil, i.cluster.abandon(r, err)
	}
	if i.cluster != nil {
		if o, err = leadTable(ctx, i, r, o); err != nil {
			return nil, i.cluster.followed(err)
		}
	}
	t := i.tables.publish(r, o, catalog.Creating)
	if err := i.cluster.followed(nil); err != nil {
		return nil, err
	}
	return t, o.awaitFilled(ctx)
}

// openNew opens the shards of a new table. In a cluster its indexes follow it when this node leads
// it.
func openNew(i *installer, r *catalog.Table) (opened, error) {
	if i.cluster != nil {
		return i.openShards(r, opened{})
	}
	return i.open(r)
}
