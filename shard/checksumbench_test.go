package shard

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// BenchmarkChecksum computes checksums of items of 256 bytes and their history, in sorted tables on a
// disk in memory, without a limit of the rate.
func BenchmarkChecksum(b *testing.B) {
	o := memOptions(vfs.NewMem())
	o.ChecksumBytesPerSecond = 1 << 50
	s := openStore(b, o)
	sh := openShard(b, s, 1)
	const items = 50_000
	for n := 0; n < items; n += 100 {
		var c Commit
		for i := range 100 {
			c.Writes = append(c.Writes, put(b, sh, thing(fmt.Sprint("id", n+i), 1, "v", noise(n+i, 256))))
		}
		if _, err := s.Commit(bg, c); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.engine.db.Flush(); err != nil {
		b.Fatal(err)
	}
	tx := ReplicaOf(sh).Applied()
	b.ResetTimer()
	for range b.N {
		tx.Index++
		e := entry{schema: sh.schema.Load(), body: &checksumBody{checksumXXH3}}
		applyEach(b, sh, []sentEntry{{tx, string(e.appendTo(nil))}})
		c := checksumAt(b, sh, tx)
		b.SetBytes(int64(c.Bytes))
	}
}
