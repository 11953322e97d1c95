package shard

import (
	"context"
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// A view is a snapshot of the database for short reads. It is made of clones of one iterator, since
// Pebble's own Snapshot isn't safe: when a span of keys is excised, a Snapshot that is open loses
// the keys of that span, without an error. An iterator keeps them.
//
// A view keeps memtables and sorted tables from being removed. Reads that take long use Pebble's
// EventuallyFileOnlySnapshot, which is safe, too, and needs no memtables once they are flushed.
type view struct {
	first *pebble.Iterator // what the view's iterators are cloned from; never positioned
	point *pebble.Iterator // for Get; nil until the first
}

// view returns the view of now. It must be closed.
func (e *engine) view() (*view, error) {
	it, err := e.db.NewIter(nil)
	if err != nil {
		return nil, e.fault("reading", err)
	}
	return &view{first: it}, nil
}

// Get implements pebble.Reader. The value is valid until the next Get.
func (v *view) Get(key []byte) (value []byte, closer io.Closer, err error) {
	if v.point == nil {
		if v.point, err = v.first.Clone(pebble.CloneOptions{}); err != nil {
			return nil, nil, err
		}
	}
	if !v.point.SeekPrefixGE(key) { // which finds no other key, since all of a key is its prefix
		if err := v.point.Error(); err != nil {
			return nil, nil, err
		}
		return nil, nil, pebble.ErrNotFound
	}
	value, err = v.point.ValueAndErr()
	return value, noCloser{}, err
}

// NewIter implements pebble.Reader.
func (v *view) NewIter(o *pebble.IterOptions) (*pebble.Iterator, error) {
	return v.first.Clone(pebble.CloneOptions{IterOptions: o})
}

// NewIterWithContext implements pebble.Reader.
func (v *view) NewIterWithContext(ctx context.Context, o *pebble.IterOptions) (*pebble.Iterator, error) {
	return v.first.CloneWithContext(ctx, pebble.CloneOptions{IterOptions: o})
}

// Close implements pebble.Reader. The iterators of the view are closed by their owners.
func (v *view) Close() error {
	err := v.first.Close()
	if v.point != nil {
		err = errors.Join(err, v.point.Close())
	}
	return err
}

type noCloser struct{}

func (noCloser) Close() error { return nil }
