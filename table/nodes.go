package table

import (
	"context"

	"holdfast"
	"holdfast/catalog"
)

// ChangeNodes changes which nodes the catalog of a cluster has, at the active node: change makes the
// next record of the present one, nil if there is none yet, and of the first ID that no shard has
// had. It returns the nodes that the catalog has then, as far as this node knows. The error is that of
// change, or one of those of other changes of the catalog.
func ChangeNodes(
	ctx context.Context, s *Store, change func(*catalog.Nodes, holdfast.ShardID) (*catalog.Nodes, error),
) (*catalog.Nodes, error) {
	i := s.installer
	i.catalog.Lock()
	defer i.catalog.Unlock()
	if i.cluster == nil {
		return nil, holdfast.Errorf(holdfast.Invalid, "these tables aren't those of a cluster")
	}
	if err := changeable(i); err != nil {
		return nil, err
	}
	ctx, cancel := i.cluster.ended(ctx)
	defer cancel()
	was := i.catalog.Contents().Nodes
	err := i.catalog.SetNodes(ctx, func(next holdfast.ShardID) (*catalog.Nodes, error) { return change(was, next) })
	is := i.catalog.Contents().Nodes
	if err == nil && is != was {
		i.cluster.followNodes(is)
		err = i.cluster.followed(nil)
	}
	return is, err
}

// followNodes has this node take part with those that the catalog has. Until the groups have a node
// that joins, or once they give up one that is removed, its replicas may lack most of what the others
// have: it answers no reads then. If it is the active one, it has all. The catalog is locked.
func (c *cluster) followNodes(n *catalog.Nodes) {
	c.joins = c.replicas.Follow(n)
	c.installer.tables.joins.Store(c.joins && c.active == nil)
}
