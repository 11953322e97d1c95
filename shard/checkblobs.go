package shard

import (
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/blob"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/sstable/colblk"
)

// checkBlobs reads every block of every blob file.
func (c *checker) checkBlobs() error {
	for _, is := range c.blobs {
		if c.ctx.Err() != nil {
			return ended(c.ctx)
		}
		name := blobName(is.num)
		if err := c.checkBlob(name); err != nil {
			c.fault(0, "file", "%s: %v", name, err)
		}
		c.checked.Files++
	}
	return nil
}

func (c *checker) checkBlob(name string) error {
	fs := c.store.engine.fs
	f, err := (&blobFS{FS: fs}).Open(fs.PathJoin(c.store.dir, engineDir, name))
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	o := blob.FileReaderOptions{ReaderOptions: c.store.engine.options.MakeReaderOptions().ReaderOptions}
	r, err := blob.NewFileReader(c.ctx, readable, o)
	if err != nil {
		return errors.Join(err, readable.Close())
	}
	return errors.Join(readBlocks(c.ctx, r), r.Close())
}

// The columns of a blob file's index: where parts of a file that it replaces are, which is empty
// unless there is one, and where each block begins, with the end of the last one.
const (
	indexHeaderBytes  = 4
	indexColumnBlocks = 1
)

// readBlocks reads all blocks of a blob file, which checks their checksums.
func readBlocks(ctx context.Context, r *blob.FileReader) error {
	index, err := r.ReadIndexBlock(ctx, block.NoReadEnv, nil)
	if err != nil {
		return err
	}
	defer index.Release()
	var decoder colblk.BlockDecoder
	decoder.Init(index.BlockData(), indexHeaderBytes)
	begins := colblk.DecodeColumn(&decoder, indexColumnBlocks, decoder.Rows()+1, colblk.DataTypeUint,
		colblk.DecodeUnsafeUints)
	for i := range decoder.Rows() {
		at := begins.At(i)
		h, err := r.ReadValueBlock(ctx, block.NoReadEnv, nil, block.Handle{
			Offset: at, Length: begins.At(i+1) - at - block.TrailerLen,
		})
		if err != nil {
			return err
		}
		h.Release()
	}
	return nil
}
