package replay

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// maxWindowBytes bounds the memory that a zstd file can ask for; zstd --long=27 needs this much.
const maxWindowBytes = 128 << 20

// decompress returns the content of r, uncompressed. The first bytes decide, not a file's name:
// logs are renamed when they are rotated. The closer, if any, frees the decompressor.
func decompress(r io.Reader) (io.Reader, io.Closer, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	magic, err := br.Peek(6)
	if err != nil && err != io.EOF {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, nil, fmt.Errorf("gzip: %w", err)
		}
		return &unpacked{name: "gzip", r: z}, z, nil
	case bytes.HasPrefix(magic, []byte("\xfd7zXZ\x00")):
		end := &xzEnd{r: br}
		z, err := xz.NewReader(end)
		if err != nil {
			return nil, nil, fmt.Errorf("xz: %w", err)
		}
		return &unpacked{name: "xz", r: z, whole: end.seen}, nil, nil
	case bytes.HasPrefix(magic, []byte("\x28\xb5\x2f\xfd")):
		z, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindowBytes))
		if err != nil {
			return nil, nil, fmt.Errorf("zstd: %w", err)
		}
		return &unpacked{name: "zstd", r: z}, z.IOReadCloser(), nil
	case bytes.HasPrefix(magic, []byte("BZh")):
		return &unpacked{name: "bzip2", r: bzip2.NewReader(br)}, nil, nil
	}
	return br, nil, nil
}

// unpacked reads a compressed file, and explains its error if it is damaged or cut off. The error
// stays: the format is detected by reading ahead, and reading the trace later finds the same error.
type unpacked struct {
	name  string // the compressor's
	r     io.Reader
	whole func() bool // whether the file's end was seen; nil where r knows
	err   error
}

func (u *unpacked) Read(p []byte) (int, error) {
	if u.err != nil {
		return 0, u.err
	}
	n, err := u.r.Read(p)
	if err == io.EOF && u.whole != nil && !u.whole() {
		err = io.ErrUnexpectedEOF
	}
	switch {
	case err == nil || err == io.EOF:
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("%s: the file is cut off: %w", u.name, err)
	default:
		err = fmt.Errorf("%s: the file is damaged: %w", u.name, err)
	}
	u.err = err
	return n, err
}

// xzEnd passes an xz file on and notes how it ends. A file that is cut off between two of its
// blocks looks whole to the xz package.
type xzEnd struct {
	r    io.Reader
	last [2]byte // of all that was read, without zeros at its end, which may pad a stream
}

func (x *xzEnd) Read(p []byte) (int, error) {
	n, err := x.r.Read(p)
	switch end := bytes.TrimRight(p[:n], "\x00"); {
	case len(end) >= 2:
		x.last = [2]byte(end[len(end)-2:])
	case len(end) == 1:
		x.last = [2]byte{x.last[1], end[0]}
	}
	return n, err
}

// seen reports whether what was read ends with a stream's footer (section 2.1.2.4 of the .xz
// format).
func (x *xzEnd) seen() bool { return x.last == [2]byte{'Y', 'Z'} }
