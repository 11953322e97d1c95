package replay

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strings"
)

// A Format is how a trace is written.
type Format string

// The formats.
const (
	FormatLog  Format = "log"  // a web server's access log, common or combined
	FormatCSV  Format = "csv"  // time,key,size or columns that a header names
	FormatARC  Format = "arc"  // start count ignored number
	FormatBE32 Format = "be32" // a big-endian 32-bit key per request
	FormatBE64 Format = "be64" // a big-endian 64-bit key per request

	// FormatOracle is libCacheSim's oracleGeneral: records of 24 bytes, little-endian and packed:
	// time in seconds (uint32), key (uint64), bytes of the object (uint32), and the number of the next
	// request for the key (int64, -1 for none).
	FormatOracle Format = "oraclegeneral"
	FormatZipf   Format = "zipf" // generated; no file
)

// Formats are the formats that Open reads from a file.
var Formats = []Format{FormatLog, FormatCSV, FormatARC, FormatBE32, FormatBE64, FormatOracle}

func (f Format) known() bool { return f == FormatZipf || slices.Contains(Formats, f) }

const sampleBytes = 32 << 10 // from which detect finds the format

var errUnknownFormat = fmt.Errorf("can't detect its format from its content; specify one of %v", Formats)

// detect finds the format of r without consuming it. The content decides. The name, which may have
// a compressor's ending, decides only if it ends in .csv and the content is ambiguous.
func detect(r *bufio.Reader, name string) (Format, error) {
	sample, err := r.Peek(sampleBytes)
	switch {
	case len(sample) == 0 && err == io.EOF:
		return "", errors.New("is empty")
	case len(sample) == 0:
		return "", err
	}
	// The part before an error decides: the decoder finds the same error later.
	whole := err == io.EOF
	if isBinary(sample) {
		if isOracle(sample) {
			return FormatOracle, nil
		}
		return detectWidth(sample, whole)
	}
	if end := bytes.LastIndexByte(sample, '\n'); end >= 0 && !whole {
		sample = sample[:end] // without an incomplete line
	}
	return detectText(bytes.Split(sample, []byte("\n")), name)
}

// isBinary reports whether more than 1 % of s is control characters. Text has almost none, also in
// other encodings than UTF-8; integers have many.
func isBinary(s []byte) bool {
	n := 0
	for _, c := range s {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\x1b' {
			n++
		}
	}
	return n*100 > len(s)
}

// isOracle reports whether all whole records of sample can be oracleGeneral's: times don't
// decrease, and the next request for a key comes after this one. Integers that are read as such
// records violate the second condition within a few records.
func isOracle(sample []byte) bool {
	const few = 2
	n := len(sample) / oracleBytes
	var before uint32
	for i := range n {
		r := parseOracle(sample[i*oracleBytes:])
		last := r.next == -1 || r.next == math.MaxInt64
		if r.time < before || !last && (r.next <= int64(i) || r.next > maxOracleRequests) {
			return false
		}
		before = r.time
	}
	return n >= few
}

// detectWidth distinguishes 32-bit keys from 64-bit ones. If the trace is cut into words of 32
// bits, 32-bit keys recur at even and at odd places alike, while each half of a 64-bit key recurs
// only at even or only at odd places.
func detectWidth(sample []byte, whole bool) (Format, error) {
	if whole && len(sample)%8 == 4 {
		return FormatBE32, nil
	}
	sample = sample[:len(sample)/8*8]
	high, both, large := map[uint32]bool{}, 0, 0
	for i := 0; i < len(sample); i += 8 {
		high[binary.BigEndian.Uint32(sample[i:])] = true
	}
	for i := 0; i < len(sample); i += 8 {
		low := binary.BigEndian.Uint32(sample[i+4:])
		if high[low] {
			both++
		}
		if low >= 1<<31 {
			large++
		}
	}
	n := len(sample) / 8
	fewHigh := len(high) <= 1+n/100        // small 64-bit numbers: few different high halves
	hashes := large > n/4 && large < n*3/4 // or hashes: low halves of all sizes
	switch {
	case n < 8:
	case fewHigh && both*10 < n:
		return FormatBE64, nil
	case both*100 > n:
		return FormatBE32, nil
	case hashes:
		return FormatBE64, nil
	}
	return "", fmt.Errorf("can't detect whether its keys are of 32 or 64 bits; specify be32 or be64")
}

// detectText decides by the first lines. Only a log may begin with garbage.
func detectText(sample [][]byte, name string) (Format, error) {
	sample = sample[:min(len(sample), 100)]
	for _, line := range sample {
		if _, skip := parseLog(line); skip == "" || strings.HasPrefix(skip, "method ") {
			return FormatLog, nil
		}
	}
	head := bytes.TrimPrefix(sample[0], []byte("\xef\xbb\xbf"))
	if _, _, ok := parseARC(head); ok {
		return FormatARC, nil
	}
	head = bytes.TrimSpace(head)
	if bytes.ContainsAny(head, ",;\t") || hasEnding(name, ".csv") || onlyKeys(sample) {
		return FormatCSV, nil
	}
	return "", errUnknownFormat
}

// onlyKeys reports whether every line could be a key: a table of one column.
func onlyKeys(sample [][]byte) bool {
	for _, line := range sample {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && !validKey(line) {
			return false
		}
	}
	return len(bytes.TrimSpace(sample[0])) > 0
}

// hasEnding reports whether name has the ending, perhaps followed by a compressor's.
func hasEnding(name, ending string) bool {
	name = strings.ToLower(path.Base(name))
	for _, compressed := range []string{".gz", ".xz", ".zst", ".bz2"} {
		name = strings.TrimSuffix(name, compressed)
	}
	return strings.HasSuffix(name, ending)
}
