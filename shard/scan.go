package shard

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
)

// Pebble's logs and manifests are records, in chunks that never cross a block (package record has
// the forms). A chunk begins with its checksum (4 bytes), length (2) and form (1); those of logs
// then have the low half of the log's number.
const (
	blockOfRecords  = 32 << 10
	chunkHeader     = 7
	chunkLegacyLast = 4  // forms up to this have no log number
	chunkFormLast   = 12 // and above this there are none
	padMax          = 19 // fewer bytes than this at a block's end are zeros, where no chunk fits
	chunkSumMask    = 0xa282ead8
)

// A filler is a chunk of the middle of a record, which a reader that looks for a record's beginning
// skips.
const (
	fillerHeader = 11
	fillerForm   = 7
)

// headerOf is how long the header is of a chunk of each form; 0: no form.
var headerOf = [chunkFormLast + 1]int{0, 7, 7, 7, 7, 11, 11, 11, 11, 19, 19, 19, 19}

// A scan is the result of reading through a log or a manifest.
type scan struct {
	size    int64 // of the file
	summed  int64 // bytes that sum covers: as many as were wanted, or the whole file
	sum     uint32
	head    head  // likewise
	end     int64 // behind the last whole record
	records int64
	first   uint64 // sequence number of a log's first record
	next    uint64 // behind that of the last
	order   int64  // the offset at which a log's sequence numbers fall; -1: none
	marked  bool   // the log ends with its end mark
	err     error  // why there is no record at end: nil if the file ends there, or is marked
}

// proven reports whether the data at the scan's end is damaged, as shown by what Pebble wrote after
// it.
func (s *scan) proven() bool {
	return s.err != nil && !errors.Is(s.err, record.ErrUnexpectedEOF)
}

// A summing reader sums the first bytes that it reads.
type summing struct {
	io.Reader
	sum        uint32
	left, done int64
}

func (r *summing) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if some := min(int64(n), r.left); some > 0 {
		r.sum = castagnoli(r.sum, p[:some])
		r.left -= some
		r.done += some
	}
	return n, err
}

// scanFile reads a file of records, and computes the checksum of its first bytes. It calls each
// with every whole record, which each must not keep. The error is one of the disk.
func scanFile(fs vfs.FS, path string, want extent, each func(record []byte)) (*scan, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	begin := &summing{Reader: bufio.NewReaderSize(f, 1<<20), left: want.head.bytes}
	in := &summing{Reader: begin, left: want.bytes}
	s := &scan{size: info.Size(), order: -1}
	err = s.readRecords(in, want.num, each)
	if err == nil {
		_, err = io.CopyN(io.Discard, in, in.left)
		if err == io.EOF {
			err = nil
		}
	}
	s.sum, s.summed, s.head = in.sum, in.done, head{bytes: begin.done, sum: begin.sum}
	return s, err
}

// readRecords reads the records up to the end, or up to what isn't a record. Manifests have no
// number.
func (s *scan) readRecords(in io.Reader, num uint64, each func([]byte)) error {
	r := newRecordReader(in, num)
	var buf bytes.Buffer
	for {
		next, err := r.Next()
		if err == nil {
			buf.Reset()
			_, err = buf.ReadFrom(next)
		}
		if err == io.EOF {
			s.end, s.marked = r.Offset(), s.size > r.Offset()
			return nil
		}
		if errors.Is(err, record.ErrUnexpectedEOF) || errors.Is(err, record.ErrInvalidChunk) ||
			errors.Is(err, record.ErrZeroedChunk) {
			s.err = err
			return nil
		}
		if err != nil {
			return err
		}
		if num != 0 && !s.follow(buf.Bytes()) {
			return nil
		}
		s.records++
		s.end = r.Offset()
		each(buf.Bytes())
	}
}

// follow checks the sequence numbers of a log's record, which never fall.
func (s *scan) follow(batch []byte) bool {
	h, ok := batchrepr.ReadHeader(batch)
	if !ok || s.records > 0 && uint64(h.SeqNum) < s.next {
		s.order, s.err = s.end, errOrder
		return false
	}
	if s.records == 0 {
		s.first = uint64(h.SeqNum)
	}
	s.next = uint64(h.SeqNum) + uint64(h.Count)
	return true
}

var errOrder = errors.New("a record comes before the one that it follows")

// A tail is what follows the last whole record of a file.
type tail struct {
	bytes int64 // up to the last byte that isn't zero
	stray int64 // the offset of a whole chunk of this file; -1: none
}

// scanTail examines what follows the scan's end: first the whole chunks of a record that isn't
// whole, then what isn't a chunk, then everything else. A log that reuses another one's file has
// bytes of that one there, which don't count. e.num is 0 for a manifest.
func scanTail(fs vfs.FS, path string, s *scan, e extent) (tail, error) {
	t := tail{stray: -1}
	if s.marked || s.end >= s.size {
		return t, nil
	}
	f, err := fs.Open(path)
	if err != nil {
		return t, err
	}
	defer f.Close()
	block, whole := make([]byte, blockOfRecords), true
	for at := s.end - s.end%blockOfRecords; at < s.size; at += blockOfRecords {
		n, err := f.ReadAt(block, at)
		if err != nil && err != io.EOF {
			return t, err
		}
		from := int(max(s.end-at, 0))
		next := from
		if whole {
			if next, whole = walkChunks(block[:n], next, uint32(e.num)); !whole {
				next++
			}
		}
		if i := strayChunk(block[:n], next, uint32(e.num)); !whole && i >= 0 && t.stray < 0 {
			t.stray = at + int64(i)
		}
		if used := len(bytes.TrimRight(block[:n], "\x00")); used > from && (!e.reused || t.stray >= 0) {
			t.bytes = at + int64(used) - s.end
		}
	}
	return t, nil
}

// walkChunks goes from one whole chunk of a block to the next. It returns where there is none, and
// whether that is the block's end.
func walkChunks(block []byte, from int, num uint32) (end int, whole bool) {
	for {
		n := chunkAt(block, from, num)
		if n == 0 {
			break
		}
		from += n
	}
	return from, len(block)-from < padMax && len(bytes.TrimRight(block[from:], "\x00")) == 0
}

// strayChunk returns the offset of the first whole chunk in a block from an offset on, or -1. It
// tries every offset, since a damaged length doesn't lead to the next chunk.
func strayChunk(block []byte, from int, num uint32) int {
	for i := from; i < len(block); i++ {
		if chunkAt(block, i, num) > 0 {
			return i
		}
	}
	return -1
}

// chunkAt returns the length of the whole chunk at an offset of a block; 0: there is none.
func chunkAt(block []byte, i int, num uint32) int {
	if i+chunkHeader > len(block) {
		return 0
	}
	form := int(block[i+6])
	if form == 0 || form > chunkFormLast || (form <= chunkLegacyLast) != (num == 0) {
		return 0
	}
	header := headerOf[form]
	if i+header > len(block) || num != 0 && binary.LittleEndian.Uint32(block[i+chunkHeader:]) != num {
		return 0
	}
	end := i + header + int(binary.LittleEndian.Uint16(block[i+4:]))
	if end > len(block) || chunkSum(block[i+6:end]) != binary.LittleEndian.Uint32(block[i:]) {
		return 0
	}
	return end - i
}

// chunkSum is the checksum in a chunk's header, over what follows its length.
func chunkSum(p []byte) uint32 {
	sum := castagnoli(0, p)
	return (sum>>15 | sum<<17) + chunkSumMask
}

// CommitCounts counts some of a log's commits.
type commitCounts struct {
	batches int64                      // commits, also those that only trim
	items   map[holdfast.ShardID]int64 // changes of items
}

// add counts a record of a log.
func (l *commitCounts) add(batch []byte) {
	l.batches++
	r := batchrepr.Read(batch)
	for {
		_, key, _, ok, err := r.Next()
		if !ok || err != nil {
			return
		}
		if id, ok := changedShard(key); ok {
			if l.items == nil {
				l.items = map[holdfast.ShardID]int64{}
			}
			l.items[id]++
		}
	}
}

// changedShard returns the shard that a key is a change of; !ok if it isn't one.
func changedShard(key []byte) (id holdfast.ShardID, ok bool) {
	if len(key) != logBytes {
		return 0, false
	}
	switch {
	case family(key[0]) == byShard && kindOf(key) == kindLog:
		return holdfast.ShardID(numberOf(key)), true
	case key[0] == 0 && key[formerPrefixBytes-1] == formerChange:
		return formerShardOf(key), true
	}
	return 0, false
}

// countStray counts the records that can be read after an offset of a log. After each fault it
// begins again with the next block.
func countStray(fs vfs.FS, path string, num uint64, from, size int64, l *commitCounts) error {
	f, err := fs.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for at := from; at < size; at = (at/blockOfRecords + 1) * blockOfRecords {
		s := &scan{size: size, order: -1}
		filled := filler(at%blockOfRecords, num)
		at -= int64(len(filled))
		in := io.MultiReader(bytes.NewReader(filled), io.NewSectionReader(f, at+int64(len(filled)), size))
		if err := s.readRecords(in, num, l.add); err != nil {
			return err
		}
		at += s.end
	}
	return nil
}

// filler returns a chunk of n bytes, so that what follows is read at its offset in the block. It is
// nil if n is too small for a chunk.
func filler(n int64, num uint64) []byte {
	if n < fillerHeader {
		return nil
	}
	p := make([]byte, n)
	p[6] = fillerForm
	binary.LittleEndian.PutUint16(p[4:], uint16(n-fillerHeader))
	binary.LittleEndian.PutUint32(p[chunkHeader:], uint32(num))
	binary.LittleEndian.PutUint32(p, chunkSum(p[6:]))
	return p
}

// newRecordReader returns a reader of a file of records. The number's type is Pebble's own, and has
// no name here.
func newRecordReader(in io.Reader, num uint64) *record.Reader {
	return recordReader(record.NewReader, in, num)
}

func recordReader[N ~uint64](make func(io.Reader, N) *record.Reader, in io.Reader, num uint64) *record.Reader {
	return make(in, N(num))
}
