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
	FormatBE32 Format = "be32" // a big-endian 32-bit key a request
	FormatBE64 Format = "be64" // a big-endian 64-bit key a request

	// FormatOracle is libCacheSim's oracleGeneral: records of 24 bytes, little-endian and packed:
	// time in seconds (uint32), key (uint64), bytes of the object (uint32), and which request is the
	// next for the key (int64, -1 for none).
	FormatOracle Format = "oraclegeneral"
	FormatZipf   Format = "zipf" // made up; no file
)

// Formats are those that Open reads from a file.
var Formats = []Format{FormatLog, FormatCSV, FormatARC, FormatBE32, FormatBE64, FormatOracle}

func (f Format) known() bool { return f == FormatZipf || slices.Contains(Formats, f) }

const sampleBytes = 32 << 10 // that detect looks at

var errUnknownFormat = fmt.Errorf("can't tell its format from its content; say which of %v it is", Formats)

// detect finds the format of what r holds, without consuming it. The content decides; of name,
// which may have a compressor's ending, only .csv does, and only where the content leaves it open.
func detect(r *bufio.Reader, name string) (Format, error) {
	sample, err := r.Peek(sampleBytes)
	switch {
	case len(sample) == 0 && err == io.EOF:
		return "", errors.New("is empty")
	case len(sample) == 0:
		return "", err
	}
	// What can be read before an error decides: the decoder comes to the error in its turn.
	whole := err == io.EOF
	if isBinary(sample) {
		if isOracle(sample) {
			return FormatOracle, nil
		}
		return detectWidth(sample, whole)
	}
	if end := bytes.LastIndexByte(sample, '\n'); end >= 0 && !whole {
		sample = sample[:end] // a line that is cut off isn't judged
	}
	return detectText(bytes.Split(sample, []byte("\n")), name)
}

// isBinary reports whether control characters are more than 1 % of s. Text has almost none, not
// even in other encodings than UTF-8; keys as integers have them all over.
func isBinary(s []byte) bool {
	n := 0
	for _, c := range s {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\x1b' {
			n++
		}
	}
	return n*100 > len(s)
}

// isOracle reports whether all whole records of sample could be oracleGeneral's: times don't go
// back, and the next request for a key comes after this one. Keys as integers, read as such
// records, fail the second within a few.
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

// detectWidth tells 32-bit keys from 64-bit ones. Cut into words of 32 bits, 32-bit keys that
// come again stand at even and at odd places alike, while the halves of 64-bit keys keep to theirs.
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
	fewHigh := len(high) <= 1+n/100        // small 64-bit numbers: the high halves hardly change
	hashes := large > n/4 && large < n*3/4 // or hashes: the low halves are anywhere
	switch {
	case n < 8:
	case fewHigh && both*10 < n:
		return FormatBE64, nil
	case both*100 > n:
		return FormatBE32, nil
	case hashes:
		return FormatBE64, nil
	}
	return "", fmt.Errorf("can't tell whether its keys are of 32 or 64 bits; say be32 or be64")
}

// detectText judges by the first lines; a log may begin with garbage, the others don't.
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

// hasEnding reports whether name ends so, before or without a compressor's ending.
func hasEnding(name, ending string) bool {
	name = strings.ToLower(path.Base(name))
	for _, compressed := range []string{".gz", ".xz", ".zst", ".bz2"} {
		name = strings.TrimSuffix(name, compressed)
	}
	return strings.HasSuffix(name, ending)
}
