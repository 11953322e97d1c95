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
	o, err := s.installer.open(r)
	if err != nil {
		s.installer.stopFollowers(r.Table.ID)
		return catalog.Description{}, err
	}
	r.BeginStream(d.Stream, r.Table.Created, ends(o.shards))
	r.UpdateStatus()
	if err := s.catalog.Commit(ctx, catalog.Revision{Put: []catalog.Entry{r}}); err != nil {
		s.installer.stopFollowers(r.Table.ID)
		return catalog.Description{}, err
	}
	t := s.tables.publish(r, o, catalog.Creating)
	if err := o.awaitFilled(ctx); err != nil {
		return catalog.Description{}, err
	}
	response := t.describe(s.now())
	response.Status, response.LastOnDemand = catalog.Creating, time.Time{}
	for i := range response.Indexes {
		response.Indexes[i].Status = catalog.Creating
	}
	return response, nil
}
