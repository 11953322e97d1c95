package catalog

import (
	"context"

	"holdfast"
	"holdfast/shard"
)

// A Disk keeps the records of a catalog. A *shard.Store is one.
type Disk interface {
	// Records returns the records whose names begin with prefix, sorted by name.
	Records(prefix string) ([]shard.Record, error)

	// SaveRecords writes records, and removes those without a value: all of them or none. It
	// returns when that is on disk. removal says that disk space is given back in the end, so that
	// a full disk takes it, too.
	SaveRecords(ctx context.Context, records []shard.Record, removal bool) error
}

// A Catalog is the contents on a disk, and how they are changed: Commit saves a revision and then
// applies it. Nothing else changes them.
type Catalog struct {
	disk       Disk
	replicated *replicated // the disk, if it is that of a cluster; else nil

	// mu guards what follows. A change holds it from when it reads the contents until requests see
	// the change, which may take other nodes' answers: so it is a channel, whose element is there
	// while the lock is held, and a wait for it lets the virtual time of tests pass.
	mu   chan struct{}
	is   Contents
	next holdfast.ShardID // the next ID that no shard or space has had; up to is.Next
}

// Open reads the catalog that is on a disk.
func Open(disk Disk) (*Catalog, error) {
	is, err := load(disk, 1)
	if err != nil {
		return nil, err
	}
	return &Catalog{disk: disk, is: is, next: is.Next, mu: make(chan struct{}, 1)}, nil
}

// Lock begins a change, which reads the contents and commits revisions until Unlock.
func (c *Catalog) Lock() { c.mu <- struct{}{} }

// Unlock ends a change.
func (c *Catalog) Unlock() { <-c.mu }

// Contents returns the contents between Lock and Unlock.
func (c *Catalog) Contents() Contents { return c.is }

// Read calls f with the contents while nothing changes them.
func (c *Catalog) Read(f func(Contents)) {
	c.Lock()
	defer c.Unlock()
	f(c.is)
}

// Update is Commit for a change that doesn't depend on the contents. It is called without the lock.
func (c *Catalog) Update(ctx context.Context, v Revision) error {
	c.Lock()
	defer c.Unlock()
	return c.Commit(ctx, v)
}

// Commit saves a revision and then applies it. It is called between Lock and Unlock. After an error
// the contents are as before; if it is Unavailable and the disk that of a cluster, Refresh says
// what became of the revision, and until then all others are Refused.
func (c *Catalog) Commit(ctx context.Context, v Revision) error {
	if err := c.disk.SaveRecords(ctx, v.records(), v.Removal); err != nil {
		return err
	}
	c.is = c.is.Apply(v)
	return nil
}

// NewSpace draws the IDs of a space and of a shard for each of the ranges that divide it. It is
// called between Lock and Unlock. They aren't drawn again, whatever becomes of them: a shard that
// was opened may be on disk although the revision with its record was never saved.
func (c *Catalog) NewSpace(ctx context.Context, ranges []Range) (holdfast.SpaceID, []Shard, error) {
	if err := c.reserve(ctx, 1+len(ranges)); err != nil {
		return 0, nil, err
	}
	space := holdfast.SpaceID(c.next)
	c.next++
	shards := make([]Shard, len(ranges))
	for i, r := range ranges {
		shards[i] = Shard{ID: c.next, Range: r}
		c.next++
	}
	return space, shards, nil
}

// reservedIDs is how many IDs are saved as drawn before they are, so that drawing some seldom takes
// a sync. A start leaves out what is left of them.
const reservedIDs = 256

// reserve saves that n IDs are drawn.
func (c *Catalog) reserve(ctx context.Context, n int) error {
	end := c.next + holdfast.ShardID(n)
	if end <= c.is.Next {
		return nil
	}
	return c.Commit(ctx, Revision{next: end + reservedIDs})
}
