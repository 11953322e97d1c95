package replay

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxLineBytes bounds a line of a trace. Web servers refuse a request line beyond 8 KiB or so; the
// other fields of a log are shorter.
const maxLineBytes = 64 << 10

var errLineTooLong = errors.New("the line is longer than 64 KiB")

// lines reads a text trace line by line and counts the lines.
type lines struct {
	name   string
	r      *bufio.Reader // its buffer holds maxLineBytes
	number int64         // of the line read last; the first is 1
	open   bool          // the line read last has no line end: the file may be cut off there
}

// next returns a line without its end; it is valid until the next call. After errLineTooLong,
// which isn't wrapped, the following line can be read. Other errors than io.EOF name the place.
func (l *lines) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if err == io.EOF && len(line) == 0 {
		return nil, io.EOF
	}
	l.number++
	l.open = err == io.EOF
	if l.number == 1 {
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")) // a byte-order mark
	}
	switch {
	case err == bufio.ErrBufferFull:
		for err == bufio.ErrBufferFull {
			_, err = l.r.ReadSlice('\n')
		}
		if err != nil && err != io.EOF {
			return nil, l.wrong(err)
		}
		return nil, errLineTooLong
	case err != nil && err != io.EOF:
		return nil, l.wrong(err)
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// wrong returns err with the place of the line read last.
func (l *lines) wrong(err error) error { return fmt.Errorf("%s:%d: %w", l.name, l.number, err) }

func (l *lines) wrongf(format string, args ...any) error { return l.wrong(fmt.Errorf(format, args...)) }
